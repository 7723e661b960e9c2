"""A version made cheaper: compared, measured, judged, signed and registered, with all that is
real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from usecases.optimizing import (
    PROGRESS,
    TUMOUR,
    apply,
    past,
    register_network,
    register_trees,
    tumours,
    variant_services,
)
from usecases.registration import Registration

from windvane.core.execution import Optimization
from windvane.ports.control_store import UnknownName
from windvane.ports.learner import TrainingData
from windvane.ports.optimizer import CannotOptimize
from windvane.usecases.accept_candidate import CandidateRefused
from windvane.usecases.actions.deploy import deploy_version
from windvane.usecases.explain_runtime import explain_runtime
from windvane.usecases.make_variant import halves
from windvane.usecases.optimization_options import OptimizeOptions
from windvane.usecases.optimize_version import LossTooLarge, Optimized, optimize_version
from windvane.usecases.registration_options import RegistrationOptions
from windvane.usecases.replay_decision import replay_decision

pytestmark = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.takes_turns,
]


def optimize(
    registration: Registration, data: TrainingData, how: Optimization, *, model: str = TUMOUR,
    version: str = "1", **said: Any,
) -> Optimized:  # fmt: skip
    options = OptimizeOptions(how, "ada", table="rows.csv", **said)
    return optimize_version(
        variant_services(registration), registration.services.stores, model, version, data, options
    )


def test_a_network_in_8_bits_is_registered_with_its_loss_signed(
    registration: Registration, tmp_path: Path
) -> None:
    data = register_network(registration, tmp_path)
    before = registration.versions(TUMOUR)
    with pytest.raises(CandidateRefused, match=r"by version 1, .* here") as caught:
        optimize(registration, data, Optimization.INT8, version=before[0], allowed=0.05)
    assert str(caught.value).startswith("ACC-503: what is served differs from version")
    assert caught.value.advice.startswith("where the change is meant, --accept REASON")
    assert registration.versions(TUMOUR) == before
    done = optimize(
        registration, data, Optimization.INT8, version=before[0], allowed=0.05, accept="cheaper",
    )  # fmt: skip
    version = done.trained.version
    assert registration.versions(TUMOUR) == [*before, version.version]
    signed: Any = version.lineage["optimized"]
    assert (signed["from"], signed["how"], signed["by"]) == (before[0], "int8", "ada")
    assert signed["at"] == registration.clock.now()
    assert (signed["metric"], signed["rows"], signed["allowed"]) == ("auc", 114, 0.05)
    lost = (signed["before"] - signed["after"]) / signed["before"]
    assert signed["loss"] == pytest.approx(lost) == done.loss
    assert version.lineage["accepted"] == {"reason": "cheaper", "by": "ada"}
    assert version.lineage["optimized_from"] == before[0]
    explained = explain_runtime(registration.store, TUMOUR, version.version)
    assert explained.runtime.value == "onnx"
    assert explained.parity is not None
    assert explained.parity.library == f"version {before[0]}"
    assert explained.parity.moved > 0
    assert explained.parity.rows == 114


def test_both_numbers_are_of_the_versions_themselves(
    registration: Registration, tmp_path: Path
) -> None:
    """What is signed is what anybody finds who asks the two versions for the later rows."""
    from sklearn.metrics import roc_auc_score

    data = register_network(registration, tmp_path)
    first = registration.versions(TUMOUR)[0]
    done = optimize(
        registration, data, Optimization.INT8, version=first, allowed=0.05, accept="cheaper"
    )
    later = data.take(data.times >= np.quantile(data.times, 0.8))
    with registration.store.read() as tx:
        records = {v.version: v for v in tx.versions(TUMOUR)}
    for version, score in ((first, done.before), (done.trained.version.version, done.after)):
        answers = registration.served(
            type(done.trained)(records[version], done.trained.verdict), later.columns
        )
        assert score.value == pytest.approx(roc_auc_score(later.labels, answers))
        assert score.rows == later.rows


def test_32_bits_need_nobody_to_accept_them_and_go_live_by_a_canary(
    registration: Registration, tmp_path: Path
) -> None:
    data = register_network(registration, tmp_path)
    first = registration.versions(TUMOUR)[0]
    done = optimize(registration, data, Optimization.FP32, version=first)
    version = done.trained.version
    assert "accepted" not in version.lineage
    assert "at most" not in str(version.lineage["parity"])
    deploy_version(registration.store, registration.clock, TUMOUR, first)
    live = deploy_version(registration.store, registration.clock, TUMOUR, version.version)
    assert (live.champion, live.challenger) == (first, version.version)
    assert 0.0 < live.share < 1.0
    with registration.store.read() as tx:
        decision = tx.decision(f"{TUMOUR}/register/{version.version}")
    assert replay_decision(decision).same


def test_a_regression_in_16_bits_loses_of_its_mean_error(
    registration: Registration, tmp_path: Path
) -> None:
    data = register_network(registration, tmp_path, PROGRESS)
    first = registration.versions(PROGRESS)[0]
    done = optimize(
        registration, data, Optimization.FP16, model=PROGRESS, version=first, accept="cheaper"
    )
    assert (done.before.metric, done.before.larger_is_better) == ("mae", False)
    assert done.loss == pytest.approx(done.after.value / done.before.value - 1.0)
    assert done.after.value != done.before.value


def test_more_loss_than_is_allowed_is_refused_with_both_numbers(
    registration: Registration, tmp_path: Path
) -> None:
    data = register_network(registration, tmp_path, PROGRESS)
    before = registration.versions(PROGRESS)
    with pytest.raises(LossTooLarge, match=r"MAE .* becomes .* on 89 rows, .* > -10.00% allowed"):
        optimize(
            registration, data, Optimization.INT8, model=PROGRESS, version=before[0],
            accept="cheaper", allowed=-0.1,
        )  # fmt: skip
    assert registration.versions(PROGRESS) == before


@pytest.mark.parametrize(("library", "allowed"), [("lightgbm", 0.02), ("xgboost", 0.1)])
def test_trees_are_pruned_to_the_first_rounds(
    registration: Registration, tmp_path: Path, library: str, allowed: float
) -> None:
    data, booster = register_trees(registration, tmp_path, library)
    first = registration.versions(TUMOUR)[0]
    done = optimize(
        registration, data, Optimization.PRUNE, version=first, allowed=allowed, accept="cheaper"
    )
    version = done.trained.version
    signed: Any = version.lineage["optimized"]
    rounds = signed["rounds"]
    assert 1 <= rounds < 60
    assert signed["rows"] == 57, "it is measured on the half that it was not chosen by"
    rows = np.array(list(data.columns.values())).T
    if library == "lightgbm":
        wanted = booster.predict(rows, num_iteration=rounds)
    else:
        wanted = booster.inplace_predict(rows, iteration_range=(0, rounds))
    assert np.array_equal(registration.served(done.trained, data.columns), wanted.astype(float))


def test_what_was_pruned_can_be_pruned_further(registration: Registration, tmp_path: Path) -> None:
    """The rounds that the version uses are those that there are, not those of its file."""
    data, _ = register_trees(registration, tmp_path, "lightgbm")
    first = registration.versions(TUMOUR)[0]
    once = optimize(
        registration, data, Optimization.PRUNE, version=first, allowed=0.02, accept="cheaper"
    )
    signed: Any = once.trained.version.lineage["optimized"]
    with pytest.raises(CannotOptimize, match=f"all {signed['rounds']} rounds are needed"):
        optimize(
            registration, data, Optimization.PRUNE, version=once.trained.version.version,
            allowed=-0.5,
        )  # fmt: skip


def test_trees_that_are_all_needed_stay(registration: Registration, tmp_path: Path) -> None:
    data, _ = register_trees(registration, tmp_path, "lightgbm", rounds=3)
    first = registration.versions(TUMOUR)[0]
    with pytest.raises(CannotOptimize, match=r"all 3 rounds are needed .* 2 lose") as caught:
        optimize(registration, data, Optimization.PRUNE, version=first, allowed=-0.5)
    assert "--loss" in caught.value.advice


@pytest.mark.parametrize("how", [Optimization.FP16, Optimization.INT8])
@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_trees_are_not_cast(
    registration: Registration, tmp_path: Path, library: str, how: Optimization
) -> None:
    data, _ = register_trees(registration, tmp_path, library, rounds=3)
    first = registration.versions(TUMOUR)[0]
    with pytest.raises(CannotOptimize, match="thresholds that are cast move the splits"):
        optimize(registration, data, how, version=first)
    assert registration.versions(TUMOUR) == [first]


def test_a_program_has_no_form_in_fewer_bits(registration: Registration, tmp_path: Path) -> None:
    import skops.io
    from sklearn.linear_model import LogisticRegression

    data = tumours()
    apply(registration, TUMOUR, data)
    rows, labels = past(data)
    skops.io.dump(LogisticRegression(max_iter=5_000).fit(rows, labels), tmp_path / "model.skops")
    done = registration.register(
        tmp_path / "model.skops", RegistrationOptions(inputs=tuple(data.columns), convert=False),
        data=data, model=TUMOUR,
    )  # fmt: skip
    with pytest.raises(CannotOptimize, match="sklearn runs its files as they are"):
        optimize(registration, data, Optimization.INT8, version=done.version.version)


def test_an_unknown_version_is_answered_with_the_closest(
    registration: Registration, tmp_path: Path
) -> None:
    data, _ = register_trees(registration, tmp_path, "lightgbm", rounds=3)
    first = registration.versions(TUMOUR)[0]
    with pytest.raises(UnknownName) as caught:
        optimize(registration, data, Optimization.PRUNE, version=f"{first}1")
    assert first in caught.value.advice


def test_halves_are_by_time_whatever_the_order_of_the_rows() -> None:
    data = tumours().take(np.arange(569) < 11)
    mixed = TrainingData(data.columns, data.labels, data.times[::-1].copy())
    early, late = halves(mixed)
    assert (early.rows, late.rows) == (5, 6)
    assert early.times.max() < late.times.min()

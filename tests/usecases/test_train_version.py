"""From a table to a registered version, with the real learner, registry and store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from usecases.harness import CARRIERS, MODEL, START, ManualClock

from windvane.adapters.files import FileArtifacts
from windvane.adapters.mlflow import MlflowRegistry
from windvane.adapters.onnx import OnnxRuntime
from windvane.adapters.onnx.learner import BoostedLearner
from windvane.adapters.sql import SqlControlStore
from windvane.core.drift import Baseline
from windvane.core.task import OUTPUT
from windvane.core.verdict import Outcome
from windvane.ports.control_store import Deployment, VersionRecord
from windvane.ports.learner import TrainingData
from windvane.ports.runtime import Predictor
from windvane.usecases.actions.deploy import deploy_version
from windvane.usecases.apply_model import apply_model
from windvane.usecases.compare_champion import ChampionLoader
from windvane.usecases.measure_partial_dependence import unpack_partial_dependence
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.replay_decision import replay_decision
from windvane.usecases.train_version import (
    BadTrainingData,
    CandidateRefused,
    Recipe,
    Trained,
    train_version,
)

# MLflow's own, on SQLAlchemy 2.1
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

FILE = """
model: delay
predicts: {kind: binary, outcome: late}
features:
  plan:
    distance: {type: number, range: [0, 5000]}
    carrier: {type: category}
  weather:
    temp: {type: number, nullable: true}
watch: {window: 1h, min_rows: 5, recent: 10h}
train: {min_rows: 400, auc_floor: 0.6}
"""
ROWS = 1_000


def table(rows: int = ROWS, seed: int = 3) -> TrainingData:
    """Late when it is cold and far; a minute between rows."""
    rng = np.random.default_rng(seed)
    distance = rng.gamma(3.0, 300.0, rows)
    temp = rng.normal(60.0, 10.0, rows)
    late = (distance / 900.0 - temp / 20.0 + rng.normal(0, 0.3, rows) > -2.0).astype(float)
    gone = rng.random(rows) < 0.1
    columns: dict[str, list[Any]] = {
        "distance": distance.tolist(),
        "carrier": [CARRIERS[i] for i in rng.integers(0, 4, rows)],
        "temp": [None if g else float(t) for g, t in zip(gone, temp, strict=True)],
    }
    return TrainingData(columns, late, START + 60.0 * np.arange(rows))


def load(version: VersionRecord) -> Predictor:
    opened = FileArtifacts().open(version.artifact, version.manifest)
    return OnnxRuntime().load(opened, read_model_file(FILE).contract, trusted=False)


CHAMPIONS = ChampionLoader(OnnxRuntime(), FileArtifacts())


class TrainingHarness:
    """One installation's trainer."""

    def __init__(self, folder: Path, registry: MlflowRegistry) -> None:
        self.registry = registry
        self.store = SqlControlStore(f"sqlite:///{folder / 'control.db'}")
        self.clock = ManualClock()
        apply_model(self.store, self.clock, FILE)

    def train(self, data: TrainingData, recipe: Recipe | None = None, **given: Any) -> Trained:
        return train_version(
            self.store, self.registry, BoostedLearner(rounds=8, leaves=6), FileArtifacts().seal,
            self.clock, CHAMPIONS, MODEL, data, recipe or Recipe(), **given,
        )  # fmt: skip

    def versions(self) -> list[str]:
        with self.store.read() as tx:
            return [v.version for v in tx.versions(MODEL)]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> MlflowRegistry:
    """MLflow's first creation of its database takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    return MlflowRegistry(f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts")


@pytest.fixture
def harness(
    tmp_path: Path, migrated_file: Path, registry: MlflowRegistry
) -> Iterator[TrainingHarness]:
    shutil.copy(migrated_file, tmp_path / "control.db")
    found = TrainingHarness(tmp_path, registry)
    yield found
    found.store.close()


def test_a_version_is_registered_with_all_that_serving_needs(harness: TrainingHarness) -> None:
    steps: list[str] = []
    data = table()
    trained = harness.train(data, Recipe(lineage={"git": "abc", "file": "flights.csv"}),
                         on_step=steps.append)  # fmt: skip
    version = trained.version
    assert trained.verdict.outcome is Outcome.PASS
    assert harness.versions() == [version.version]
    assert version.views == ("plan", "weather")
    assert version.created_at == harness.clock.now()
    assert version.metrics["auc"] > 0.8
    assert version.metrics["holdout_rows"] == 200.0
    assert version.lineage["git"] == "abc"
    assert version.lineage["rows"] == str(ROWS)
    with harness.store.read() as tx:
        kept = unpack_partial_dependence(tx.version(MODEL, version.version).partial_dependence)
    assert kept is not None
    assert {curve.feature for curve in kept.curves} == {"distance", "carrier", "temp"}
    far = [p.answer or 0.0 for p in kept.curves[0].points if isinstance(p.value, float)]
    assert abs(far[0] - far[-1]) > 0.3, "late when it is cold and far"
    assert [step.split()[0] for step in steps] == [
        "check", "train", "evaluate", "convert", "sketch", "measure", "register",
    ]  # fmt: skip
    assert (version.task, version.features) == ("binary", ("distance", "carrier", "temp"))
    predictor = load(version)
    row = predictor.encode([900.0, "dl", 40.0])
    (found,) = predictor.predict([row])
    assert found.shape == (1,)
    assert 0.5 < found[0] <= 1.0


def test_the_decision_replays(harness: TrainingHarness) -> None:
    trained = harness.train(table())
    with harness.store.read() as tx:
        decision = tx.decision(f"{MODEL}/register/{trained.version.version}")
    assert (decision.judge, decision.action) == ("acceptance", "register")
    assert decision.verdict == trained.verdict
    assert replay_decision(decision).same


def test_the_holdout_is_the_latest_part(harness: TrainingHarness) -> None:
    """Rows in any order; the last fifth by time is never trained on."""
    data = table()
    shuffled = np.random.default_rng(1).permutation(ROWS)
    mixed = TrainingData(
        {name: [column[i] for i in shuffled] for name, column in data.columns.items()},
        data.labels[shuffled],
        data.times[shuffled],
    )
    steps: list[str] = []
    harness.train(mixed, on_step=steps.append)
    assert "train on 800 rows" in steps
    assert "evaluate on 200 later rows" in steps
    steps.clear()
    harness.train(data, Recipe(holdout_from=START + 60.0 * 700), on_step=steps.append)
    assert "train on 700 rows" in steps


def test_the_baseline_holds_every_row(harness: TrainingHarness) -> None:
    data = table()
    version = harness.train(data).version
    with harness.store.read() as tx:
        layout = tx.layout(version.layout_id)
    assert layout.names == ("distance", "carrier", "temp", "output")
    baseline = Baseline.from_bytes(version.baseline)
    for name in layout.names:
        assert layout.part(baseline.counts, name).sum() == ROWS
    nulls = sum(v is None for v in data.columns["temp"])
    assert layout.part(baseline.counts, "temp")[0] == nulls
    recent = baseline.cell.past
    assert 0 < layout.part(recent, "temp").sum() <= ROWS
    assert baseline.cell.forecast.seen.max() > 0


def test_later_versions_keep_the_models_axes(harness: TrainingHarness) -> None:
    """Or the past of a feature would end with each retraining; outputs are a version's own."""
    first = harness.train(table()).version
    harness.clock.at += 60.0
    second = harness.train(table(seed=9)).version
    with harness.store.read() as tx:
        one, two = tx.layout(first.layout_id), tx.layout(second.layout_id)
    assert one.axes[:3] == two.axes[:3]
    assert one.axes[3] != two.axes[3]
    assert one.names == two.names
    assert harness.versions() == [first.version, second.version]


def test_an_axis_that_misfits_is_replaced_and_counted_on(harness: TrainingHarness) -> None:
    """The first version was trained while a source was down: its axis would be blind for good."""
    data = table()
    blind = harness.train(replace(data, columns={**data.columns, "temp": [None] * ROWS})).version
    harness.clock.at += 60.0
    second = harness.train(table(seed=9)).version
    with harness.store.read() as tx:
        one, two = tx.layout(blind.layout_id), tx.layout(second.layout_id)
    assert one.names == ("distance", "carrier", "temp", "output")
    assert two.names == ("distance", "carrier", "temp", "temp", "output")
    assert one.axes[2].bins == 3, "null, and one edge that nothing was learnt of"
    assert two.axes[2].bins > 15
    assert two.axes[3] == one.axes[2], "the old one is counted beside it"


def test_outputs_are_counted_on_the_champions_bins_too(harness: TrainingHarness) -> None:
    first = harness.train(table()).version
    with harness.store.begin() as tx:
        tx.put_deployment(Deployment(MODEL, first.version))
    harness.clock.at += 60.0
    second = harness.train(table(seed=9)).version
    with harness.store.read() as tx:
        one, two = tx.layout(first.layout_id), tx.layout(second.layout_id)
    assert two.names == ("distance", "carrier", "temp", "output", f"output@{first.version}")
    assert two.axes[4] == replace(one.axes[3], name=f"output@{first.version}")


def test_the_same_table_and_seed_give_the_same_model(harness: TrainingHarness) -> None:
    one, two = harness.train(table()).version, harness.train(table()).version
    assert one.metrics == two.metrics
    assert one.lineage["data_version"] == two.lineage["data_version"]
    assert one.baseline == two.baseline
    graphs = [Path(v.artifact, "model.onnx").read_bytes() for v in (one, two)]
    assert graphs[0] == graphs[1]


@pytest.mark.parametrize("what", ["value", "label", "time"])
def test_any_change_of_the_table_is_another_data_version(
    harness: TrainingHarness, what: str
) -> None:
    one = harness.train(table()).version.lineage["data_version"]
    data = table()
    if what == "value":
        columns = {name: list(column) for name, column in data.columns.items()}
        columns["distance"][500] += 1e-9
        data = replace(data, columns=columns)
    elif what == "label":
        data.labels[500] = 1.0 - data.labels[500]
    else:
        data.times[500] += 1.0
    assert harness.train(data).version.lineage["data_version"] != one


def test_a_view_may_be_left_out(harness: TrainingHarness) -> None:
    version = harness.train(table(), Recipe(without=("weather",))).version
    assert version.views == ("plan",)
    assert version.lineage["without"] == "weather"
    assert version.features == ("distance", "carrier")
    predictor = load(version)
    one, other = (predictor.encode([900.0, "dl", t]) for t in (None, 10.0))
    assert one == other


def test_a_view_that_is_left_out_may_be_absent(harness: TrainingHarness) -> None:
    """Nothing is learned or remembered of it: its axis waits for a table that has it."""
    data = replace(spoiled(temp=[None] * ROWS), absent=frozenset(["temp"]))
    with pytest.raises(BadTrainingData, match="the table lacks temp, which the model needs"):
        harness.train(data)
    version = harness.train(data, Recipe(without=("weather",))).version
    with harness.store.read() as tx:
        assert tx.layout(version.layout_id).names == ("distance", "carrier", OUTPUT)
    harness.clock.at += 60.0
    later = harness.train(table()).version
    with harness.store.read() as tx:
        assert tx.layout(later.layout_id).names == ("distance", "carrier", "temp", OUTPUT)


def test_a_bad_row_has_the_number_that_its_table_gives_it(harness: TrainingHarness) -> None:
    distance = [1.0] * ROWS
    distance[7] = -1.0
    data = replace(spoiled(distance=distance), numbers=np.arange(ROWS) * 2 + 1)
    with pytest.raises(BadTrainingData, match=r"row 15: distance -1\.0 is outside"):
        harness.train(data)


def spoiled(**columns: list[Any]) -> TrainingData:
    data = table()
    return replace(data, columns={**data.columns, **columns})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (lambda: replace(table(), labels=np.full(ROWS, 1.0)), "all the same"),
        (lambda: replace(table(), labels=np.full(ROWS, 0.5)), "labels must be 0 or 1"),
        (lambda: replace(table(), labels=np.full(ROWS, np.nan)), "labels must be 0 or 1"),
        (lambda: table(0), "nothing to learn"),
        (lambda: spoiled(distance=[-1.0] * ROWS), "row 0: distance -1.0 is outside 0 to 5000"),
        (lambda: spoiled(distance=[None] * ROWS), "row 0: distance is null"),
        (lambda: spoiled(carrier=[3] * ROWS), "row 0: carrier must be a string"),
    ],
)
def test_a_table_that_breaks_the_promise_is_refused(
    harness: TrainingHarness, data: Any, said: str
) -> None:
    with pytest.raises(BadTrainingData, match="TRA-102") as raised:
        harness.train(data())
    assert said in raised.value.message
    assert harness.versions() == []


@pytest.mark.parametrize(
    ("file", "code"), [("min_rows: 400", "ACC-501"), ("auc_floor: 0.6", "ACC-502")]
)
def test_a_candidate_that_fails_is_not_registered(
    harness: TrainingHarness, file: str, code: str
) -> None:
    harness.clock.at += 1.0
    other = "min_rows: 5000" if "rows" in file else "auc_floor: 0.999"
    apply_model(harness.store, harness.clock, FILE.replace(file, other))
    with pytest.raises(CandidateRefused, match=code):
        harness.train(table())
    assert harness.versions() == []


def test_a_refusal_is_recorded_too(harness: TrainingHarness) -> None:
    harness.clock.at += 1.0
    apply_model(harness.store, harness.clock, FILE.replace("auc_floor: 0.6", "auc_floor: 0.999"))
    with pytest.raises(CandidateRefused):
        harness.train(table())
    with harness.store.read() as tx:
        assert [d.verdict.outcome for d in tx.decisions(MODEL, 10) if d.judge] == [Outcome.FAIL]


def test_every_row_is_checked(harness: TrainingHarness) -> None:
    rows = 6_000
    data = table(rows)
    columns = {name: list(column) for name, column in data.columns.items()}
    columns["distance"][3_001] = -1.0
    with pytest.raises(BadTrainingData, match="row 3001"):
        harness.train(replace(data, columns=columns))


@pytest.mark.parametrize("cut", [-1.0, 2.0])
def test_a_holdout_outside_the_table_says_so(harness: TrainingHarness, cut: float) -> None:
    with pytest.raises(BadTrainingData, match="holdout"):
        harness.train(table(), Recipe(holdout_from=START + 60.0 * ROWS * cut))


def test_an_unknown_view_cannot_be_left_out(harness: TrainingHarness) -> None:
    with pytest.raises(Exception, match="wether"):
        harness.train(table(), Recipe(without=("wether",)))


def test_a_crash_before_the_record_leaves_the_store_as_it_was(harness: TrainingHarness) -> None:
    class Dies(MlflowRegistry):
        def __init__(self) -> None:
            pass

        def register(self, *args: Any, **named: Any) -> Any:
            harness.registry.register(*args, **named)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_version(
            harness.store, Dies(), BoostedLearner(rounds=8, leaves=6), FileArtifacts().seal,
            harness.clock, CHAMPIONS, MODEL, table(), Recipe(),
        )  # fmt: skip
    assert harness.versions() == []
    trained = harness.train(table())
    assert harness.versions() == [trained.version.version]


def compared(trained: Trained, harness: TrainingHarness) -> dict[str, Any]:
    """The facts of the decision that let it in."""
    with harness.store.read() as tx:
        name = f"{MODEL}/register/{trained.version.version}"
        return dict(tx.decision(name).facts)


def test_a_candidate_is_compared_with_the_champion_on_the_same_rows(
    harness: TrainingHarness,
) -> None:
    first = harness.train(table())
    assert compared(first, harness)["against_champion"] is None
    deploy_version(harness.store, harness.clock, MODEL, first.version.version)
    same = harness.train(table(), Recipe(seed=1))
    against = compared(same, harness)["against_champion"]
    assert against["rows"] == 200  # the holdout
    assert abs(against["value"]) < 1e-6  # the same trees
    # Without the view that matters it is worse, beyond what chance explains.
    with pytest.raises(CandidateRefused, match=r"ACC-504: a row costs .* more than with the cham"):
        harness.train(table(), Recipe(without=("plan",)))
    assert harness.versions() == [first.version.version, same.version.version]


def test_a_person_may_accept_what_is_worse_and_that_is_on_record(harness: TrainingHarness) -> None:
    first = harness.train(table())
    deploy_version(harness.store, harness.clock, MODEL, first.version.version)
    signed = Recipe(without=("plan",), accept="the plan feed ends", accepted_by="ana")
    worse = harness.train(table(), signed)
    assert compared(worse, harness)["accepted"] == "the plan feed ends"
    assert worse.version.lineage["accepted"] == {"reason": "the plan feed ends", "by": "ana"}


def test_a_champion_that_cannot_be_asked_is_no_reason_to_refuse(harness: TrainingHarness) -> None:
    first = harness.train(table())
    deploy_version(harness.store, harness.clock, MODEL, first.version.version)
    graph = Path(first.version.artifact) / "model.onnx"
    graph.write_bytes(graph.read_bytes() + b"?")
    facts = compared(harness.train(table(), Recipe(seed=1)), harness)
    assert facts["against_champion"] is None
    assert facts["no_champion"].startswith("it cannot be asked: ")

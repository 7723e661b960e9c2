"""Where a version's time goes, measured in real processes on real models."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from usecases.optimizing import (
    TUMOUR,
    apply,
    past,
    register_network,
    register_trees,
    tumours,
    variant_services,
)
from usecases.registration import Registration

from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.measuring import MeasuringProcesses
from windvane.core.execution import latency_of
from windvane.ports.event_log import LogEntry
from windvane.ports.events import Predicted, RouteTaken
from windvane.ports.measuring import MeasureOrder, MeasuringFailed, StepTimes
from windvane.ports.runtime import Untrusted
from windvane.usecases.optimization_options import ProfileOptions
from windvane.usecases.profile_version import (
    NoRowsToMeasure,
    ProfileServices,
    VersionProfile,
    profile_version,
)
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.read_settings import HOME_VARIABLE
from windvane.usecases.registration_options import RegistrationOptions

pytestmark = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.takes_turns,
]


class FakeProcess:
    """Executes in no time that is measured: its version's own number of microseconds a row."""

    memory = 1 << 20

    def __init__(self, order: MeasureOrder, micro: float, turns: list[str]) -> None:
        self._order, self._micro, self._turns = order, micro, turns
        self.closed = False

    def round(self, batch: int, within_s: float) -> Sequence[float]:
        self._turns.append(f"{Path(self._order.artifact).name}/{self._order.threads}/{batch}")
        return [batch * self._micro * 1e-6] * 30

    def steps(self, within_s: float) -> StepTimes:
        assert self._order.requests
        return StepTimes(latency_of([[1e-4] * 10]), {"decode": 2e-5, "execute": 6e-5})

    def close(self) -> None:
        self.closed = True


class FakeMeasuring:
    """``micro``: of the version as served first, then of each other one, in turn."""

    def __init__(self, *micro: float) -> None:
        self._micro = iter(micro)
        self.started: list[FakeProcess] = []
        self.orders: list[MeasureOrder] = []
        self.turns: list[str] = []

    def start(self, order: MeasureOrder) -> FakeProcess:
        self.orders.append(order)
        micro = 0.0 if order.requests else next(self._micro)
        self.started.append(FakeProcess(order, micro, self.turns))
        return self.started[-1]


def profile(
    registration: Registration, measuring: Any, data: Any, folder: Path, **said: Any
) -> VersionProfile:
    ticks: Iterator[float] = itertools.count(0.0, 1e-3).__iter__()
    services = ProfileServices(
        variant_services(registration), registration.store, DeltaEventLog(str(folder / "log"), {}),
        measuring, lambda: next(ticks), registration.clock.now,
    )  # fmt: skip
    options = ProfileOptions(**{"seconds": 2.0, "threads": 2, **said})
    return profile_version(services, TUMOUR, None, data, options)


def by_name(found: VersionProfile) -> Mapping[str, Any]:
    return {one.name: one for one in found.options if one.batch == 1 and one.threads == 1}


def test_every_option_is_measured_by_turns_and_the_rest_is_named(
    registration: Registration, tmp_path: Path
) -> None:
    data = register_network(registration, tmp_path)
    measuring = FakeMeasuring(100.0, 50.0, 60.0, 49.0, 90.0)
    found = profile(registration, measuring, data, tmp_path, allowed=0.05)
    assert [(one.name, one.batch, one.threads) for one in found.options] == [
        *(("as served", batch, 1) for batch in (1, 8, 64, 512)),
        *((name, batch, 1) for name in ("fp32", "fp16", "int8") for batch in (1, 64)),
        *(("as served", batch, 2) for batch in (1, 64)),
    ]
    turn = measuring.turns[: len(found.options)]
    assert len(set(turn)) == len(turn), "each once"
    assert measuring.turns == turn * 10
    assert all(process.closed for process in measuring.started)
    held = by_name(found)
    assert held["as served"].rows_per_s == pytest.approx(10_000)
    assert held["as served"].loss is None
    assert held["as served"].score.rows == 57
    assert held["fp32"].moved == 0 < held["fp32"].difference < 1e-5
    assert held["int8"].moved > held["fp32"].moved
    assert held["int8"].loss == pytest.approx(
        1.0 - held["int8"].score.value / held["as served"].score.value
    )
    assert set(found.missing) == {"prune", "native"}
    assert "no trees" in found.missing["prune"]
    assert [one.partition(":")[0] for one in found.trades] == ["fp32", "fp16", "int8"]
    assert "50% less latency (100 µs to 50 µs)" in found.trades[0]
    assert found.best == "int8"
    assert [(one.name, one.share) for one in found.steps] == [
        ("decode", pytest.approx(0.25)), ("execute", pytest.approx(0.75)),
    ]  # fmt: skip


def test_trees_are_pruned_within_the_loss_and_the_reasons_are_in_words(
    registration: Registration, tmp_path: Path
) -> None:
    data, _ = register_trees(registration, tmp_path, "lightgbm")
    measuring = FakeMeasuring(100.0, 40.0, 90.0)
    found = profile(registration, measuring, data, tmp_path, allowed=0.05, threads=1)
    pruned = next(name for name in by_name(found) if name.startswith("prune to"))
    assert pruned.endswith("of 60 rounds")
    assert found.best == pruned
    for name in ("fp32", "fp16", "int8"):
        assert "move the splits" in found.missing[name]
    assert "a graph would round its thresholds" in found.missing["onnx"]
    assert all(order.threads == 1 for order in measuring.orders)


def test_another_version_is_an_option_of_its_own(
    registration: Registration, tmp_path: Path
) -> None:
    """So a graph is compared with the file that it came from, or a version with its successor."""
    data, _ = register_trees(registration, tmp_path, "lightgbm", rounds=10)
    register_network(registration, tmp_path)
    trees, network = registration.versions(TUMOUR)
    measuring = FakeMeasuring(100.0, 90.0, 90.0, 90.0, 10.0)
    found = profile(
        registration, measuring, data, tmp_path, beside=(trees,), allowed=1.0, threads=1
    )
    assert found.version == network
    other = by_name(found)[f"version {trees}"]
    assert other.moved > 0
    assert other.loss is not None
    assert found.trades[-1].startswith(f"version {trees}: ")
    assert found.best == f"version {trees}"


def log_rows(registration: Registration, data: Any, folder: Path, rows: int) -> None:
    """As the recorder would have written them."""
    with registration.store.read() as tx:
        contract = read_model_file(tx.model(TUMOUR).text).contract
    columns = [data.columns[name][:rows] for name in contract.names]
    event = Predicted(
        "e1", registration.clock.now() - 60.0, TUMOUR, "acme", contract.id, "", 900, rows,
        [""] * rows, [RouteTaken("1", "1", "champion")], columns, [[0.5] * rows],
    )  # fmt: skip
    log = DeltaEventLog(str(folder / "log"), {})
    log.append("s", 10, [LogEntry("s", 0, event)], {contract.id: contract})


def test_rows_of_the_log_have_no_labels_so_that_no_loss_is_told(
    registration: Registration, tmp_path: Path
) -> None:
    data = register_network(registration, tmp_path)
    with pytest.raises(NoRowsToMeasure, match="none of 0 logged rows") as caught:
        profile(registration, FakeMeasuring(), None, tmp_path)
    assert "--data" in caught.value.advice
    log_rows(registration, data, tmp_path, 30)
    measuring = FakeMeasuring(100.0, 10.0, 10.0, 10.0, 10.0)
    found = profile(registration, measuring, None, tmp_path)
    assert (found.rows, found.source) == (30, "the log of the last 30 days")
    first = [data.columns[name][0] for name in data.columns]
    assert list(measuring.orders[0].rows[0]) == first
    assert all(one.score is None and one.loss is None for one in found.options)
    assert "have no labels" in found.missing["loss"]
    assert "not known without labels" in found.trades[0]
    assert found.best == "as served", "what an option costs is not known"


def test_trees_are_not_pruned_by_rows_without_labels(
    registration: Registration, tmp_path: Path
) -> None:
    data, _ = register_trees(registration, tmp_path, "xgboost", rounds=5)
    log_rows(registration, data, tmp_path, 30)
    found = profile(registration, FakeMeasuring(100.0, 100.0), None, tmp_path)
    assert "--data" in found.missing["prune"]


def test_a_program_that_nobody_vouched_for_is_not_run(
    registration: Registration, tmp_path: Path
) -> None:
    import pickle

    from sklearn.linear_model import LogisticRegression

    data = tumours()
    apply(registration, TUMOUR, data)
    rows, labels = past(data)
    made = LogisticRegression(max_iter=5_000).fit(rows, labels)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(made))
    options = RegistrationOptions(inputs=tuple(data.columns), convert=False, trust=True)
    registration.register(tmp_path / "model.pkl", options, data=data, model=TUMOUR)
    with pytest.raises(Untrusted):
        profile(registration, FakeMeasuring(100.0), data, tmp_path)


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MeasuringProcesses:
    """The real ones, of a home of their own."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return MeasuringProcesses(tmp_path / "home")


def order_of(registration: Registration, data: Any, **said: Any) -> MeasureOrder:
    with registration.store.read() as tx:
        contract = read_model_file(tx.model(TUMOUR).text).contract
        record = tx.versions(TUMOUR)[-1]
    rows = [list(row) for row in zip(*(data.columns[n][:20] for n in contract.names), strict=True)]
    return MeasureOrder(
        TUMOUR, record.version, record.artifact, record.manifest, contract, rows, **said
    )


@pytest.mark.parametrize("library", ["onnx", "lightgbm", "xgboost"])
def test_a_process_measures_executions_of_a_real_version(
    registration: Registration, tmp_path: Path, processes: MeasuringProcesses, library: str
) -> None:
    if library == "onnx":
        data = register_network(registration, tmp_path)
    else:
        data, _ = register_trees(registration, tmp_path, library, rounds=5)
    process = processes.start(order_of(registration, data, threads=2))
    try:
        assert process.memory > 0
        for batch in (1, 64):  # more rows at once than there are
            found = process.round(batch, 0.05)
            assert len(found) >= 1
            assert all(seconds > 0.0 for seconds in found)
        assert len(process.round(1, 0.0)) == 1, "at least one"
    finally:
        process.close()


def test_the_steps_of_requests_add_up_to_the_whole(
    registration: Registration, tmp_path: Path, processes: MeasuringProcesses
) -> None:
    data = register_network(registration, tmp_path)
    process = processes.start(order_of(registration, data, requests=True))
    try:
        found = process.steps(0.5)
    finally:
        process.close()
    assert list(found.steps) == [
        "authenticate and admit", "decode and validate", "route", "encode the row for the model",
        "wait for the next batch", "execute the model", "check the outputs", "encode the answer",
        "record the event", "hand over",
    ]  # fmt: skip
    assert found.total.executions > 10
    assert all(seconds > 0.0 for seconds in found.steps.values())
    # Medians of parts: near to, but not exactly, that of the whole.
    assert 0.5 < sum(found.steps.values()) / found.total.median_s < 1.5


def test_what_a_process_cannot_measure_is_said(
    registration: Registration, tmp_path: Path, processes: MeasuringProcesses
) -> None:
    data = register_network(registration, tmp_path)
    order = order_of(registration, data)
    with pytest.raises(MeasuringFailed, match="manifest hashes to"):
        processes.start(
            MeasureOrder(
                TUMOUR, order.version, order.artifact, "0" * 64, order.contract, order.rows
            )
        )
    empty = MeasureOrder(TUMOUR, order.version, order.artifact, order.manifest, order.contract, [])
    with pytest.raises(MeasuringFailed, match="no row to measure on"):
        processes.start(empty)

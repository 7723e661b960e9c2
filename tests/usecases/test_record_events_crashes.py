"""Every event once, wherever and however often the recorder dies."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from usecases.harness import FILE, MODEL, START, WINDOW_S
from usecases.recording import (
    AT_ONCE,
    RecorderHarness,
    denied,
    opened,
    opened_on,
    outcome,
    predicted,
    refused,
)

from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.delta.arrow_rows import ArrowRows
from windvane.adapters.delta.tables import TABLES
from windvane.adapters.spool import FileSpoolReader
from windvane.adapters.sql import SqlControlStore
from windvane.ports.control_store import ControlStore, Tx
from windvane.ports.events import EVENT_ENCODER, SpoolRecord
from windvane.ports.spool import Batch
from windvane.usecases.commit_log import CommitPolicy
from windvane.usecases.read_model_file import read_model_file

# deltalake 1.6 deprecates the argument that the adapter prunes partitions by
pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


class Killed(BaseException):
    """The process is gone; no handler may catch it."""


class Fuse:
    """Lets ``steps`` calls begin and end, then kills: before an odd one, after an even one."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.blown = False

    def around(self, call: Callable[[], Any]) -> Any:
        self._burn()
        result = call()
        self._burn()
        return result

    def _burn(self) -> None:
        if self.left == 0:
            self.blown = True
            raise Killed
        self.left -= 1


class FusedStore:
    """The real store, which dies at, inside or after a transaction."""

    def __init__(self, store: ControlStore, fuse: Fuse) -> None:
        self._store, self._fuse = store, fuse

    @contextmanager
    def begin(self, models: Any = None) -> Iterator[Tx]:
        fuse = self._fuse
        fuse.around(lambda: None)
        with self._store.begin(models) as tx:
            yield tx
            fuse.around(lambda: None)  # all is written, nothing committed
        fuse.around(lambda: None)

    def read(self) -> Any:
        return self._fuse.around(self._store.read)

    def sync(self) -> None:
        self._fuse.around(self._store.sync)

    def migrate(self) -> None:
        self._store.migrate()

    def close(self) -> None:
        self._store.close()


class FusedLog(DeltaEventLog):
    """The real log, which dies before, between and after its tables."""

    def __init__(self, root: str, storage: Mapping[str, str], fuse: Fuse) -> None:
        super().__init__(root, storage)
        self._fuse = fuse

    def commit(self, rows: Sequence[Any], ends: Mapping[str, int]) -> None:
        for name in TABLES:
            mine = [
                ArrowRows(one.spool, one.end, {name: one.tables[name]})
                for one in rows
                if name in one.tables
            ]
            if mine:
                self._fuse.around(lambda part=mine: super(FusedLog, self).commit(part, ends))


class FusedSpool(FileSpoolReader):
    def __init__(self, root: Path, fuse: Fuse) -> None:
        super().__init__(root)
        self._fuse = fuse

    def read(self, spool: str, position: int, limit: int) -> Batch:
        return self._fuse.around(lambda: super(FusedSpool, self).read(spool, position, limit))

    def release(self, spool: str, position: int) -> None:
        self._fuse.around(lambda: super(FusedSpool, self).release(spool, position))


def run_until_killed(
    recording: RecorderHarness, steps: int, policy: CommitPolicy = AT_ONCE
) -> bool:
    """One recorder with a fuse; whether it was killed."""
    fuse = Fuse(steps)
    try:
        recorder = recording.start(
            FusedStore(recording.store, fuse),
            FusedLog(recording.log_root, recording.log_storage, fuse),
            FusedSpool(recording.folder / "spool", fuse),
            policy,
        )
        recorder.step()
    except Killed:
        assert fuse.blown
        return True
    return False


def mixed() -> list[SpoolRecord]:
    """All kinds, two windows, a repetition under another key and a rollout's units."""
    canary: dict[str, Any] = {"rollout": "delay/2/9#0", "arm": "challenger", "routed": "2"}
    return [
        predicted("a", START, rows=2),
        refused("b", START + 1),
        outcome("a", START + 2),
        predicted("a", START + 3, key="k2"),
        denied("f", START + 4),
        predicted("c", START + WINDOW_S, unit="u1", flags=["failed"], **canary),
        predicted("d", START + WINDOW_S + 1, unit="u2", tenant="UA", **canary),
        outcome("d", START + WINDOW_S + 2, tenant="UA"),
    ]


CONTRACT = read_model_file(FILE).contract


def outcome_of(recording: RecorderHarness) -> dict[str, Any]:
    return {
        "log": recording.log.counts(MODEL),
        "sketches": {key: sketch.to_bytes() for key, sketch in recording.sketches().items()},
        "units": recording.units("delay/2/9"),
        "access": recording.access(),
        "checkpoints": [(c.spool, c.position, c.logged) for c in recording.checkpoints()],
        "requests": Counter(
            (row["tenant"], row["prediction_id"], row["row"])
            for row in DeltaEventLog(recording.log_root, recording.log_storage).samples(
                MODEL, CONTRACT, START - 1e5, START + 1e5, {}, 1_000
            )
        ),
    }


def write_all(recording: RecorderHarness) -> None:
    """Three spools; the last one has nothing for the log."""
    recording.write(mixed())
    recording.write([predicted("c", START + 5), predicted("e", START + 6)], "m-w1")
    recording.write([denied("g", START + 7, "UA", "k9")], "m-w2")


@pytest.fixture(scope="session")
def undisturbed(applied: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a recorder that never dies leaves behind."""
    with opened(applied, tmp_path_factory.mktemp("undisturbed")) as recording:
        write_all(recording)
        recording.start().step()
        return outcome_of(recording)


STEPS = 64  # a few more than there are; the next test holds them to be all


@pytest.mark.parametrize("steps", range(STEPS))
def test_each_event_counts_once_wherever_the_recorder_dies(
    recording: RecorderHarness, undisturbed: dict[str, Any], steps: int
) -> None:
    write_all(recording)
    run_until_killed(recording, steps)
    recording.start().step()
    assert outcome_of(recording) == undisturbed


SELDOM = CommitPolicy(every_s=1e9)


def gathered_then_killed(recording: RecorderHarness, steps: int | None) -> bool:
    """A recorder whose rows wait for the log is killed, and the next one after some steps."""
    recording.write([predicted("first", START - WINDOW_S)])
    recorder = recording.start(policy=SELDOM)
    recorder.step()
    write_all(recording)
    recorder.step()
    return steps is not None and run_until_killed(recording, steps, SELDOM)


@pytest.fixture(scope="session")
def gathered(applied: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with opened(applied, tmp_path_factory.mktemp("gathered")) as recording:
        recording.write([predicted("first", START - WINDOW_S)])
        write_all(recording)
        recording.start().step()
        return outcome_of(recording)


@pytest.mark.parametrize("steps", range(40))
def test_what_waits_for_the_log_is_there_once_wherever_the_next_recorder_dies(
    recording: RecorderHarness, gathered: dict[str, Any], steps: int
) -> None:
    gathered_then_killed(recording, steps)
    recording.start().step()
    assert outcome_of(recording) == gathered


@pytest.mark.parametrize("steps", range(STEPS))
def test_it_may_die_at_any_point_while_rows_gather(
    recording: RecorderHarness, gathered: dict[str, Any], steps: int
) -> None:
    recording.write([predicted("first", START - WINDOW_S)])
    recording.start(policy=SELDOM).step()
    write_all(recording)
    run_until_killed(recording, steps, SELDOM)
    recording.start().step()
    assert outcome_of(recording) == gathered


def test_rows_did_wait(recording: RecorderHarness, gathered: dict[str, Any]) -> None:
    gathered_then_killed(recording, None)
    assert recording.log.counts(MODEL) != gathered["log"]


@pytest.fixture(params=["sqlite and s3", "postgresql and s3"])
def elsewhere(
    request: pytest.FixtureRequest, applied: Path, tmp_path: Path, object_store: Any
) -> Iterator[RecorderHarness]:
    """One machine whose log lies in a bucket, and whose store may be another machine's."""
    name = ""
    if request.param == "sqlite and s3":
        shutil.copy(applied, tmp_path / "control.db")
        store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    else:
        postgres = request.getfixturevalue("postgres")
        name = postgres.database(request.getfixturevalue("applied_database"))
        store = SqlControlStore(postgres.url(name))
    root = f"{object_store.bucket()}/log"
    with opened_on(store, tmp_path, root, object_store.storage) as recording:
        yield recording
    if name:
        postgres.drop(name)


@pytest.mark.parametrize("steps", range(2, STEPS, 7))
def test_on_other_stores_it_is_the_same(
    elsewhere: RecorderHarness, undisturbed: dict[str, Any], steps: int
) -> None:
    write_all(elsewhere)
    run_until_killed(elsewhere, steps)
    elsewhere.start().step()
    assert outcome_of(elsewhere) == undisturbed


@pytest.mark.parametrize("steps", [None, 3, 8, 11, 14, 19])
def test_on_other_stores_what_waits_is_there_once(
    elsewhere: RecorderHarness, gathered: dict[str, Any], steps: int | None
) -> None:
    gathered_then_killed(elsewhere, steps)
    elsewhere.start().step()
    assert outcome_of(elsewhere) == gathered


def test_most_of_them_kill(recording: RecorderHarness) -> None:
    write_all(recording)
    assert run_until_killed(recording, STEPS - 10)


def test_there_are_no_further_crash_points(recording: RecorderHarness) -> None:
    write_all(recording)
    assert not run_until_killed(recording, STEPS)


@settings(max_examples=12)
@given(
    st.lists(st.integers(0, 30), max_size=5),
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.sampled_from([AT_ONCE, SELDOM, CommitPolicy(every_s=1e9, max_bytes=3_000)]),
)
def test_it_may_die_again_and_again_between_any_batches(
    applied: Path, deaths: list[int], batches: list[int], policy: CommitPolicy
) -> None:
    with TemporaryDirectory() as home, opened(applied, Path(home)) as recording:
        sent, dying = 0, list(deaths)
        for size in batches:
            events = [
                event
                for i in range(sent, sent + size)
                for event in (predicted(f"r{i}", START + 20.0 * i), outcome(f"r{i}", START + i))
            ]
            recording.write(events, segment=400)
            sent += size
            if dying:
                run_until_killed(recording, dying.pop(), policy)
        while dying:
            run_until_killed(recording, dying.pop(), policy)
        recording.start().step()
        assert recording.log.counts(MODEL) == {"predictions": sent, "refusals": 0, "outcomes": sent}
        assert (recording.total("rows"), recording.total("outcomes")) == (sent, sent)
        assert sum(sketch.latency.sum() for sketch in recording.sketches().values()) == sent
        assert Counter(line.action for line in recording.access() for _ in range(line.calls)) == {
            "predict": sent, "outcomes": sent,
        }  # fmt: skip


def bad_among_good(recording: RecorderHarness) -> None:
    """Two bad events, one of them put back while the recorder is down; the spool goes on."""
    recording.write([predicted("a"), predicted("bad1", values=[1.0]), outcome("a")])
    recording.writers["m-w0"].append(b"no event")
    recording.write([predicted("b")])


def outcome_with_quarantine(recording: RecorderHarness) -> dict[str, Any]:
    with recording.store.read() as tx:
        held = sorted((i.source, i.reason, i.status) for i in tx.quarantined())
        return {**outcome_of(recording), "held": held, "counts": dict(tx.counts())}


def mended(recording: RecorderHarness) -> None:
    """As if the release after this one could count it."""
    body = EVENT_ENCODER.encode(predicted("bad1"))
    with recording.store.begin() as tx:
        item = next(i for i in tx.quarantined() if i.reason == "REC-106")
        tx.drop_quarantined([item.id])
        tx.add_quarantined([replace(item, body=body, size=len(body))])
        assert tx.retry_quarantined([item.id]) == 1


@pytest.mark.parametrize("again", [False, True])
def test_what_is_set_aside_and_put_back_is_there_once_wherever_the_recorder_dies(
    applied: Path, again: bool
) -> None:
    def run(steps: int | None) -> tuple[bool, dict[str, Any]]:
        with TemporaryDirectory() as home, opened(applied, Path(home)) as recording:
            bad_among_good(recording)
            if again:
                recording.start().step()
                mended(recording)
            killed = steps is not None and run_until_killed(recording, steps)
            recording.start().step()
            recording.start().step()
            return killed, outcome_with_quarantine(recording)

    _, undisturbed = run(None)
    assert undisturbed["log"]["predictions"] == (3 if again else 2)
    reasons = {reason for _, reason, _ in undisturbed["held"]}
    assert reasons == ({"REC-101"} if again else {"REC-101", "REC-106"})
    steps, killed = 0, True
    while killed:
        killed, found = run(steps)
        assert found == undisturbed, steps
        steps += 1
    assert steps > 10

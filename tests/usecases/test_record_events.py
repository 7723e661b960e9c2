"""From spool to log and sketches: every event once, wherever the recorder dies."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from usecases.house import FILE, MODEL, START, WINDOW_S, House, ManualClock, Trained

from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.spool import FileSpoolReader, FileSpoolWriter
from windvane.adapters.sql import SqlControlStore
from windvane.core.sketch import Sketch, merge
from windvane.ports.control_store import ControlStore, SpoolMark, Tx, UnitCounts, WindowKey
from windvane.ports.event_log import EventLog
from windvane.ports.events import EVENT_ENCODER, Event, OutcomeSeen, Predicted, Refused, Row
from windvane.ports.spool import Batch, SpoolReader
from windvane.usecases.record_events import Recorder, SeenKeys

# deltalake 1.6 deprecates the argument that the adapter prunes partitions by
pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


def predicted(
    request: str, ts: float = START, tenant: str = "AA", rollout: str = "", slow: bool = False,
    rows: int = 1, **row: Any,
) -> Predicted:  # fmt: skip
    given: dict[str, Any] = {
        "unit": "u1", "routed": "1", "answered": "1", "arm": "champion",
        "values": [500.0, "dl", 60.0], "output": 0.3, "flags": [], **row,
    }  # fmt: skip
    latency = 150_000 if slow else 900
    return Predicted(
        request, ts, MODEL, tenant, Events.layout_id, rollout, latency, [Row(**given)] * rows
    )


def refused(request: str, ts: float = START, tenant: str = "AA") -> Refused:
    return Refused(request, ts, MODEL, tenant, Events.layout_id, "CON-101", "x is null", "{}")


def outcome(request: str, ts: float = START, tenant: str = "AA", event: str = "") -> OutcomeSeen:
    name = event or f"{request}/0"
    return OutcomeSeen(name, ts, MODEL, tenant, Events.layout_id, request, 0, 1.0)


class Events:
    """The layout that events name; set once the session's layout is known."""

    layout_id = ""


@pytest.fixture(autouse=True)
def known_layout(trained: Trained) -> None:
    Events.layout_id = trained.layout.id


@dataclass
class Site:
    """One machine: a store, a log and spools; a recorder may be started on it at any time."""

    folder: Path
    store: ControlStore
    log: EventLog
    clock: ManualClock = field(default_factory=ManualClock)
    writers: dict[str, FileSpoolWriter] = field(default_factory=dict)

    def write(self, events: Sequence[Event], spool: str = "m-w0", segment: int = 8 << 20) -> None:
        if spool not in self.writers:
            folder = self.folder / "spool" / spool
            self.writers[spool] = FileSpoolWriter(folder, segment_bytes=segment)
        for event in events:
            self.writers[spool].append(EVENT_ENCODER.encode(event))

    def start(
        self,
        store: ControlStore | None = None,
        log: EventLog | None = None,
        spool: SpoolReader | None = None,
    ) -> Recorder:
        reader = spool or FileSpoolReader(self.folder / "spool")
        return Recorder("m", store or self.store, log or self.log, reader, self.clock)

    def sketches(self) -> dict[WindowKey, Sketch]:
        with self.store.read() as tx:
            return dict(tx.sketches(MODEL, 0.0, 1e12))

    def total(self, name: str) -> int:
        return sum(sketch.total(name) for sketch in self.sketches().values())

    def units(self, rollout: str) -> list[UnitCounts]:
        with self.store.read() as tx:
            return tx.unit_counts(rollout)

    def marks(self) -> list[SpoolMark]:
        with self.store.read() as tx:
            return tx.marks()

    def close(self) -> None:
        for writer in self.writers.values():
            writer.close()


@contextmanager
def opened(template: Path, folder: Path) -> Iterator[Site]:
    shutil.copy(template, folder / "control.db")
    store = SqlControlStore(f"sqlite:///{folder / 'control.db'}")
    site = Site(folder, store, DeltaEventLog(str(folder / "log")))
    try:
        yield site
    finally:
        site.close()
        store.close()


@pytest.fixture(scope="session")
def applied(
    tmp_path_factory: pytest.TempPathFactory, migrated_file: Path, trained: Trained
) -> Path:
    """A store that knows the model and its layout, to copy from."""
    folder = tmp_path_factory.mktemp("applied")
    shutil.copy(migrated_file, folder / "control.db")
    store = SqlControlStore(f"sqlite:///{folder / 'control.db'}")
    house = House(folder, store, trained)
    house.apply(FILE)
    house.add_version("1")
    store.close()
    return folder / "control.db"


@pytest.fixture
def site(applied: Path, tmp_path: Path) -> Iterator[Site]:
    with opened(applied, tmp_path) as found:
        yield found


# What is counted


def test_each_kind_is_counted_in_its_window(site: Site) -> None:
    site.write(
        [
            predicted("a", START + 59.9, rows=3),
            predicted("b", START + 60.0, answered="", flags=["failed"]),
            predicted("c", START + 61.0, tenant="UA", arm="challenger", routed="2", answered="2"),
            refused("d", START + 62.0),
            outcome("a", START + 63.0),
        ]
    )
    assert site.start().step() == 5
    found = {
        (key.start - START, key.version, key.arm, key.tenant): {
            name: sketch.total(name)
            for name in ("rows", "requests", "execution_errors", "fell_back", "refused", "outcomes")
            if sketch.total(name)
        }
        for key, sketch in site.sketches().items()
    }
    assert found == {
        (0.0, "1", "champion", "AA"): {"rows": 3, "requests": 1},
        (60.0, "1", "champion", "AA"): {
            "rows": 1, "requests": 1, "execution_errors": 1, "fell_back": 1,
        },
        (60.0, "2", "challenger", "UA"): {"rows": 1, "requests": 1},
        (60.0, "", "", "AA"): {"refused": 1, "outcomes": 1},
    }  # fmt: skip
    assert {key.recorder for key in site.sketches()} == {"m"}
    assert site.log.counts(MODEL) == {"predictions": 5, "refusals": 1, "outcomes": 1}


def test_features_lie_in_their_bins(site: Site, trained: Trained) -> None:
    site.write(
        [
            predicted("a", values=[500.0, "dl", None], output=0.99),
            predicted("b", values=[500.0, "??", 60.0], output=0.0),
        ]
    )
    site.start().step()
    (sketch,) = site.sketches().values()
    layout = trained.layout
    assert layout.part(sketch.features, "temp")[0] == 1  # null
    assert layout.part(sketch.features, "carrier")[[2, -1]].tolist() == [1, 1]  # dl, unseen
    assert layout.part(sketch.features, "output")[[1, -1]].tolist() == [1, 1]
    assert sketch.latency.sum() == 2


def test_any_cut_into_batches_gives_the_same_sketches(applied: Path, tmp_path: Path) -> None:
    events = [predicted(f"r{i}", START + 7.0 * i, rows=1 + i % 3) for i in range(30)]
    found = []
    for each in (1, 7, 30):
        folder = tmp_path / str(each)
        folder.mkdir()
        with opened(applied, folder) as site:
            recorder = site.start()
            for at in range(0, len(events), each):
                site.write(events[at : at + each])
                recorder.step()
            found.append({key: sketch.to_bytes() for key, sketch in site.sketches().items()})
    assert found[0] == found[1] == found[2]


def test_the_units_of_a_rollout_are_counted_once(site: Site) -> None:
    canary: dict[str, Any] = {"rollout": "delay/2/9#0", "arm": "challenger", "routed": "2"}
    later = {**canary, "rollout": "delay/2/9#1"}
    site.write(
        [
            predicted("a", unit="u1", **canary),
            predicted("b", unit="u1", **canary),
            predicted("c", unit="u2", flags=["failed"], **canary),
            predicted("d", unit="u2", flags=["failed"], **later),
            predicted("e", unit="u3", slow=True, **later),
            predicted("f", unit="u4", rollout="delay/2/9#0"),  # a lucky champion unit is not kept
            predicted("g", unit="u5", rollout="delay/2/9#0", flags=["failed"]),
            predicted("h", unit="u6", flags=["failed"]),  # no rollout
        ]
    )
    site.start().step()
    assert site.units("delay/2/9") == [
        UnitCounts("challenger", 0, 2, 1, 0),
        UnitCounts("challenger", 1, 1, 0, 1),
        UnitCounts("champion", 0, 1, 1, 0),
    ]


# Repetitions


def test_a_repeated_request_is_recorded_once(site: Site) -> None:
    """A client tries again at another worker; and the same outcome is told twice."""
    site.write([predicted("a"), outcome("a")])
    site.write([predicted("a"), predicted("b"), outcome("a")], "m-w1")
    site.start().step()
    assert site.log.counts(MODEL) == {"predictions": 2, "refusals": 0, "outcomes": 1}
    assert (site.total("rows"), site.total("outcomes")) == (2, 1)


def test_a_repetition_after_a_restart_is_recorded_once(site: Site) -> None:
    site.write([predicted("a"), outcome("a")])
    site.start().step()
    site.write([predicted("a"), outcome("a"), predicted("b")], "m-w1")
    site.start().step()
    assert site.log.counts(MODEL) == {"predictions": 2, "refusals": 0, "outcomes": 1}
    assert (site.total("rows"), site.total("outcomes")) == (2, 1)


def test_two_tenants_may_use_the_same_request_id(site: Site) -> None:
    site.write(
        [predicted("a"), predicted("a", tenant="UA"), outcome("a"), outcome("a", tenant="UA")]
    )
    site.start().step()
    assert site.log.counts(MODEL) == {"predictions": 2, "refusals": 0, "outcomes": 2}
    assert Counter(key.tenant for key in site.sketches() if key.arm) == {"AA": 1, "UA": 1}


def test_a_mended_request_is_not_a_repetition_of_its_refusal(site: Site) -> None:
    site.write([refused("a"), predicted("a")])
    site.start().step()
    assert site.log.counts(MODEL) == {"predictions": 1, "refusals": 1, "outcomes": 0}


@given(st.lists(st.integers(0, 12), max_size=40), st.integers(1, 15))
def test_seen_keys_forget_the_oldest(words: list[int], limit: int) -> None:
    seen, kept = SeenKeys(limit), []
    for word in map(str, words):
        assert seen.add(word) == (word not in kept)
        if word not in kept:
            kept = [*kept, word][-limit:]


# What cannot be read


def test_an_unreadable_event_is_skipped_loudly(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.write([predicted("a")])
    site.writers["m-w0"].append(b"\x93not an event")
    site.write([predicted("b")])
    assert site.start().step() == 2
    assert "is not readable" in caplog.text
    assert site.total("rows") == 2


# Watermarks


def test_the_watermark_follows_events_and_idle_time(site: Site) -> None:
    recorder = site.start()
    site.clock.at = START + 5.0
    site.write([predicted("a", START + 4.0), predicted("b", START + 3.0)])
    recorder.step()
    (mark,) = site.marks()
    assert mark.watermark == START + 5.0  # drained when the clock stood there
    site.clock.at = START + 90.0
    assert recorder.step() == 0
    (later,) = site.marks()
    assert (later.position, later.watermark) == (mark.position, START + 90.0)
    site.clock.at = START + 10.0
    recorder.step()
    assert site.marks() == [later]


def test_an_empty_spool_has_a_mark_too(site: Site) -> None:
    """A worker without traffic must not keep the windows open."""
    site.write([], "m-w1")
    site.start().step()
    assert site.marks() == [SpoolMark("m-w1", 0, START)]


def test_what_is_recorded_is_released(site: Site) -> None:
    site.write([predicted(f"r{i}") for i in range(40)], segment=500)
    before = list((site.folder / "spool" / "m-w0").glob("*.spool"))
    site.start().step()
    after = list((site.folder / "spool" / "m-w0").glob("*.spool"))
    assert len(before) > 3
    assert len(after) == 1


# Crashes


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
    def begin(self) -> Iterator[Tx]:
        fuse = self._fuse
        fuse.around(lambda: None)
        with self._store.begin() as tx:
            yield tx
            fuse.around(lambda: None)  # all is written, nothing committed
        fuse.around(lambda: None)

    def read(self) -> Any:
        return self._fuse.around(self._store.read)

    def migrate(self) -> None:
        self._store.migrate()

    def close(self) -> None:
        self._store.close()


class FusedLog(DeltaEventLog):
    """The real log, which dies before, between and after its tables."""

    def __init__(self, root: str, fuse: Fuse) -> None:
        super().__init__(root)
        self._fuse = fuse

    def append(self, spool: str, end: int, entries: Any, schemas: Any) -> None:
        kinds = dict.fromkeys(type(e.event) for e in entries)
        for kind in kinds or [None]:
            mine = [e for e in entries if type(e.event) is kind]
            self._fuse.around(
                lambda part=mine: super(FusedLog, self).append(spool, end, part, schemas)
            )


class FusedSpool(FileSpoolReader):
    def __init__(self, root: Path, fuse: Fuse) -> None:
        super().__init__(root)
        self._fuse = fuse

    def read(self, spool: str, position: int, limit: int) -> Batch:
        return self._fuse.around(lambda: super(FusedSpool, self).read(spool, position, limit))

    def release(self, spool: str, position: int) -> None:
        self._fuse.around(lambda: super(FusedSpool, self).release(spool, position))


def run_until_killed(site: Site, steps: int) -> bool:
    """One recorder with a fuse; whether it was killed."""
    fuse = Fuse(steps)
    try:
        recorder = site.start(
            FusedStore(site.store, fuse),
            FusedLog(str(site.folder / "log"), fuse),
            FusedSpool(site.folder / "spool", fuse),
        )
        recorder.step()
    except Killed:
        assert fuse.blown
        return True
    return False


def mixed() -> list[Event]:
    """All kinds, two windows, a repetition and a rollout's units."""
    canary: dict[str, Any] = {"rollout": "delay/2/9#0", "arm": "challenger", "routed": "2"}
    return [
        predicted("a", START, rows=2),
        refused("b", START + 1),
        outcome("a", START + 2),
        predicted("a", START + 3),
        predicted("c", START + WINDOW_S, unit="u1", flags=["failed"], **canary),
        predicted("d", START + WINDOW_S + 1, unit="u2", tenant="UA", **canary),
        outcome("d", START + WINDOW_S + 2, tenant="UA"),
    ]


def outcome_of(site: Site) -> dict[str, Any]:
    return {
        "log": site.log.counts(MODEL),
        "sketches": {key: sketch.to_bytes() for key, sketch in site.sketches().items()},
        "units": site.units("delay/2/9"),
        "marks": [(mark.spool, mark.position) for mark in site.marks()],
        "requests": Counter(
            (row["tenant"], row["request_id"], row["row"])
            for row in DeltaEventLog(str(site.folder / "log")).samples(
                MODEL, START - 1e5, START + 1e5, {}, 1_000
            )
        ),
    }


@pytest.fixture(scope="session")
def undisturbed(
    applied: Path, tmp_path_factory: pytest.TempPathFactory, trained: Trained
) -> dict[str, Any]:
    """What a recorder that never dies leaves behind."""
    Events.layout_id = trained.layout.id
    with opened(applied, tmp_path_factory.mktemp("undisturbed")) as site:
        site.write(mixed())
        site.write([predicted("c", START + 5), predicted("e", START + 6)], "m-w1")
        site.start().step()
        return outcome_of(site)


STEPS = 40  # a few more than there are; the next test holds them to be all


@pytest.mark.parametrize("steps", range(STEPS))
def test_each_event_counts_once_wherever_the_recorder_dies(
    site: Site, undisturbed: dict[str, Any], steps: int
) -> None:
    site.write(mixed())
    site.write([predicted("c", START + 5), predicted("e", START + 6)], "m-w1")
    run_until_killed(site, steps)
    site.start().step()
    assert outcome_of(site) == undisturbed


def test_most_of_them_kill(site: Site) -> None:
    site.write(mixed())
    site.write([predicted("c", START + 5), predicted("e", START + 6)], "m-w1")
    assert run_until_killed(site, STEPS - 10)


def test_there_are_no_further_crash_points(site: Site) -> None:
    site.write(mixed())
    site.write([predicted("c", START + 5), predicted("e", START + 6)], "m-w1")
    assert not run_until_killed(site, STEPS)


@settings(max_examples=12)
@given(
    st.lists(st.integers(0, 30), max_size=5),
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
)
def test_it_may_die_again_and_again_between_any_batches(
    applied: Path, deaths: list[int], batches: list[int]
) -> None:
    with TemporaryDirectory() as home, opened(applied, Path(home)) as site:
        sent, dying = 0, list(deaths)
        for size in batches:
            events = [
                event
                for i in range(sent, sent + size)
                for event in (predicted(f"r{i}", START + 20.0 * i), outcome(f"r{i}", START + i))
            ]
            site.write(events, segment=400)
            sent += size
            if dying:
                run_until_killed(site, dying.pop())
        while dying:
            run_until_killed(site, dying.pop())
        site.start().step()
        assert site.log.counts(MODEL) == {"predictions": sent, "refusals": 0, "outcomes": sent}
        assert (site.total("rows"), site.total("outcomes")) == (sent, sent)
        whole = merge(site.sketches().values())
        assert whole is not None
        assert whole.latency.sum() == sent


# Tenants


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["AA", "UA", "A", "AA\x00p", ""]),
            st.sampled_from(["r1", "r2", "p\x00r1", ""]),
            st.sampled_from(["p", "r", "o"]),
        ),
        max_size=14,
    )
)
def test_no_tenant_can_hide_or_change_anothers_events(
    applied: Path, sent: list[tuple[str, str, str]]
) -> None:
    """With any names and ids, each tenant has what it would have alone."""
    make: dict[str, Any] = {"p": predicted, "r": refused, "o": outcome}
    with TemporaryDirectory() as home, opened(applied, Path(home)) as site:
        site.write([make[kind](request, tenant=tenant) for tenant, request, kind in sent])
        site.start().step()
        expected = Counter((tenant, kind) for tenant, request, kind in set(sent))
        found: Counter[tuple[str, str]] = Counter()
        for key, sketch in site.sketches().items():
            for kind, name in (("p", "rows"), ("r", "refused"), ("o", "outcomes")):
                if sketch.total(name):
                    found[key.tenant, kind] += sketch.total(name)
        assert found == expected
        for tenant in {tenant for tenant, _, _ in sent}:
            refusals = site.log.refusals(MODEL, tenant, START - 1, START + 1, 100)
            assert {row["tenant"] for row in refusals} <= {tenant}
            assert len(refusals) == expected[tenant, "r"]

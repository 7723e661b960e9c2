"""From spool to log and sketches: what is counted, once, for whom and until when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from usecases.harness import FILE, MODEL, START, Trained
from usecases.recording import (
    ANY_STAGE,
    RecorderHarness,
    opened,
    outcome,
    predicted,
    refused,
    unanswered,
)

from windvane.core.rollout import FAILED, SLOW, ArmCounts, FirstEvents, StageFacts
from windvane.core.sketch import Layout
from windvane.ports.control_store import Checkpoint
from windvane.usecases.apply_model import apply_model
from windvane.usecases.seen_keys import SeenKeys

# deltalake 1.6 deprecates the argument that the adapter prunes partitions by
pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")

# What is counted


def test_each_kind_is_counted_in_its_window(recording: RecorderHarness) -> None:
    recording.write(
        [
            predicted("a", START + 59.9, rows=3),
            predicted("b", START + 60.0, answered="", flags=["failed"]),
            predicted("c", START + 61.0, tenant="UA", arm="challenger", routed="2", answered="2"),
            refused("d", START + 62.0),
            outcome("a", START + 63.0),
        ]
    )
    assert recording.start().step() == 5
    found = {
        (key.start - START, key.version, key.arm, key.tenant): {
            name: sketch.total(name)
            for name in ("rows", "requests", "execution_errors", "fell_back", "refused", "outcomes")
            if sketch.total(name)
        }
        for key, sketch in recording.sketches().items()
    }
    assert found == {
        (0.0, "1", "champion", "AA"): {"rows": 3, "requests": 1},
        (60.0, "1", "champion", "AA"): {
            "rows": 1, "requests": 1, "execution_errors": 1, "fell_back": 1,
        },
        (60.0, "2", "challenger", "UA"): {"rows": 1, "requests": 1},
        (60.0, "", "", "AA"): {"refused": 1, "outcomes": 1},
    }  # fmt: skip
    assert {key.recorder for key in recording.sketches()} == {"m"}
    assert recording.log.counts(MODEL) == {"predictions": 5, "refusals": 1, "outcomes": 1}


def test_of_what_was_made_elsewhere_only_latencies_that_were_told_are_counted(
    recording: RecorderHarness,
) -> None:
    made = [predicted(f"r{i}", flags=["imported"]) for i in range(3)]
    silent = [msgspec.structs.replace(one, latency_us=0) for one in made[:2]]
    recording.write([*silent, made[2], msgspec.structs.replace(refused("r9"), requests=5)])
    assert recording.start().step() == 4
    told = [recording.total(name) for name in ("rows", "requests", "refused")]
    assert told == [3, 3, 5]
    assert sum(int(sketch.latency.sum()) for sketch in recording.sketches().values()) == 1


def test_rows_that_a_cascade_selected_are_counted_apart(recording: RecorderHarness) -> None:
    """Their units, and those of a canary, stay with the arm that they took."""
    canary: dict[str, Any] = {"arm": "challenger", "routed": "2", "answered": "2"}
    recording.write(
        [
            predicted("a"),
            predicted("b/0", flags=["cascaded", "failed"], answered="", rollout="delay/2/9#0"),
            predicted("c/1", flags=["cascaded"], **canary),
        ]
    )
    recording.start().step()
    found = {
        (key.arm, name): sketch.total(name)
        for key, sketch in recording.sketches().items()
        for name in ("rows", "execution_errors")
        if sketch.total(name)
    }
    assert found == {
        ("champion", "rows"): 1, ("selected", "rows"): 1, ("selected", "execution_errors"): 1,
        ("selected_challenger", "rows"): 1,
    }  # fmt: skip
    (facts,) = recording.units("delay/2/9")
    assert (facts.challenger, facts.champion) == (ArmCounts(), ArmCounts(1, 1, 0))
    assert facts.first_of(FAILED) == FirstEvents(0, 1)


def test_features_lie_in_their_bins(recording: RecorderHarness, trained: Trained) -> None:
    recording.write(
        [
            predicted("a", values=[500.0, "dl", None], output=0.99),
            predicted("b", values=[500.0, "??", 60.0], output=0.0),
        ]
    )
    recording.start().step()
    (sketch,) = recording.sketches().values()
    layout = trained.layout
    assert layout.part(sketch.features, "temp")[0] == 1  # null
    assert layout.part(sketch.features, "carrier")[[2, -1]].tolist() == [1, 1]  # dl, unseen
    assert layout.part(sketch.features, "output")[[1, -1]].tolist() == [1, 1]
    assert sketch.latency.sum() == 2


def test_rows_of_declared_segments_are_counted_by_their_value(
    recording: RecorderHarness, trained: Trained
) -> None:
    text = FILE.replace("  min_rows: 20\n", "  min_rows: 20\n  segments: [tenant, carrier]\n")
    apply_model(recording.store, recording.clock, text)
    recording.write(
        [
            predicted("a", values=[500.0, "dl", None], rows=2),
            predicted("b", values=[500.0, "dl", 60.0], tenant="UA"),
            predicted("c", values=[500.0, "ev", 60.0]),
            predicted("d", values=[500.0, "??", 60.0]),
            predicted("e", START + 60.0, values=[500.0, "dl", 60.0]),
            predicted("f/0", values=[500.0, "dl", 60.0], flags=["cascaded"]),
            refused("g"),
        ]
    )
    recording.start().step()
    with recording.store.read() as tx:
        found = tx.segments_of([MODEL], START, START + 60.0)
    layout = trained.layout
    rows = {key.segment: int(layout.part(s.features, "distance").sum()) for key, s in found}
    assert rows == {"carrier=dl": 3, "carrier=ev": 1, "carrier=other": 1}
    (dl,) = [s for key, s in found if key.segment == "carrier=dl"]
    assert layout.part(dl.features, "temp")[0] == 2  # null
    with recording.store.read() as tx:
        (later,) = tx.segments_of([MODEL], START + 60.0, START + 120.0)
    assert (later[0].segment, later[0].start) == ("carrier=dl", START + 60.0)


def test_a_segments_rows_of_two_versions_are_counted_on_the_layout_of_each(
    recording: RecorderHarness, trained: Trained
) -> None:
    text = FILE.replace("  min_rows: 20\n", "  min_rows: 20\n  segments: [carrier]\n")
    apply_model(recording.store, recording.clock, text)
    fewer = Layout(tuple(axis for axis in trained.layout.axes if axis.name != "temp"))
    with recording.store.begin() as tx:
        tx.put_layout(fewer)
        tx.add_version(replace(tx.version(MODEL, "1"), version="2", layout_id=fewer.id))
    recording.write(
        [predicted("a", rows=3), predicted("b", rows=2, routed="2", answered="2", arm="canary")]
    )
    recording.start().step()
    with recording.store.read() as tx:
        found = tx.segments_of([MODEL], START, START + 60.0)
    rows = {s.layout_id: (key.segment, int(s.features.sum())) for key, s in found}
    assert rows == {
        trained.layout.id: ("carrier=dl", 3 * len(trained.layout.axes)),
        fewer.id: ("carrier=dl", 2 * len(fewer.axes)),
    }


def test_who_gives_way_holds_no_store(recording: RecorderHarness) -> None:
    """A piece that waits for the processor keeps nobody waiting who wants to write."""
    held: list[str] = []
    pieces = 0

    class Watched:
        def __init__(self) -> None:
            self.begin = partial(self._held, recording.store.begin)
            self.read = partial(self._held, recording.store.read)
            self.sync = recording.store.sync

        @contextmanager
        def _held(
            self, begin: Callable[..., AbstractContextManager[Any]], *given: Any
        ) -> Iterator[Any]:
            with begin(*given) as tx:
                held.append("")
                yield tx
                held.pop()

    def background(work: Callable[[], Any]) -> Any:
        nonlocal pieces
        pieces += 1
        assert not held
        with pytest.MonkeyPatch.context() as patch:
            for name in ("begin", "read"):
                patch.setattr(watched, name, lambda: pytest.fail("a piece asks for the store"))
            return work()

    watched: Any = Watched()
    recording.write([predicted("a", START), outcome("a", START + 1.0)])
    assert recording.start(store=watched).step(background=background) == 2
    assert pieces > 1
    assert recording.total("rows") == 1


def test_any_cut_into_batches_gives_the_same_sketches(applied: Path, tmp_path: Path) -> None:
    events = [predicted(f"r{i}", START + 7.0 * i, rows=1 + i % 3) for i in range(30)]
    found = []
    for each in (1, 7, 30):
        folder = tmp_path / str(each)
        folder.mkdir()
        with opened(applied, folder) as recording:
            recorder = recording.start()
            for at in range(0, len(events), each):
                recording.write(events[at : at + each])
                recorder.step()
            found.append({key: sketch.to_bytes() for key, sketch in recording.sketches().items()})
    assert found[0] == found[1] == found[2]


def test_the_units_of_a_rollout_are_counted_once(recording: RecorderHarness) -> None:
    """However often they ask, by whichever worker, and across batches and restarts."""
    canary: dict[str, Any] = {"rollout": "delay/2/9#0", "arm": "challenger", "routed": "2"}
    later = {**canary, "rollout": "delay/2/9#1"}
    recording.write(
        [
            predicted("a", unit="u1", **canary),
            predicted("b", unit="u1", flags=["failed"], **canary),
            predicted("c", unit="u2", flags=["failed"], **canary),
            predicted("d", unit="u4", rollout="delay/2/9#0"),
            predicted("e", unit="u5", rollout="delay/2/9#0", flags=["failed"]),
            predicted("f", unit="u6", flags=["failed"]),  # no rollout
        ]
    )
    recording.start().step()
    recording.write(
        [
            predicted("g", unit="u2", flags=["failed"], **later),
            predicted("h", unit="u3", slow=True, **later),
            unanswered("i", "delay/2/9#1", ("challenger", "u5"), ("challenger", "u7")),
            predicted("b", unit="u1", flags=["failed"], **canary),
        ],
        "m-w1",
    )
    recording.start().step()
    first, second, third = recording.units("delay/2/9", 3)
    assert (first.challenger, first.champion) == (ArmCounts(2, 1, 0), ArmCounts(2, 1, 0))
    assert first.first_of(FAILED) == FirstEvents(2, 1)
    assert (second.challenger, second.champion) == (ArmCounts(4, 3, 1), ArmCounts())
    assert second.first_of(FAILED) == FirstEvents(1, 0), "u2 and u5 had failed before"
    assert second.first_of(SLOW) == FirstEvents(1, 0)
    assert third == StageFacts(ANY_STAGE)


# Repetitions


def test_a_repeated_request_is_recorded_once(recording: RecorderHarness) -> None:
    """A client tries again at another worker; and the same outcome is told twice."""
    recording.write([predicted("a"), outcome("a")])
    recording.write([predicted("a"), predicted("b"), outcome("a")], "m-w1")
    recording.start().step()
    assert recording.log.counts(MODEL) == {"predictions": 2, "refusals": 0, "outcomes": 1}
    assert (recording.total("rows"), recording.total("outcomes")) == (2, 1)


def test_a_repetition_after_a_restart_is_recorded_once(recording: RecorderHarness) -> None:
    recording.write([predicted("a"), outcome("a")])
    recording.start().step()
    recording.write([predicted("a"), outcome("a"), predicted("b")], "m-w1")
    recording.start().step()
    assert recording.log.counts(MODEL) == {"predictions": 2, "refusals": 0, "outcomes": 1}
    assert (recording.total("rows"), recording.total("outcomes")) == (2, 1)


def test_two_tenants_may_use_the_same_request_id(recording: RecorderHarness) -> None:
    recording.write(
        [predicted("a"), predicted("a", tenant="UA"), outcome("a"), outcome("a", tenant="UA")]
    )
    recording.start().step()
    assert recording.log.counts(MODEL) == {"predictions": 2, "refusals": 0, "outcomes": 2}
    assert Counter(key.tenant for key in recording.sketches() if key.arm) == {"AA": 1, "UA": 1}


def test_a_mended_request_is_not_a_repetition_of_its_refusal(recording: RecorderHarness) -> None:
    recording.write([refused("a"), predicted("a")])
    recording.start().step()
    assert recording.log.counts(MODEL) == {"predictions": 1, "refusals": 1, "outcomes": 0}


@given(st.lists(st.integers(0, 12), max_size=40), st.integers(1, 15))
def test_seen_keys_forget_the_oldest(words: list[int], limit: int) -> None:
    seen, added = SeenKeys(limit), list[str]()
    for word in map(str, words):
        fresh = seen.add(word)
        assert not (fresh and word in added[-(limit // 2) :][: limit // 2]), "forgotten too early"
        assert fresh or word in added[-limit:], "remembered for too long, or never seen"
        if fresh:
            added.append(word)


# Watermarks


def test_the_watermark_follows_events_and_idle_time(recording: RecorderHarness) -> None:
    recorder = recording.start()
    recording.clock.at = START + 5.0
    recording.write([predicted("a", START + 4.0), predicted("b", START + 3.0)])
    recorder.step()
    (checkpoint,) = recording.checkpoints()
    assert checkpoint.watermark == START + 5.0  # drained when the clock stood there
    recording.clock.at = START + 90.0
    assert recorder.step() == 0
    (later,) = recording.checkpoints()
    assert (later.position, later.watermark) == (checkpoint.position, START + 90.0)
    recording.clock.at = START + 10.0
    recorder.step()
    assert recording.checkpoints() == [later]


def test_an_empty_spool_has_a_mark_too(recording: RecorderHarness) -> None:
    """A worker without traffic must not keep the windows open."""
    recording.write([], "m-w1")
    recording.start().step()
    assert recording.checkpoints() == [Checkpoint("m-w1", 0, START, seen_at=1_000.0)]


def test_what_is_recorded_is_released(recording: RecorderHarness) -> None:
    recording.write([predicted(f"r{i}") for i in range(40)], segment=500)
    before = list((recording.folder / "spool" / "m-w0").glob("*.spool"))
    recording.start().step()
    after = list((recording.folder / "spool" / "m-w0").glob("*.spool"))
    assert len(before) > 3
    assert len(after) == 1


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
    with TemporaryDirectory() as home, opened(applied, Path(home)) as recording:
        recording.write([make[kind](request, tenant=tenant) for tenant, request, kind in sent])
        recording.start().step()
        expected = Counter((tenant, kind) for tenant, request, kind in set(sent))
        found: Counter[tuple[str, str]] = Counter()
        for key, sketch in recording.sketches().items():
            for kind, name in (("p", "rows"), ("r", "refused"), ("o", "outcomes")):
                if sketch.total(name):
                    found[key.tenant, kind] += sketch.total(name)
        assert found == expected
        for tenant in {tenant for tenant, _, _ in sent}:
            refusals = recording.log.refusals(MODEL, tenant, START - 1, START + 1, 100)
            assert {row["tenant"] for row in refusals} <= {tenant}
            assert len(refusals) == expected[tenant, "r"]

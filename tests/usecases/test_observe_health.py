"""The word for a model, from what the store knows: never healthy where nobody looks."""

from __future__ import annotations

import pytest
from inference.harness import FakeBoard
from usecases.harness import FILE, MODEL, START, WINDOW_S, Harness
from usecases.monitors.test_outcomes import log_scored
from usecases.timeline import FAILING, NULLS, QUIET, play

from windvane.core.health import Health, Tone
from windvane.core.sketch import TRAFFIC, Sketch
from windvane.ports.control_store import Checkpoint, WindowKey
from windvane.ports.event_log import LogEntry
from windvane.ports.events import OutcomeSeen
from windvane.ports.metrics import Series
from windvane.usecases.broken_versions import METRIC, broken_versions
from windvane.usecases.keep_bounded import Turn, keep_bounded
from windvane.usecases.leases import give_up
from windvane.usecases.monitors import MONITORS
from windvane.usecases.monitors.outcomes import Outcomes
from windvane.usecases.observe_health import (
    load_evidence,
    load_totals,
    observe,
    observe_health,
    traffic_of,
)
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.read_settings import Retention

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


def health(harness: Harness, later_s: float = 0.0, board: FakeBoard | None = None) -> Health:
    with harness.store.read() as tx:
        file = read_model_file(tx.model(MODEL).text)
        seen = observe(tx, harness.clock.wall(), 600.0, broken_versions(board))
        live, opened = tx.deployment(MODEL), tx.open_incidents(MODEL)
        evidence = load_evidence(tx, {MODEL: live})[MODEL]
        now = harness.clock.now() + later_s
        traffic = traffic_of(load_totals(tx, [file], now)[MODEL].values())
        return observe_health(seen, evidence, file, live, opened, traffic, now)


def codes(harness: Harness) -> tuple[str, str]:
    found = health(harness)
    return found.word, found.code


def test_before_a_recorder_ever_ran_it_is_not_watched(harness: Harness) -> None:
    assert codes(harness) == ("not watched", "HLT-401")


def begin_spool(harness: Harness) -> None:
    with harness.store.begin() as tx:
        tx.set_checkpoint(Checkpoint("m/w1", 0, 0.0, seen_at=harness.clock.wall()))


def test_a_spool_that_has_just_begun_is_not_late_by_all_of_time(harness: Harness) -> None:
    """It read "nothing was recorded for 20787 d", after a restart that a new worker ended."""
    begin_spool(harness)
    found = health(harness)
    assert (found.code, found.why) == (
        "HLT-402", "nothing is recorded yet: has the recorder just begun?"
    )  # fmt: skip


def test_one_that_begins_beside_others_changes_nothing(harness: Harness) -> None:
    play(harness, [QUIET] * 4)
    begin_spool(harness)
    assert codes(harness) == ("healthy", "HLT-100")


def test_a_model_that_is_judged_and_well_is_healthy(harness: Harness) -> None:
    play(harness, [QUIET] * 4)
    assert codes(harness) == ("healthy", "HLT-100")


def test_thin_windows_are_too_few_rows(harness: Harness) -> None:
    play(harness, [{"rows": 12}] * 3)
    assert codes(harness) == ("too few rows", "HLT-104")


def test_what_monitors_said_before_they_were_switched_off_is_no_health(harness: Harness) -> None:
    play(harness, [QUIET] * 4)
    assert health(harness).code == "HLT-100"
    names = ", ".join(m.name for m in MONITORS)
    harness.clock.at += 1
    harness.apply(FILE.replace("  min_rows: 20\n", f"  min_rows: 20\n  off: [{names}]\n"))
    play(harness, [NULLS] * 4, first=4)
    assert health(harness).code != "HLT-100"


def test_a_recorder_that_stands_still_is_noticed(harness: Harness) -> None:
    play(harness, [QUIET] * 4)
    assert health(harness, later_s=170.0).code == "HLT-100"
    late = health(harness, later_s=7_200.0)
    assert (late.word, late.code) == ("not watched", "HLT-402")
    assert late.why == "nothing was recorded for 2 h: is the recorder running?"


def test_a_steward_that_is_gone_is_noticed(harness: Harness) -> None:
    play(harness, [QUIET] * 4)
    give_up(harness.store, "one", harness.shards)
    assert codes(harness) == ("not watched", "HLT-403")


def test_an_outage_is_named_as_what_it_is(harness: Harness) -> None:
    """Every request was refused with 503 and not one row answered: it read "healthy"."""
    play(harness, [QUIET] * 4)
    empty = Sketch.empty(harness.layout.id, harness.layout.size)
    counts = empty.traffic.copy()
    counts[TRAFFIC.index("unanswered")] = 400
    outage = Sketch(empty.layout_id, empty.features, counts, empty.latency)
    for i in range(4, 8):
        harness.traffic(i, rows=0, checkpoint=False)
        with harness.store.begin() as tx:
            key = WindowKey(MODEL, START + WINDOW_S * i, "1", "champion", "AA", "r1")
            tx.add_sketches({key: outage})
        harness.traffic(i, rows=0)
        harness.judge()
    found = health(harness)
    assert (found.word, found.code) == ("down", "HLT-501")
    assert found.why.startswith("none of 1,200 rows was answered in the last 3 windows")


def test_trouble_is_told_by_its_incident(harness: Harness) -> None:
    play(harness, [QUIET] * 3 + [FAILING] * 3)
    found = health(harness)
    assert (found.word, found.code) == ("failing", "HLT-301")
    assert found.why.startswith("errors: failed 100.0%")


def test_who_stands_in_is_said(harness: Harness) -> None:
    play(harness, [QUIET] * 10 + [NULLS] * 6)
    found = health(harness)
    assert (found.word, found.code) == ("standing in", "HLT-302")
    assert found.why == "version 2 stands in for version 1; broken: weather"


def test_no_traffic_is_no_health(harness: Harness) -> None:
    play(harness, [QUIET] * 4)
    for i in range(4, 9):
        harness.traffic(i, rows=0)
        harness.judge()
    assert codes(harness) == ("no traffic", "HLT-203")


def test_a_champion_that_no_gateway_can_load_cannot_answer(harness: Harness) -> None:
    play(harness, [QUIET] * 4)
    board = FakeBoard()
    for version, code in (("0", "HLT-100"), ("1", "HLT-502")):
        held = [((MODEL, version), [1.0])]
        board.post("gateway-1", [Series(METRIC, "gauge", "", ("model", "version"), held)])
        assert health(harness, board=board).code == code
    for i in range(4, 9):  # nor where nobody asks
        harness.traffic(i, rows=0)
        harness.judge()
    found = health(harness, board=board)
    assert (found.word, found.code) == ("cannot answer", "HLT-502")
    assert found.why == "a gateway cannot load version 1: its files are damaged or missing"


def beat(harness: Harness, spool: str, ago_s: float) -> None:
    """That spool was seen so long ago; all of it is recorded."""
    at = harness.clock.at
    with harness.store.begin() as tx:
        tx.set_checkpoint(Checkpoint(spool, 0, at, seen_at=harness.clock.wall() - ago_s))


@pytest.mark.parametrize("window_s", [WINDOW_S, 3_600.0, 86_400.0])
def test_a_recorder_that_gives_no_sign_is_noticed_within_a_minute_or_two(
    harness: Harness, window_s: float
) -> None:
    """However long the windows are: nobody waits for three of a day."""
    harness.clock.wall_at = 1e6
    play(harness, [QUIET] * 4)
    longer = FILE.replace("drift_over: 20m", f"drift_over: {max(1_200.0, 2.0 * window_s):.0f}s")
    harness.apply(longer.replace("window: 60s", f"window: {window_s:.0f}s"))
    beat(harness, "m/w0", 15.0)
    assert health(harness).code != "HLT-402"
    beat(harness, "m/w0", 75.0)
    found = health(harness)
    assert (found.word, found.code) == ("not watched", "HLT-402")
    assert "no recorder gave a sign for 75 s" in found.why


def test_one_of_two_recorders_that_is_gone_does_not_read_healthy(harness: Harness) -> None:
    """Not while its spool keeps windows open, and not once it expired and they close without it."""
    harness.clock.wall_at = 1e6
    play(harness, [QUIET] * 4)
    beat(harness, "m/w0", 1.0)
    for ago_s in (90.0, 660.0, 3_600.0):
        beat(harness, "m2/w0", ago_s)
        found = health(harness)
        assert (found.word, found.code) == ("partly watched", "HLT-406"), ago_s
        assert "m2/w0" in found.why
    beat(harness, "m2/w0", 90_000.0)
    assert codes(harness) == ("healthy", "HLT-100"), "it was replaced a day ago"


def test_rows_that_get_no_answer_are_noticed_while_the_window_is_open(harness: Harness) -> None:
    play(harness, [QUIET] * 4)
    harness.traffic(4, rows=40, checkpoint=False)
    empty = Sketch.empty(harness.layout.id, harness.layout.size)
    counts = empty.traffic.copy()
    counts[TRAFFIC.index("unanswered")] = 60
    lost = Sketch(empty.layout_id, empty.features, counts, empty.latency)
    with harness.store.begin() as tx:
        tx.add_sketches({WindowKey(MODEL, START + WINDOW_S * 4, "1", "champion", "AA", "r"): lost})
    found = health(harness)
    assert (found.word, found.code) == ("answers missing", "HLT-504")
    assert "60 of 100 rows of the newest window" in found.why


def test_a_floor_that_nothing_is_compared_with_is_not_healthy(harness: Harness) -> None:
    """Labels stopped to come: the look is a hold, and the model read healthy."""
    play(harness, [QUIET] * 19)
    assert codes(harness) == ("healthy", "HLT-100"), "no look is due yet"
    play(harness, [QUIET] * 2, first=19)
    found = health(harness)
    assert (found.word, found.code, found.tone) == ("not scored", "HLT-206", Tone.WARN)
    assert found.why == ("no outcome came in the last look (until 2023-11-15 00:20 UTC), 50 needed")
    harness.apply(FILE.replace("outcomes: {floor: 0.6}", "outcomes: {}"))
    assert codes(harness) == ("healthy", "HLT-100"), "nobody asks for outcomes"


def test_outcomes_that_do_not_join_are_told_apart(harness: Harness) -> None:
    log_scored(harness, 3, 30, right=True)
    contract = read_model_file(FILE).contract
    ts = START + 200.0
    strays = [
        LogEntry("m/w8", i, OutcomeSeen(f"s{i}", ts, MODEL, "AA", contract.id, "none", i, 1.0))
        for i in range(7)
    ]
    harness.log.append("m/w8", 7, strays, {contract.id: contract})
    play(harness, [QUIET] * 21)
    found = health(harness)
    assert (found.word, found.code) == ("not scored", "HLT-206")
    assert found.why == (
        "30 outcomes were scored in the last look (until 2023-11-15 00:20 UTC), 50 needed; "
        "besides, 7 name no prediction"
    )


def test_outcomes_that_are_scored_are_healthy_until_a_look_has_none(harness: Harness) -> None:
    for i in (3, 43):
        log_scored(harness, i, 400, right=True)
    said: list[str] = []
    for i in range(60):
        play(harness, [QUIET], first=i)
        if i % 20 == 19:
            said.append(health(harness).word)
    assert said == ["healthy", "not scored", "healthy"]


def test_a_look_holds_until_the_next_however_short_verdicts_are_kept(harness: Harness) -> None:
    play(harness, [QUIET] * 30)
    told = health(harness)
    short = Retention(verdicts=0.0001, details=0.0001)
    harness.clock.at += 9_000.0  # a verdict's details are kept for two hours at least
    keep_bounded(harness.store, harness.clock, short, 60.0, Turn())
    harness.clock.at -= 9_000.0
    with harness.store.read() as tx:
        kept = {v.monitor for v in tx.verdicts(MODEL, "", 0.0, 1_000)}
    # No label ever came, so no block of labels was ever due.
    assert kept == {m.name for m in MONITORS if m.slow} - {"truth_shift", "labels"}
    assert told.code == "HLT-206"
    play(harness, [QUIET], first=30)
    assert health(harness) == told


def test_looks_that_are_due_and_do_not_come_are_told(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the monitor fails to look."""
    monkeypatch.setattr(Outcomes, "look", lambda *_: [])
    play(harness, [QUIET] * 22)
    assert codes(harness) == ("healthy", "HLT-100")
    play(harness, [QUIET], first=22)
    found = health(harness)
    assert (found.word, found.code) == ("not scored", "HLT-206")
    assert (
        found.why
        == "no look at outcomes since 2023-11-15 00:00 UTC, one is due each seventh of 20m"
    )
    harness.apply(FILE.replace("floor: 0.6", "floor: 0.7"))
    assert codes(harness) == ("healthy", "HLT-100"), "the new file's first look is under way"

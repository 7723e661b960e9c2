"""Windows in a row: what is told, what is done about it, and that nothing is judged twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from usecases.harness import MODEL, START, TENANTS, WINDOW_S, Harness
from usecases.timeline import (
    FAILING,
    GARBAGE,
    NULLS,
    QUIET,
    only,
    outcomes,
    play,
    verdicts,
)

from windvane.core.routing import SELECTED
from windvane.ports.control_store import Checkpoint, Tx
from windvane.ports.judging import Progress
from windvane.ports.leases import LeaseLost
from windvane.usecases.actions.deploy import deploy_version
from windvane.usecases.judge_windows import judge_windows
from windvane.usecases.load_windows import WindowCache
from windvane.usecases.publish_routing import NOTIFY

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")

Maker = Callable[[], AbstractContextManager[Harness]]


# Which windows are judged


def test_nothing_is_judged_before_a_window_is_closed(harness: Harness) -> None:
    assert not harness.judge()  # no checkpoints, no sketches
    harness.traffic(0, checkpoint=False)
    assert not harness.judge()
    with harness.store.begin() as tx:
        tx.set_checkpoint(Checkpoint("m/w0", 0, START + WINDOW_S - 0.1))
    assert not harness.judge()
    with harness.store.begin() as tx:
        tx.set_checkpoint(Checkpoint("m/w0", 0, START + WINDOW_S))
    assert harness.judge()
    assert not harness.judge()


def test_the_slowest_spool_of_all_recorders_closes_a_window(harness: Harness) -> None:
    harness.traffic(0)
    with harness.store.begin() as tx:
        tx.set_checkpoint(Checkpoint("other/w0", 0, START + 30.0))
    assert not harness.judge()
    with harness.store.begin() as tx:
        tx.set_checkpoint(Checkpoint("other/w0", 0, START + 61.0))
    assert harness.judge()


def test_windows_are_judged_in_order_each_once(harness: Harness) -> None:
    for i in range(3):
        harness.traffic(i)
    assert [harness.judge() for _ in range(5)] == [True, True, True, False, False]
    assert [v.start for v in verdicts(harness, "sudden_shift")] == [
        START + 60.0 * i for i in range(3)
    ]


def test_a_model_without_a_deployment_waits(empty_harness: Harness) -> None:
    empty_harness.apply()
    empty_harness.add_version("1")
    empty_harness.traffic(0)
    assert not empty_harness.judge()


def test_rows_that_a_cascade_selected_say_nothing_of_features(harness: Harness) -> None:
    """They are chosen by another model's answers: if those change, so do they, and no feed is
    broken."""
    play(harness, [QUIET] * 12)
    for i in range(12, 24):
        harness.traffic(i, checkpoint=False)
        harness.traffic(i, arm=SELECTED, **NULLS)
        assert harness.judge()
    assert harness.incidents() == []
    harness.cache = WindowCache()  # another steward, which reads the past again
    play(harness, [QUIET] * 4, first=24)
    assert harness.incidents() == []


def test_what_a_cascade_asked_for_in_vain_is_the_models_failure(harness: Harness) -> None:
    play(harness, [QUIET] * 4)
    for i in range(4, 12):
        harness.traffic(i, checkpoint=False)
        harness.traffic(i, arm=SELECTED, failed=50)
        assert harness.judge()
    assert only(harness, f"errors:{MODEL}")


def test_an_empty_window_between_two_is_judged_as_thin(harness: Harness) -> None:
    harness.traffic(0)
    harness.traffic(2)
    while harness.judge():
        pass
    assert outcomes(harness, "sudden_shift") == "PHP"


def test_a_thin_window_holds_and_says_how_much_is_missing(harness: Harness) -> None:
    play(harness, [{"rows": 12}])
    (row,) = verdicts(harness, "sudden_shift")
    assert (row.outcome, row.code) == ("hold", "DRI-202")
    assert row.sentence == "12 rows gathered, 20 needed"


def test_quiet_windows_wake_nobody(harness: Harness) -> None:
    play(harness, [QUIET] * 60)
    assert harness.incidents() == []
    assert harness.queued(NOTIFY) == []
    assert set(outcomes(harness, "sudden_shift")) == {"P"}
    assert harness.live.standing_in is None


# Leading and crashing


def test_a_deposed_steward_judges_nothing(harness: Harness) -> None:
    play(harness, [QUIET] * 7)
    for i in range(7, 16):
        harness.traffic(i, **NULLS)
    before = harness.carried("sudden_shift"), harness.judged_until
    harness.depose()
    with pytest.raises(LeaseLost):
        harness.judge()
    assert (harness.carried("sudden_shift"), harness.judged_until) == before
    assert len(verdicts(harness, "sudden_shift")) == 7
    assert harness.incidents() == []


def test_a_window_that_another_judged_is_left(harness: Harness) -> None:
    """Two turns loaded the same window; the second finds it judged."""
    harness.traffic(0)

    class Meanwhile:
        def read(self) -> Any:
            return harness.store.read()

        def begin(self, models: Any = None) -> Any:
            assert harness.judge()
            return harness.store.begin(models)

    assert judge_windows(
        Meanwhile(),  # type: ignore[arg-type]
        harness.log,
        harness.clock,
        harness.shards,
        [MODEL],
        WindowCache(),
    )
    assert len(verdicts(harness, "sudden_shift")) == 1


def history(harness: Harness) -> dict[str, Any]:
    """All that was decided and told, in the store's own words."""
    return {
        "decisions": [(d.id, d.action, d.verdict, d.facts) for d in harness.decisions() if d.judge],
        "incidents": [(i, harness.timeline(i)) for i in harness.incidents()],
        "told": harness.queued(NOTIFY),
        "verdicts": verdicts(harness, ""),
        "live": harness.live,
    }


STORY = [QUIET] * 6 + [NULLS] * 6 + [GARBAGE] * 3 + [QUIET] * 8


@pytest.fixture(scope="module")
def undisturbed(harness_of: Maker) -> dict[str, Any]:
    with harness_of() as harness:
        play(harness, STORY)
        return history(harness)


def test_the_story_has_everything(undisturbed: dict[str, Any]) -> None:
    actions = {action for _, action, *_ in undisturbed["decisions"]}
    assert actions == {"fall_back", "notify", "revert", "close"}


class Crash(Exception):
    pass


@pytest.mark.parametrize("at", range(0, 60, 6))
def test_a_crash_at_any_write_tells_the_same_story(
    harness_of: Maker, undisturbed: dict[str, Any], at: int
) -> None:
    """Every window is first tried with a store that dies at one of its calls."""

    with harness_of() as harness:
        for i, window in enumerate(STORY):
            harness.traffic(i, **window)
            left = (at + i) % 12
            dying = Dying(harness, left)
            try:
                judge_windows(
                    dying, harness.log, harness.clock, harness.shards, [MODEL], harness.cache
                )  # type: ignore[arg-type]
            except Crash:
                assert harness.judge()
        assert history(harness) == undisturbed


class Dying:
    def __init__(self, harness: Harness, left: int) -> None:
        self._store, self.left = harness.store, left

    def read(self) -> AbstractContextManager[Tx]:
        return self._store.read()

    @contextmanager
    def begin(self, models: Any = None) -> Iterator[Any]:
        with self._store.begin(models) as tx:
            yield DyingTx(tx, self)


class DyingTx:
    def __init__(self, tx: Tx, store: Dying) -> None:
        self._tx, self._store = tx, store

    def __getattr__(self, name: str) -> Any:
        if self._store.left == 0:
            raise Crash
        self._store.left -= 1
        return getattr(self._tx, name)


def test_losing_the_cache_changes_no_verdict(
    harness_of: Maker, undisturbed: dict[str, Any]
) -> None:
    with harness_of() as harness:
        for i, window in enumerate(STORY):
            harness.cache = WindowCache()
            play(harness, [window], first=i)
        assert history(harness) == undisturbed


def test_a_stale_cache_changes_no_verdict(harness_of: Maker, undisturbed: dict[str, Any]) -> None:
    with harness_of() as harness:
        mine, others = WindowCache(), WindowCache()
        for i, window in enumerate(STORY):
            harness.cache = others if 1 <= i < 5 else mine
            play(harness, [window], first=i)
        assert history(harness) == undisturbed


@settings(max_examples=6)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=6))
def test_how_many_windows_a_turn_takes_changes_no_verdict(
    harness_of: Maker, undisturbed: dict[str, Any], cuts: list[int]
) -> None:
    """A steward that was away catches up window by window; only the times of acts are later."""
    with harness_of() as harness:
        i = 0
        while i < len(STORY):
            step = cuts[i % len(cuts)]
            for window in STORY[i : i + step]:
                harness.traffic(i, **window)
                i += 1
            while harness.judge():
                pass
        assert history(harness)["verdicts"] == undisturbed["verdicts"]
        decided = [(name, action) for name, action, *_ in history(harness)["decisions"]]
        assert sorted(decided) == sorted((n, a) for n, a, *_ in undisturbed["decisions"])


def test_the_state_survives_the_database(harness: Harness) -> None:
    """What the judges carry is stored with every window, whole."""
    play(harness, [QUIET] * 6 + [NULLS] * 6 + [{**NULLS, **GARBAGE}] * 3)
    assert harness.judged_until == START + 60.0 * 15
    assert harness.carried("sudden_shift")["everyone"]["streams"]["temp/nulls"]["alarmed"]
    assert harness.carried("refusals")["UA"]["alarmed"]
    with harness.store.read() as tx:
        alarmed = {(s.monitor, s.subject) for s in tx.monitor_states([MODEL]) if s.alarmed}
    assert alarmed - {("sudden_shift", f"tenant/{t}") for t in TENANTS} == {
        ("sudden_shift", "everyone"),
        ("refusals", "UA"),
    }


def test_a_model_that_comes_back_into_service_is_judged_from_there_on(harness: Harness) -> None:
    """Its windows of before were judged, and decided upon."""
    play(harness, [QUIET] * 4 + [FAILING])
    assert harness.decisions("notify") != []
    harness.act("undeploy")
    deploy_version(harness.store, harness.clock, MODEL, "1")
    before = len(harness.decisions())
    play(harness, [QUIET, QUIET, FAILING], first=5)
    assert len(harness.decisions()) > before, "what is wrong now is found"
    starts = [row.start for row in verdicts(harness, "errors")]
    assert len(starts) == len(set(starts)) == 8


def test_a_window_that_was_decided_before_is_passed_and_the_next_is_judged(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    play(harness, [QUIET] * 4 + [FAILING])
    told = len(harness.queued(NOTIFY))
    with harness.store.begin() as tx:  # as after a past that was put together by hand
        tx.forget_judging(MODEL)
        progress = Progress(MODEL, START, START + 4 * WINDOW_S, 0.0)
        tx.put_progress([progress])
        for incident in tx.open_incidents(MODEL):
            tx.put_incident(replace(incident, closed_at=harness.clock.now(), members=()))
    assert harness.judge()
    assert caplog.text.count("nothing done twice") == 1
    assert len(harness.queued(NOTIFY)) == told
    play(harness, [QUIET], first=5)
    with harness.store.read() as tx:
        assert tx.progress([MODEL])[MODEL].until == START + 6 * WINDOW_S

"""Windows in a row: what is told, what is done about it, and that nothing is judged twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from usecases.house import MODEL, START, WINDOW_S, House
from usecases.timeline import (
    GARBAGE,
    NULLS,
    QUIET,
    outcomes,
    play,
    verdicts,
)

from windvane.ports.control_store import Checkpoint, LeaseLost, Tx
from windvane.usecases.judge_window import judge_window
from windvane.usecases.load_window import StewardState, WindowCache
from windvane.usecases.publish_routing import NOTIFY

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")

Maker = Callable[[], AbstractContextManager[House]]


# Which windows are judged


def test_nothing_is_judged_before_a_window_is_closed(house: House) -> None:
    assert not house.judge()  # no checkpoints, no sketches
    house.traffic(0, checkpoint=False)
    assert not house.judge()
    with house.store.begin() as tx:
        tx.set_checkpoint(Checkpoint("m/w0", 0, START + WINDOW_S - 0.1))
    assert not house.judge()
    with house.store.begin() as tx:
        tx.set_checkpoint(Checkpoint("m/w0", 0, START + WINDOW_S))
    assert house.judge()
    assert not house.judge()


def test_the_slowest_spool_of_all_recorders_closes_a_window(house: House) -> None:
    house.traffic(0)
    with house.store.begin() as tx:
        tx.set_checkpoint(Checkpoint("other/w0", 0, START + 30.0))
    assert not house.judge()
    with house.store.begin() as tx:
        tx.set_checkpoint(Checkpoint("other/w0", 0, START + 61.0))
    assert house.judge()


def test_windows_are_judged_in_order_each_once(house: House) -> None:
    for i in range(3):
        house.traffic(i)
    assert [house.judge() for _ in range(5)] == [True, True, True, False, False]
    assert [v.start for v in verdicts(house, "features")] == [START + 60.0 * i for i in range(3)]


def test_a_model_without_a_deployment_waits(empty_house: House) -> None:
    empty_house.apply()
    empty_house.add_version("1")
    empty_house.traffic(0)
    assert not empty_house.judge()


def test_an_empty_window_between_two_is_judged_as_thin(house: House) -> None:
    house.traffic(0)
    house.traffic(2)
    while house.judge():
        pass
    assert outcomes(house, "features") == "PHP"


def test_a_thin_window_holds_and_says_how_much_is_missing(house: House) -> None:
    play(house, [{"rows": 12}])
    (row,) = verdicts(house, "features")
    assert (row.outcome, row.code) == ("hold", "DRI-202")
    assert row.sentence == "12 rows in the window, 20 needed"


def test_quiet_windows_wake_nobody(house: House) -> None:
    play(house, [QUIET] * 60)
    assert house.incidents() == []
    assert house.queued(NOTIFY) == []
    assert set(outcomes(house, "features")) == {"P"}
    assert house.live.standing_in is None


# Leading and crashing


def test_a_deposed_steward_judges_nothing(house: House) -> None:
    play(house, [QUIET] * 6 + [NULLS])
    for i in range(7, 16):
        house.traffic(i, **NULLS)
    with house.store.read() as tx:
        before = tx.steward_state(MODEL)
    house.depose()
    with pytest.raises(LeaseLost):
        house.judge()
    with house.store.read() as tx:
        assert tx.steward_state(MODEL) == before
    assert len(verdicts(house, "features")) == 7
    assert house.incidents() == []


def test_a_window_that_another_judged_is_left(house: House) -> None:
    """Two turns loaded the same window; the second finds it judged."""
    house.traffic(0)

    class Meanwhile:
        def read(self) -> Any:
            return house.store.read()

        def begin(self) -> Any:
            assert house.judge()
            return house.store.begin()

    assert judge_window(
        Meanwhile(),
        house.log,
        house.clock,
        MODEL,
        house.token,
        WindowCache(),  # type: ignore[arg-type]
    )
    assert len(verdicts(house, "features")) == 1


def history(house: House) -> dict[str, Any]:
    """All that was decided and told, in the store's own words."""
    return {
        "decisions": [(d.id, d.action, d.verdict, d.facts) for d in house.decisions() if d.judge],
        "incidents": [(i, house.timeline(i)) for i in house.incidents()],
        "told": house.queued(NOTIFY),
        "verdicts": verdicts(house, ""),
        "live": house.live,
    }


STORY = [QUIET] * 6 + [NULLS] * 6 + [GARBAGE] * 3 + [QUIET] * 4


@pytest.fixture(scope="module")
def undisturbed(house_of: Maker) -> dict[str, Any]:
    with house_of() as house:
        play(house, STORY)
        return history(house)


def test_the_story_has_everything(undisturbed: dict[str, Any]) -> None:
    actions = {action for _, action, *_ in undisturbed["decisions"]}
    assert actions == {"fall_back", "notify", "revert", "close"}


class Crash(Exception):
    pass


@pytest.mark.parametrize("at", range(0, 60, 6))
def test_a_crash_at_any_write_tells_the_same_story(
    house_of: Maker, undisturbed: dict[str, Any], at: int
) -> None:
    """Every window is first tried with a store that dies at one of its calls."""

    with house_of() as house:
        for i, window in enumerate(STORY):
            house.traffic(i, **window)
            left = (at + i) % 12
            dying = Dying(house, left)
            try:
                judge_window(dying, house.log, house.clock, MODEL, house.token, house.cache)  # type: ignore[arg-type]
            except Crash:
                assert house.judge()
        assert history(house) == undisturbed


class Dying:
    def __init__(self, house: House, left: int) -> None:
        self._store, self.left = house.store, left

    def read(self) -> AbstractContextManager[Tx]:
        return self._store.read()

    @contextmanager
    def begin(self) -> Iterator[Any]:
        with self._store.begin() as tx:
            yield DyingTx(tx, self)


class DyingTx:
    def __init__(self, tx: Tx, store: Dying) -> None:
        self._tx, self._store = tx, store

    def __getattr__(self, name: str) -> Any:
        if self._store.left == 0:
            raise Crash
        self._store.left -= 1
        return getattr(self._tx, name)


def test_losing_the_cache_changes_no_verdict(house_of: Maker, undisturbed: dict[str, Any]) -> None:
    with house_of() as house:
        for i, window in enumerate(STORY):
            house.cache = WindowCache()
            play(house, [window], first=i)
        assert history(house) == undisturbed


def test_a_stale_cache_changes_no_verdict(house_of: Maker, undisturbed: dict[str, Any]) -> None:
    with house_of() as house:
        mine, others = WindowCache(), WindowCache()
        for i, window in enumerate(STORY):
            house.cache = others if 1 <= i < 5 else mine
            play(house, [window], first=i)
        assert history(house) == undisturbed


@settings(max_examples=6)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=6))
def test_how_many_windows_a_turn_takes_changes_no_verdict(
    house_of: Maker, undisturbed: dict[str, Any], cuts: list[int]
) -> None:
    """A steward that was away catches up window by window; only the times of acts are later."""
    with house_of() as house:
        i = 0
        while i < len(STORY):
            step = cuts[i % len(cuts)]
            for window in STORY[i : i + step]:
                house.traffic(i, **window)
                i += 1
            while house.judge():
                pass
        assert history(house)["verdicts"] == undisturbed["verdicts"]
        decided = [(name, action) for name, action, *_ in history(house)["decisions"]]
        assert sorted(decided) == sorted((n, a) for n, a, *_ in undisturbed["decisions"])


def test_the_state_survives_the_database(house: House) -> None:
    """What the judges carry is stored with every window, whole."""
    play(house, [QUIET] * 6 + [NULLS] * 6 + [{**NULLS, **GARBAGE}] * 3)
    with house.store.read() as tx:
        stored = tx.steward_state(MODEL)
    state = msgspec.convert(stored, StewardState)
    assert state.judged_until == START + 60.0 * 15
    assert state.breaks["temp/nulls"].alarmed
    assert state.refusals["UA"].alarmed
    assert msgspec.to_builtins(state) == stored

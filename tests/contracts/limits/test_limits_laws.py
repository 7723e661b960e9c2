"""What every limiter keeps, whoever counts: the plain rule of ``admit_at``, all or none, tenants
apart, places given back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
from contracts.limits.worlds import World, fresh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windvane.core.admission import Limit, RateLimitDecision, admit_at

EXAMPLES = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
START = 1_000_000.0
# Sixty-fourths of a second are exact both in floating point and in microseconds.
TICK = 1 / 64
ticks = st.integers(0, 40).map(lambda n: n * TICK)
# Mostly close together, at times a long pause that empties windows.
gaps = st.lists(st.one_of(ticks, st.just(0.0), st.integers(0, 2_000).map(lambda n: n * TICK)))
windows = st.integers(1, 256).map(lambda n: n * TICK)


def refusals(logs: Sequence[list[float]], limits: Sequence[Limit], now: float) -> list[float]:
    return [admit_at(log, limit, now) for log, limit in zip(logs, limits, strict=True)]


def inside(log: list[float], limit: Limit, now: float) -> list[float]:
    return [at for at in log if at > now - limit.per_s]


def check(
    taken: RateLimitDecision, logs: Sequence[list[float]], limits: Sequence[Limit], now: float
) -> None:
    """``taken`` is what the rule says, which is then entered in ``logs``."""
    waits = refusals(logs, limits, now)
    assert taken.admitted == (max(waits) == 0)
    if not taken.admitted:
        assert taken.retry_after_s == max(waits) == taken.reset_s
        assert taken.limit == limits[waits.index(max(waits))]
        assert taken.remaining == 0
        assert taken.certain_s in (0.0, max(waits)), "certain is only what the rule refuses too"
        return
    assert taken.certain_s == 0.0
    for log in logs:
        log.append(now)
    left = [
        limit.rate - len(inside(log, limit, now)) for log, limit in zip(logs, limits, strict=True)
    ]
    assert taken.remaining == min(left)
    nearest = left.index(min(left))
    assert taken.limit == limits[nearest]
    oldest = inside(logs[nearest], limits[nearest], now)[0]
    assert taken.reset_s == oldest + limits[nearest].per_s - now


@EXAMPLES
@given(rate=st.integers(1, 40), per_s=windows, steps=gaps, data=st.data())
def test_a_limit_admits_what_the_plain_rule_admits(
    world: World, rate: int, per_s: float, steps: list[float], data: st.DataObject
) -> None:
    limits = (Limit(fresh(), rate, per_s),)
    log: list[float] = []
    now = START
    for gap in steps:
        now += gap
        worker = data.draw(st.integers(0, world.workers - 1))
        check(world.acquire(limits, now, worker), [log], limits, now)


@EXAMPLES
@given(
    bounds=st.lists(st.tuples(st.integers(1, 12), windows), min_size=2, max_size=3),
    steps=gaps,
)
def test_a_request_is_admitted_under_all_of_its_limits_or_counted_in_none(
    world: World, bounds: list[tuple[int, float]], steps: list[float]
) -> None:
    tenant = fresh()
    limits = tuple(Limit(f"{tenant}/{i}", rate, per_s) for i, (rate, per_s) in enumerate(bounds))
    logs: list[list[float]] = [[] for _ in limits]
    now = START
    for i, gap in enumerate(steps):
        now += gap
        check(world.acquire(limits, now, i % world.workers), logs, limits, now)


@EXAMPLES
@given(rate=st.integers(1, 5), per_s=windows, extra=st.integers(1, 4))
def test_who_comes_back_when_told_is_admitted_and_not_before(
    world: World, rate: int, per_s: float, extra: int
) -> None:
    limits = (Limit(fresh(), rate, per_s),)
    now = START
    for _ in range(rate + extra):
        taken = world.acquire(limits, now)
        if not taken.admitted:
            assert not world.acquire(limits, now + taken.retry_after_s - TICK).admitted
            now += taken.retry_after_s
            assert world.acquire(limits, now).admitted
        now += TICK


@EXAMPLES
@given(cap=st.integers(1, 4), ops=st.lists(st.booleans(), max_size=25), data=st.data())
def test_no_more_are_under_way_than_the_cap_and_a_place_given_back_is_free(
    world: World, cap: int, ops: list[bool], data: st.DataObject
) -> None:
    limits = (Limit(fresh(), concurrent=cap),)
    held: list[tuple[RateLimitDecision, int]] = []
    for arrives in ops:
        worker = data.draw(st.integers(0, world.workers - 1))
        if arrives:
            taken = world.acquire(limits, START, worker)
            assert taken.admitted == (len(held) < cap)
            if taken.admitted:
                held.append((taken, worker))
            else:
                assert 0 < taken.retry_after_s < 1
                assert taken.certain_s == 0.0, "a place frees whenever its request ends"
                assert taken.limit == limits[0]
        elif held:
            world.release(*held.pop(data.draw(st.integers(0, len(held) - 1))))


def test_a_refusal_by_one_limit_takes_no_place_of_another(world: World) -> None:
    tenant = fresh()
    free, full = Limit(tenant, 100, 60.0, 2), Limit(f"{tenant}/m", 1, 60.0, 2)
    assert world.acquire((free, full), START).admitted
    for _ in range(5):
        refused = world.acquire((free, full), START)
        assert (refused.admitted, refused.limit) == (False, full)
        world.release(refused)
    # One place and one admission were used, by the request that was let in.
    taken = world.acquire((free,), START)
    assert (taken.admitted, taken.remaining) == (True, 98)
    assert not world.acquire((free,), START).admitted


def test_a_full_cap_counts_no_admission(world: World) -> None:
    limit = Limit(fresh(), 10, 60.0, 1)
    taken = world.acquire((limit,), START)
    assert not world.acquire((limit,), START).admitted
    world.release(taken)
    assert world.acquire((limit,), START).remaining == 8


def test_the_longest_wait_is_told(world: World) -> None:
    tenant = fresh()
    busy, spent = Limit(tenant, concurrent=1), Limit(f"{tenant}/m", 1, 60.0)
    assert world.acquire((busy, spent), START).admitted
    assert world.acquire((busy, spent), START + 1).retry_after_s == 59.0


@EXAMPLES
@given(
    mine=st.lists(ticks, max_size=15),
    theirs=st.lists(st.integers(0, 15), max_size=60),
)
def test_what_one_tenant_is_told_never_depends_on_another(
    world: World, mine: list[float], theirs: list[int]
) -> None:
    """The same requests alone and among a neighbour's, who has the same bounds."""

    def run(neighbour: str) -> list[tuple[bool, int, float, float]]:
        me, told, now = fresh(), [], START
        for i, gap in enumerate(mine):
            now += gap
            if neighbour:
                for _ in range(theirs.count(i)):
                    world.acquire(
                        (Limit(neighbour, 3, 1.0, 2), Limit(f"{neighbour}/m", 2, 1.0)), now
                    )
            taken = world.acquire((Limit(me, 3, 1.0, 20), Limit(f"{me}/m", 2, 1.0)), now)
            told.append((taken.admitted, taken.remaining, taken.reset_s, taken.retry_after_s))
        return told

    assert run("") == run(fresh("neighbour"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a", "a/b"),
        ("a/b", "a/b/"),
        ("a", "A"),
        ("ä", "a"),
        ("a", "a\x00"),
        ("a{b}", "a"),
        ("", "/"),
    ],
)
def test_names_that_are_alike_are_not_the_same(world: World, one: str, other: str) -> None:
    first = fresh()
    assert world.acquire((Limit(first + one, 1),), START).admitted
    assert not world.acquire((Limit(first + one, 1),), START).admitted
    assert world.acquire((Limit(first + other, 1),), START).admitted


def test_another_cap_keeps_the_counts_and_another_rate_begins_anew(world: World) -> None:
    limit = Limit(fresh(), 2, 60.0, 5)
    world.acquire((limit,), START)
    assert world.acquire((dataclasses.replace(limit, concurrent=6),), START).remaining == 0
    assert world.acquire((dataclasses.replace(limit, rate=3),), START).remaining == 2


def test_without_bounds_everything_is_admitted(world: World) -> None:
    for limits in ([], [Limit(fresh())], (Limit(fresh()), Limit(fresh()))):
        taken = world.acquire(limits, START)
        assert (taken.admitted, taken.limit) == (True, None)
        world.release(taken)


def test_a_list_may_change_between_requests(world: World) -> None:
    limits = [Limit(fresh(), 1)]
    assert world.acquire(limits, START).admitted
    limits[0] = Limit(fresh(), 1)
    assert world.acquire(limits, START).admitted
    assert not world.acquire(limits, START).admitted


def test_the_same_limit_named_twice_counts_once(world: World) -> None:
    limit = Limit(fresh(), 2, 60.0, 2)
    taken = world.acquire((limit, dataclasses.replace(limit)), START)
    assert taken.remaining == 1
    world.release(taken)
    assert world.acquire((limit,), START).admitted
    assert not world.acquire((limit,), START).admitted


def test_a_clock_that_went_back_by_hours_does_not_refuse_for_hours(world: World) -> None:
    limit = Limit(fresh(), 2, 60.0)
    for _ in range(2):
        world.acquire((limit,), START)
    for _ in range(2):
        taken = world.acquire((limit,), START - 7_200)
        if not taken.admitted:
            assert taken.retry_after_s <= 60.0
            assert world.acquire((limit,), START - 7_200 + taken.retry_after_s).admitted
    assert world.acquire((limit,), START - 7_000).admitted


def test_a_large_ring_that_emptied_is_counted_right(world: World) -> None:
    limits = (Limit(fresh(), 300, 64 * TICK),)
    log: list[float] = []
    now = START
    for i in range(400):
        now += TICK if i % 7 == 0 else 0.0
        check(world.acquire(limits, now), [log], limits, now)
    for gap in (20 * TICK, 30 * TICK, 64 * TICK, 500 * TICK):
        now += gap
        check(world.acquire(limits, now), [log], limits, now)

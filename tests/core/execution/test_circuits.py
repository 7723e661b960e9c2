"""Whose circuit opens: a version's for what hurts all, a tenant's for its own rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.execution import (
    ALL_CLOSED,
    EVERYBODY,
    BreakerPolicy,
    Circuit,
    Circuits,
    adopt_policy,
    may_try,
    note_execution,
)

POLICY = BreakerPolicy(window=12, failures=4, pause_s=2.0, longest_s=10.0, probes=2)
STEP_S = 0.5


def after(
    history: str, state: Circuits = ALL_CLOSED, policy: BreakerPolicy = POLICY, at: int = 0
) -> Circuits:
    """``history``, a letter each half second: `a`, `b`, `c` is an execution of that tenant's rows
    that failed, `A`, `B`, `C` one that succeeded, `*` one that failed for everybody, `.` nothing.
    All of them may be tried."""
    for step in history:
        now = at * STEP_S
        at += 1
        if step == ".":
            continue
        tenant = "a" if step == "*" else step.lower()
        let, state = may_try(state, tenant, now, policy)
        assert let, f"{step} at {at} of {history!r}"
        failed = EVERYBODY if step == "*" else tenant if step.islower() else None
        state = note_execution(state, failed, [(tenant, failed is None)], now, policy, 0.0)
    return state


@pytest.mark.parametrize(
    ("history", "opened"),
    [
        ("aaa", ""),
        ("aaaa", "a"),  # nobody else is known: it may be its rows
        ("aBaBaBaB", "a"),  # others succeed meanwhile
        ("aaaBBBBBBBBBBa", ""),  # the first has left the window of twelve
        ("aaab", "*"),  # nothing succeeded since, for two
        ("abab", "*"),
        ("abcABCa", "*"),  # broken now and then, for three
        ("aaaBab", "a"),
        ("aBaBaBaBb", "a"),  # one bad row of the other takes nothing from the third
        ("aaaab", "*"),  # it was not the tenant's rows after all
        ("****", "*"),
        ("***A*", "*"),
        ("*A*Aa", ""),
        ("*A*A*a", "*"),
        ("**A*", ""),
        ("A" * 30 + "aaab", "*"),
    ],
)
def test_table(history: str, opened: str) -> None:
    found = after(history).opened
    assert found == {EVERYBODY if opened == "*" else name for name in opened for opened in [name]}


@pytest.mark.parametrize("tenants", ["ab", "abc", "aab", "abbbb"])
def test_broken_for_all_it_opens_as_soon_as_without_tenants(tenants: str) -> None:
    """Whatever went on before, the first full measure of failures of more than one opens it."""
    for before in ("", "A", "AB" * 20, "aA", "aABB"):
        state, policy, now = after(before), POLICY, 100.0
        last: list[str] = []
        for i in range(40):
            tenant = tenants[i % len(tenants)]
            last.append(tenant)
            state = note_execution(state, tenant, [(tenant, False)], now + i, policy, 0.0)
            if len(set(last[-policy.failures :])) > 1 and len(last) >= policy.failures:
                break
        assert state.version.circuit is Circuit.OPEN
        assert len(last) <= policy.failures + 1


@given(st.text("aABC", max_size=60), st.integers(1, 8), st.integers(0, 10))
def test_however_one_tenant_fails_the_others_are_answered(
    history: str, failures: int, more: int
) -> None:
    policy = replace(POLICY, failures=failures, window=failures + more)
    state = ALL_CLOSED
    for at, step in enumerate(history):
        tenant = step.lower()
        let, state = may_try(state, tenant, at * STEP_S, policy)
        if tenant != "a":
            assert let
        if let:
            failed = tenant if step.islower() else None
            state = note_execution(
                state, failed, [(tenant, failed is None)], at * STEP_S, policy, 0.0
            )
        assert state.version.circuit is Circuit.CLOSED
        assert set(state.tenants) <= {"a"}
    recent = state.recent
    assert len(recent) <= policy.window


@given(st.text("abcABC*", max_size=80))
def test_nothing_opens_before_there_are_enough_failures(history: str) -> None:
    state = ALL_CLOSED
    failures = Counter[str]()
    for at, step in enumerate(history):
        tenant = "a" if step == "*" else step.lower()
        failed = EVERYBODY if step == "*" else tenant if step.islower() else None
        if failed is not None:
            failures[failed] += 1
        state = note_execution(state, failed, [(tenant, failed is None)], at, POLICY, 0.0)
        if state.opened:
            assert failures.total() >= POLICY.failures
        for name in state.opened - {EVERYBODY}:
            assert failures[name] >= POLICY.failures
        if state.opened:
            return


def test_a_tenants_circuit_is_probed_and_closes_by_itself() -> None:
    state = after("aaaa")
    until = state.tenants["a"].until
    assert may_try(state, "a", until - 0.1, POLICY) == (False, state)
    assert may_try(state, "b", until - 0.1, POLICY) == (True, state)
    assert state.of("a").circuit is Circuit.OPEN
    assert state.of("b").circuit is Circuit.CLOSED
    for _ in range(POLICY.probes):
        let, state = may_try(state, "a", until, POLICY)
        assert let
        assert state.of("a").circuit is Circuit.HALF_OPEN
    assert not may_try(state, "a", until, POLICY)[0]
    both = [("a", True), ("b", True), ("a", True)]
    assert note_execution(state, None, both, until, POLICY, 0.0) is ALL_CLOSED
    failed = note_execution(state, "a", [("a", False)], until, POLICY, 0.0)
    assert failed.tenants["a"].until == until + 2 * POLICY.pause_s


def test_a_bad_probe_of_one_tenant_does_not_hold_the_circuit_open_for_all() -> None:
    state = after("abab....")  # a pause of two seconds: four steps
    assert state.version.circuit is Circuit.OPEN
    state = after("a", state, at=8)
    assert state.version.circuit is Circuit.HALF_OPEN
    assert not may_try(state, "a", 4.0, POLICY)[0]
    assert after("b", state, at=9).version.circuit is Circuit.OPEN
    both = note_execution(state, EVERYBODY, [("b", False)], 4.5, POLICY, 0.0)
    assert both.version.circuit is Circuit.OPEN
    closed = after("BB", state, at=9)
    assert closed.version.circuit is Circuit.CLOSED
    assert closed.opened == {"a"}


def test_the_pause_doubles_when_a_probe_fails_for_all() -> None:
    state = after("****....*")
    assert state.version.pause_s == 2 * POLICY.pause_s
    assert not state.tenants


def test_a_tenant_that_never_comes_again_is_forgotten() -> None:
    state = after("aaaa")
    late = state.tenants["a"].until + POLICY.longest_s
    assert note_execution(state, None, [("b", True)], late - 0.1, POLICY, 0.0) is not ALL_CLOSED
    state = note_execution(state, None, [("b", True)], late, POLICY, 0.0)
    assert state is ALL_CLOSED


def test_what_succeeds_after_successes_makes_nothing() -> None:
    assert note_execution(ALL_CLOSED, None, [("a", True)], 1.0, POLICY, 0.0) is ALL_CLOSED
    assert may_try(ALL_CLOSED, "a", 1.0, POLICY)[1] is ALL_CLOSED
    assert after("aaa" + "B" * 12) is ALL_CLOSED


def test_another_policy_holds_at_once() -> None:
    """A long pause ends, its successors are short, and fewer of the past executions count."""
    slow = replace(POLICY, pause_s=1_000.0, longest_s=1_000.0)
    quick = replace(POLICY, pause_s=1.0, longest_s=4.0, probes=1)
    for state, tenant in ((after("****", policy=slow), "a"), (after("aaaa", policy=slow), "a")):
        assert state.of(tenant).circuit is Circuit.OPEN
        assert not may_try(state, tenant, 100.0, slow)[0]
        state = adopt_policy(state, 100.0, quick)
        let, state = may_try(state, tenant, 100.0, quick)
        assert let
        again = note_execution(state, EVERYBODY, [(tenant, False)], 100.0, quick, 0.0)
        assert again.of(tenant).circuit is Circuit.OPEN
        assert again.of(tenant).until <= 100.0 + quick.longest_s
        well = note_execution(state, None, [(tenant, True)], 100.0, quick, 0.0)
        assert well.of(tenant).circuit is Circuit.CLOSED
    half = replace(quick, window=2, failures=2)
    assert adopt_policy(after("***"), 2.0, half).recent == (EVERYBODY, EVERYBODY)
    assert adopt_policy(ALL_CLOSED, 2.0, half) is ALL_CLOSED

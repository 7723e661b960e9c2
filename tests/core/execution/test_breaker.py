"""The circuit breaker: opens on failures, waits, probes a little, closes on proof."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from windvane.core.execution import CLOSED, Breaker, BreakerPolicy, Circuit, note, try_now

POLICY = BreakerPolicy(window=6, failures=3, pause_s=2.0, longest_s=10.0, probes=2)


STEP_S = 0.5


def after(history: str, state: Breaker = CLOSED, policy: BreakerPolicy = POLICY) -> Breaker:
    """``history``, a letter each half second: `+` success, `-` failure, `?` a try that is let
    through, `x` one that is not, `.` nothing."""
    for at, step in enumerate(history):
        now = at * STEP_S
        if step in "?x":
            let, state = try_now(state, now, policy)
            assert let == (step == "?"), f"step {at} of {history!r}"
        elif step in "+-":
            state = note(state, step == "-", now, policy, 0.0)
    return state


@pytest.mark.parametrize(
    ("history", "circuit"),
    [
        ("", Circuit.CLOSED),
        ("?+?+?+?+", Circuit.CLOSED),
        ("--", Circuit.CLOSED),
        ("---", Circuit.OPEN),
        ("-+-+-", Circuit.OPEN),
        ("--++++-", Circuit.CLOSED),  # the first failure has left the window of six
        ("--+++-", Circuit.OPEN),
        ("+++++++---", Circuit.OPEN),
        ("---xxx", Circuit.OPEN),  # a pause of two seconds: four steps
        ("---xxx?", Circuit.HALF_OPEN),
        ("---+++", Circuit.OPEN),  # ends of what had begun before change nothing
        ("------", Circuit.OPEN),
        ("---...??x", Circuit.HALF_OPEN),  # two probes, no third
        ("---...?+?+", Circuit.CLOSED),
        ("---...??++", Circuit.CLOSED),
        ("---...??+x", Circuit.HALF_OPEN),  # one proof, one under way: no third either
        ("---...?-", Circuit.OPEN),
        ("---...??+-", Circuit.OPEN),  # one failure outweighs all proofs
        ("---...?+?+--", Circuit.CLOSED),  # closing forgets: three new failures are needed
        ("---...?+?+---", Circuit.OPEN),
        ("---...?-xxxxxxx?", Circuit.HALF_OPEN),  # the second pause is twice the first
        ("---...??xx??x", Circuit.HALF_OPEN),  # probes that never report are given up in time
        ("---...??xx?+?+", Circuit.CLOSED),
    ],
)
def test_table(history: str, circuit: Circuit) -> None:
    assert after(history).circuit is circuit


@pytest.mark.parametrize(
    ("failed_probes", "pause_s"), [(0, 2.0), (1, 4.0), (2, 8.0), (3, 10.0), (9, 10.0)]
)
def test_pauses_double_up_to_the_bound(failed_probes: int, pause_s: float) -> None:
    state = after("---")
    now = 2 * STEP_S
    for _ in range(failed_probes):
        now = state.until
        let, state = try_now(state, now, POLICY)
        assert let
        state = note(state, True, now, POLICY, 0.0)
    assert state.pause_s == pause_s
    assert state.until - now == pause_s


@given(st.floats(0, 1, exclude_max=True))
def test_jitter_takes_at_most_half_of_a_pause(jitter: float) -> None:
    state = replace(CLOSED, recent=0b11)
    opened = note(state, True, 100.0, POLICY, jitter)
    assert 0.5 * POLICY.pause_s < opened.until - 100.0 <= POLICY.pause_s
    assert opened.pause_s == POLICY.pause_s  # what doubles is the whole pause


def test_a_success_after_successes_costs_nothing() -> None:
    """The same object: the plain case of every request makes none."""
    assert note(CLOSED, False, 1.0, POLICY, 0.0) is CLOSED
    assert try_now(CLOSED, 1.0, POLICY)[1] is CLOSED


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 8), st.integers(1, 8))
def test_closed_it_opens_at_the_first_full_measure(
    failed: list[bool], window: int, failures: int
) -> None:
    policy = replace(POLICY, window=max(window, failures), failures=failures)
    state = CLOSED
    for i, bad in enumerate(failed):
        state = note(state, bad, float(i), policy, 0.0)
        full = sum(failed[max(0, i + 1 - policy.window) : i + 1]) >= failures
        assert (state.circuit is Circuit.OPEN) == full
        if full:
            return


class Circuits(RuleBasedStateMachine):
    """Executions that begin, end and never end, against the words of the policy."""

    reached: ClassVar[set[str]] = set()

    @initialize(
        probes=st.integers(1, 4), failures=st.integers(1, 4), more=st.integers(0, 4),
        longest=st.sampled_from([1.0, 2.0, 8.0, 60.0]),
    )  # fmt: skip
    def begin(self, probes: int, failures: int, more: int, longest: float) -> None:
        self.policy = BreakerPolicy(failures + more, failures, 1.0, longest, probes)
        self.state = CLOSED
        self.now = 0.0
        # The oracle: plain lists of what happened since the circuit last changed.
        self.circuit = Circuit.CLOSED
        self.ended: list[bool] = []
        self.pause_s = 1.0
        self.opened_at = 0.0
        self.half_open_until = 0.0
        self.probes_let = 0  # since the circuit became half open, or since its last pause ended
        self.proofs = 0
        self.waiting = 0

    @rule(seconds=st.sampled_from([0.0, 0.25, 1.0, 4.0, 100.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def someone_asks(self) -> None:
        before = self.circuit
        let, self.state = try_now(self.state, self.now, self.policy)
        if before is Circuit.CLOSED:
            assert let
        elif before is Circuit.OPEN and self.now < self.opened_at + self.pause_s:
            assert not let
        else:
            if before is Circuit.OPEN:
                assert let, "after its pause an open circuit must be tried"
                self.circuit, self.proofs = Circuit.HALF_OPEN, 0
            if before is Circuit.OPEN or self.now >= self.half_open_until:
                self.half_open_until, self.probes_let = self.now + self.pause_s, 0
                assert let, "when its probes do not report, others must go through"
            self.probes_let += let
            assert self.probes_let <= self.policy.probes
        if let:
            self.waiting += 1
        Circuits.reached.add(self.circuit)

    @precondition(lambda self: self.waiting)
    @rule(failed=st.booleans())
    def one_ends(self, failed: bool) -> None:
        self.waiting -= 1
        self.state = note(self.state, failed, self.now, self.policy, 0.0)
        if self.circuit is Circuit.CLOSED:
            self.ended.append(failed)
            if sum(self.ended[-self.policy.window :]) >= self.policy.failures:
                self._opened(1.0)
        elif self.circuit is Circuit.HALF_OPEN:
            if failed:
                self._opened(min(2 * self.pause_s, self.policy.longest_s))
            else:
                self.proofs += 1
                if self.proofs >= self.policy.probes:
                    self.circuit, self.ended = Circuit.CLOSED, []
        Circuits.reached.add(self.circuit)

    def _opened(self, pause_s: float) -> None:
        self.circuit, self.pause_s, self.opened_at = Circuit.OPEN, pause_s, self.now

    @precondition(lambda self: self.waiting)
    @rule()
    def one_never_ends(self) -> None:
        self.waiting -= 1

    @invariant()
    def it_is_what_its_words_say(self) -> None:
        assert self.state.circuit is self.circuit


def test_any_history_keeps_to_the_policy() -> None:
    run_state_machine_as_test(Circuits, settings=settings(max_examples=150, stateful_step_count=40))
    assert Circuits.reached == set(Circuit)

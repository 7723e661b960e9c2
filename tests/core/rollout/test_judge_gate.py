"""The gate as a table: each guard by itself, which of several decides, and what it says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.rollout import (
    EVERYONE,
    FAILED,
    SLOW,
    ArmCounts,
    ArmLosses,
    FirstEvents,
    GateFacts,
    GatePolicy,
    Stage,
    StageFacts,
    judge_gate,
    tenant_slice,
)
from windvane.core.verdict import Outcome

P, H, F = Outcome.PASS, Outcome.HOLD, Outcome.FAIL
SOAK_S, STARTED = 1_800.0, 1_000_000.0
SOAKED = STARTED + SOAK_S
POLICY = GatePolicy(soak_s=SOAK_S)
MANY, MORE = ArmCounts(1_000), ArmCounts(4_000)


def losses(units: int, mean: float = 0.15, square: float = 0.03, naive: float = 0.25) -> ArmLosses:
    return ArmLosses(units, mean * units, square * units, naive * units)


def first(challenger: int, champion: int, **slices: tuple[int, int]) -> Mapping[str, FirstEvents]:
    found = {EVERYONE: FirstEvents(challenger, champion)}
    return found | {tenant_slice(name): FirstEvents(*of) for name, of in slices.items()}


def stage(
    share: float = 0.05,
    challenger: ArmCounts = MANY,
    champion: ArmCounts = MORE,
    *,
    failed: Mapping[str, FirstEvents] | None = None,
    slow: Mapping[str, FirstEvents] | None = None,
    slow_us: float | None = 80_000.0,
) -> StageFacts:
    happened = {FAILED: failed or first(0, 0), SLOW: slow or first(0, 0)}
    return StageFacts(Stage(share, STARTED, slow_us, 0.2), challenger, champion, happened)


def facts(*stages: StageFacts, **change: Any) -> GateFacts:
    """Few errors, fast, equally good, and enough of everything."""
    good = GateFacts(
        stages or (stage(),), slices=10, challenger=losses(40_000), champion=losses(400_000)
    )
    return replace(good, **change)


BAD = stage(failed=first(20, 20), challenger=ArmCounts(1_000, 15))
OVER = stage(challenger=ArmCounts(400, 41), champion=ArmCounts(1_600, 74))
"""Over the limit by much, and more than the champion by little."""
WORSE = losses(40_000, mean=0.25, square=0.08)


@pytest.mark.parametrize(
    ("given", "outcome", "code"),
    [
        (facts(), P, "ROL-301"),
        (facts(BAD), F, "ROL-301"),
        (facts(OVER), F, "ROL-302"),
        (facts(stage(challenger=ArmCounts(1_000, 0, 60), slow=first(60, 20))), F, "ROL-303"),
        # as many of the champion's are slow, or more fail: nothing that the challenger did
        (
            facts(stage(challenger=ArmCounts(1_000, 0, 60), champion=ArmCounts(4_000, 0, 240))),
            P,
            "ROL-301",
        ),
        (facts(stage(challenger=ArmCounts(800, 90), champion=ArmCounts(3_200, 360))), P, "ROL-301"),
        # spent units fail again, and only the challenger's: what came before is no excuse
        (facts(stage(challenger=ArmCounts(400, 400), failed=first(60, 900))), F, "ROL-301"),
        # how long requests of both arms took says nothing of either
        (
            facts(
                stage(
                    challenger=ArmCounts(1_000, 0, 0, 1_000), champion=ArmCounts(4_000, 0, 0, 4_000)
                )
            ),
            P,
            "ROL-301",
        ),
        # seven units of the champion's are too few to say that it is better
        (facts(stage(0.99, ArmCounts(693, 83), ArmCounts(7, 1))), H, "ROL-301"),
        (facts(challenger=WORSE), F, "ROL-305"),
        (facts(challenger=losses(40_000, mean=0.05, square=0.01)), P, "ROL-301"),  # better
        (facts(stage(challenger=ArmCounts(19))), H, "ROL-301"),
        (facts(stage(challenger=ArmCounts(60))), H, "ROL-301"),  # clean, but too few to say
        (facts(stage(challenger=ArmCounts(0), champion=ArmCounts(0))), H, "ROL-301"),  # silence
        (facts(challenger=losses(19)), H, "ROL-305"),
        (facts(champion=losses(19)), H, "ROL-305"),
        (facts(challenger=losses(600)), H, "ROL-305"),
        (facts(broken=("weather",)), H, "ROL-306"),
        (facts(BAD, broken=("weather",)), F, "ROL-301"),
        (facts(stage(failed=first(8, 100, AA=(8, 1), UA=(0, 99)))), F, "ROL-307"),
        (facts(stage(failed=first(3, 60, AA=(3, 1), UA=(0, 59)))), P, "ROL-301"),
        # the worst guard decides, and of two that fail the first
        (facts(BAD, challenger=losses(3)), F, "ROL-301"),
        (facts(OVER, challenger=WORSE), F, "ROL-302"),
    ],
)
def test_table(given: GateFacts, outcome: Outcome, code: str) -> None:
    verdict = judge_gate(given, POLICY, SOAKED)
    assert (verdict.outcome, verdict.code) == (outcome, code), verdict
    assert (verdict.missing != "") == (outcome is H)


@pytest.mark.parametrize(
    ("after", "outcome", "code"),
    [(0.0, H, "ROL-304"), (SOAK_S - 1, H, "ROL-304"), (SOAK_S, P, "ROL-301"), (9e9, P, "ROL-301")],
)
def test_a_good_challenger_soaks_first(after: float, outcome: Outcome, code: str) -> None:
    verdict = judge_gate(facts(), POLICY, STARTED + after)
    assert (verdict.outcome, verdict.code) == (outcome, code)


def test_harm_does_not_wait_for_the_soak() -> None:
    assert judge_gate(facts(BAD), POLICY, STARTED).outcome is F


def test_every_stage_needs_evidence_of_its_own() -> None:
    """What an earlier one showed carries nobody through a stage that nobody met."""
    one, silent = stage(), stage(0.25, ArmCounts(0), ArmCounts(0))
    verdict = judge_gate(facts(one, silent), POLICY, SOAKED)
    assert (verdict.outcome, verdict.code) == (H, "ROL-301")
    shown = stage(failed=first(40, 760), challenger=ArmCounts(9_000, 180),
                  champion=ArmCounts(36_000, 720))  # fmt: skip
    few = stage(0.25, ArmCounts(60, 1), ArmCounts(36, 1))
    assert judge_gate(facts(shown, few), POLICY, SOAKED).outcome is H
    enough = stage(0.25, ArmCounts(3_000, 60), ArmCounts(1_800, 36))
    assert judge_gate(facts(shown, enough), POLICY, SOAKED).outcome is P


def test_what_earlier_stages_showed_does_not_carry_a_version_that_fails_now() -> None:
    """A burst on both had spent all units; then only the challenger fails, and always."""
    burst = stage(challenger=ArmCounts(1_000, 950), champion=ArmCounts(4_000, 3_800),
                  failed=first(1_000, 19_000))  # fmt: skip
    now = stage(0.25, ArmCounts(3_000, 3_000), ArmCounts(1_800, 2))
    verdict = judge_gate(facts(burst, now), POLICY, SOAKED)
    assert (verdict.outcome, verdict.code) == (F, "ROL-301")


def test_a_champion_that_fails_often_too_is_no_reason_to_go_back() -> None:
    """A fifth of all fails on both: over every limit, and nothing that a rollback would mend."""
    both = stage(0.25, ArmCounts(900, 180), ArmCounts(540, 108), failed=first(150, 450))
    assert judge_gate(facts(both), POLICY, SOAKED).outcome is P


def test_before_a_smaller_share_less_is_asked_for() -> None:
    """As many units would be hurt by more failures each."""
    some = stage(challenger=ArmCounts(500, 1))
    assert judge_gate(facts(some, next_share=1.0), POLICY, SOAKED).outcome is H
    assert judge_gate(facts(some, next_share=0.25), POLICY, SOAKED).outcome is P


def test_losses_are_held_against_what_the_champion_gains() -> None:
    """Where one label in two hundred is positive, a constant costs 5% more than the champion: by
    the loss itself hardly anything, and all that the champion is for."""
    mine = ArmLosses(4_000_000, 0.00498 * 4e6, 0.00495 * 4e6, 0.00498 * 4e6)
    others = ArmLosses(40_000_000, 0.00455 * 4e7, 0.0045 * 4e7, 0.00498 * 4e7)
    verdict = judge_gate(facts(challenger=mine, champion=others), POLICY, SOAKED)
    assert (verdict.outcome, verdict.code) == (F, "ROL-305")


def test_few_units_with_rare_large_losses_say_nothing() -> None:
    """Twenty units without one: a normal radius would be next to none."""
    mine, others = losses(20, mean=0.01, square=0.0001), losses(4_000, mean=0.02, square=0.01)
    verdict = judge_gate(facts(challenger=mine, champion=others), POLICY, SOAKED)
    assert (verdict.outcome, verdict.code) == (H, "ROL-305")


def test_a_model_without_outcomes_is_not_asked_for_them() -> None:
    without = facts(challenger=ArmLosses(), champion=ArmLosses())
    assert judge_gate(without, replace(POLICY, outcomes=False), SOAKED).outcome is P
    assert judge_gate(without, POLICY, SOAKED).code == "ROL-305"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (facts(BAD), "errors: 20 challenger units against 20 champion units at 5% share"),
        (facts(OVER), "first requests failed: 10.25% of 400 challenger units, 4.62% of 1,600"),
        (facts(stage(challenger=ArmCounts(1_000, 0, 60), slow=first(60, 20))),
         "first requests slower than 80 ms: 6.00% of 1,000 challenger units"),
        (facts(stage(failed=first(8, 100, AA=(8, 1), UA=(0, 99)))),
         "tenant AA has most errors: 8 challenger units against 1 champion units"),
        (facts(challenger=WORSE), "loss rose by +0.0"),
    ],
)  # fmt: skip
def test_a_fail_says_both_sides(given: GateFacts, sentence: str) -> None:
    assert judge_gate(given, POLICY, SOAKED).sentence.startswith(sentence)


def test_a_hold_says_how_much_is_missing_in_units_and_minutes() -> None:
    verdict = judge_gate(facts(stage(challenger=ArmCounts(90))), POLICY, SOAKED)
    found = re.fullmatch(r"(\d+) units more, about (\d+) min without one", verdict.missing)
    assert found is not None, verdict.missing
    units, minutes = map(int, found.groups())
    assert minutes == pytest.approx(units / 3.0, abs=1), "three a minute came"
    more = stage(challenger=ArmCounts(90 + units))
    assert judge_gate(facts(more), POLICY, SOAKED).outcome is P, "and it is enough"
    one_less = stage(challenger=ArmCounts(90 + units - 1))
    assert judge_gate(facts(one_less), POLICY, SOAKED).outcome is H


def test_the_champions_missing_outcomes_are_named() -> None:
    verdict = judge_gate(facts(challenger=losses(500), champion=losses(3)), POLICY, SOAKED)
    assert verdict.missing == "17 champion units with outcomes"


def test_a_short_soak_is_said_in_seconds() -> None:
    verdict = judge_gate(facts(), replace(POLICY, soak_s=20.0), STARTED + 5.0)
    assert (verdict.code, verdict.missing) == ("ROL-304", "15s more")


def test_a_stricter_alpha_asks_for_more_evidence() -> None:
    close = facts(stage(failed=first(5, 20)))
    assert judge_gate(close, POLICY, SOAKED).outcome is P
    assert judge_gate(close, replace(POLICY, alpha=0.5), SOAKED).outcome is F


# Laws

COUNT = st.integers(0, 60)


@st.composite
def any_stage(draw: st.DrawFn) -> StageFacts:
    mine, others = draw(st.integers(0, 500)), draw(st.integers(0, 2_000))
    return stage(
        draw(st.sampled_from([0.05, 0.25, 0.5])),
        ArmCounts(mine, draw(st.integers(0, min(mine, 60))), draw(st.integers(0, min(mine, 60)))),
        ArmCounts(others, draw(st.integers(0, min(others, 60))), 0),
        failed=first(draw(COUNT), draw(COUNT)),
        slow=first(draw(COUNT), draw(COUNT)),
    )


ANY = st.builds(
    lambda stages, c, p: facts(*stages, challenger=losses(c), champion=losses(p)),
    st.lists(any_stage(), min_size=1, max_size=3),
    st.integers(0, 5_000),
    st.integers(0, 50_000),
)
ORDER = {P: 0, H: 1, F: 2}


def with_last(some: GateFacts, **change: Any) -> GateFacts:
    return replace(some, stages=(*some.stages[:-1], replace(some.now, **change)))


@given(ANY, st.sampled_from([FAILED, SLOW]))
def test_one_more_bad_unit_never_saves_a_challenger(some: GateFacts, what: str) -> None:
    held = some.now.first_of(what)
    happened = {**some.now.first, what: first(held.challenger + 1, held.champion)}
    before, after = (
        judge_gate(one, POLICY, SOAKED) for one in (some, with_last(some, first=happened))
    )
    assert ORDER[after.outcome] >= ORDER[before.outcome]


@given(ANY)
def test_one_more_failed_first_request_never_helps(some: GateFacts) -> None:
    held = some.now.challenger
    if held.failed == held.units:
        return
    worse = with_last(some, challenger=replace(held, failed=held.failed + 1))
    before, after = (judge_gate(one, POLICY, SOAKED) for one in (some, worse))
    assert ORDER[after.outcome] >= ORDER[before.outcome]


@given(ANY, st.floats(0, 5_000), st.floats(0, 5_000))
def test_time_alone_only_ends_the_soak(some: GateFacts, one: float, two: float) -> None:
    early, late = (judge_gate(some, POLICY, STARTED + after) for after in sorted((one, two)))
    assert early.failed == late.failed
    if early.outcome is P:
        assert late == early


@given(ANY)
def test_hold_and_only_hold_lacks_something(some: GateFacts) -> None:
    verdict = judge_gate(some, POLICY, SOAKED)
    assert (verdict.missing != "") == (verdict.outcome is H)
    assert re.fullmatch(r"ROL-30\d", verdict.code)
    assert re.search(r"\d", verdict.sentence)


@given(st.integers(0, 2_000), st.sampled_from([0.002, 0.01, 0.05]))
def test_no_challenger_passes_unseen(units: int, limit: float) -> None:
    """A pass says that the rate is *below* the limit: with few units it cannot be said."""
    policy = replace(POLICY, advance_error_rate=limit)
    some = facts(stage(challenger=ArmCounts(units), slow_us=None))
    verdict = judge_gate(some, policy, SOAKED)
    if verdict.outcome is P:
        assert (1.0 - limit) ** units <= policy.alpha
    else:
        assert verdict.code == "ROL-301"

"""The canary gate as a table: each guard by itself, which of several decides, and what it says."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.rollout import ArmFacts, GateFacts, GatePolicy, StageErrors, judge_gate
from windvane.core.verdict import Outcome

P, H, F = Outcome.PASS, Outcome.HOLD, Outcome.FAIL

SOAK_S = 1_800.0
POLICY = GatePolicy(soak_s=SOAK_S)
STARTED = 1_000_000.0
SOAKED = STARTED + SOAK_S

Stage = tuple[int, int, float]


def stages(*given: Stage) -> tuple[StageErrors, ...]:
    return tuple(StageErrors(*stage) for stage in given)


def losses(n: int, mean: float = 0.15, square: float = 0.05) -> ArmFacts:
    return ArmFacts(n, mean * n, square * n)


def facts(**change: Any) -> GateFacts:
    """Errors as the champion's, fast, equally good, and enough of everything."""
    good: dict[str, Any] = {
        "started": STARTED,
        "stage_started": STARTED,
        "challenger_units": 400,
        "failed_units": 4,
        "errors": stages((1, 20, 0.05)),
        "slow": stages((1, 20, 0.05)),
        "challenger": losses(4_000),
        "champion": losses(40_000),
    }
    return GateFacts(**{**good, **change})


BOUND = POLICY.soak_s
SHORT = "3 challenger and 40,000 champion outcomes, 20 needed"
MANY_ERRORS = stages((20, 20, 0.05))
WORSE = losses(4_000, mean=0.25, square=0.09)
UNSURE = losses(600)


@pytest.mark.parametrize(
    ("change", "outcome", "code"),
    [
        ({}, P, "ROL-301"),
        ({"errors": MANY_ERRORS}, F, "ROL-301"),
        ({"slow": MANY_ERRORS}, F, "ROL-303"),
        ({"failed_units": 60}, F, "ROL-302"),
        ({"challenger": WORSE}, F, "ROL-305"),
        ({"challenger": losses(4_000, mean=0.05, square=0.01)}, P, "ROL-301"),  # better
        ({"challenger_units": 19, "failed_units": 0}, H, "ROL-302"),
        ({"challenger_units": 60, "failed_units": 0}, H, "ROL-302"),  # clean, but too few to say
        ({"challenger_units": 400, "failed_units": 20}, H, "ROL-302"),  # at the limit
        ({"challenger": losses(19)}, H, "ROL-305"),
        ({"champion": losses(19)}, H, "ROL-305"),
        ({"challenger": UNSURE}, H, "ROL-305"),
        ({"challenger": ArmFacts(), "champion": ArmFacts()}, H, "ROL-305"),
        ({"errors": (), "slow": ()}, P, "ROL-301"),
        ({"errors": stages((0, 0, 0.05)), "slow": stages((0, 0, 0.05))}, P, "ROL-301"),
        # the worst guard decides, and of two that fail the first
        ({"errors": MANY_ERRORS, "challenger": ArmFacts()}, F, "ROL-301"),
        ({"failed_units": 60, "slow": MANY_ERRORS}, F, "ROL-302"),
        ({"slow": MANY_ERRORS, "challenger": WORSE}, F, "ROL-303"),
        ({"challenger_units": 19, "failed_units": 0, "challenger": ArmFacts()}, H, "ROL-302"),
    ],
)
def test_table(change: dict[str, Any], outcome: Outcome, code: str) -> None:
    verdict = judge_gate(facts(**change), POLICY, SOAKED)
    assert (verdict.outcome, verdict.code) == (outcome, code)
    assert (verdict.missing != "") == (outcome is H)


@pytest.mark.parametrize(
    ("after", "outcome", "code"),
    [(0.0, H, "ROL-304"), (BOUND - 1, H, "ROL-304"), (BOUND, P, "ROL-301"), (9e9, P, "ROL-301")],
)
def test_a_good_challenger_soaks_first(after: float, outcome: Outcome, code: str) -> None:
    verdict = judge_gate(facts(), POLICY, STARTED + after)
    assert (verdict.outcome, verdict.code) == (outcome, code)


def test_each_stage_soaks_anew() -> None:
    later = facts(stage_started=SOAKED)
    assert judge_gate(later, POLICY, SOAKED + 60.0).code == "ROL-304"
    assert judge_gate(later, POLICY, SOAKED + BOUND).outcome is P


def test_harm_does_not_wait_for_the_soak() -> None:
    verdict = judge_gate(facts(slow=MANY_ERRORS), POLICY, STARTED)
    assert (verdict.outcome, verdict.code) == (F, "ROL-303")


SAID = [
    (
        {"errors": MANY_ERRORS},
        (
            "errors: 20 challenger units against 20 champion units at 5% share, "
            "evidence 3.16e+12 >= 80"
        ),
    ),
    (
        {"slow": stages((1, 10, 0.05), (30, 20, 0.25))},
        (
            "slow answers: 31 challenger units against 30 champion units at 25% share, "
            "evidence 1.43e+05 >= 80"
        ),
    ),
    ({"failed_units": 60}, "error rate 15.0% of units, 5.0% allowed, n=400"),
    ({"challenger": WORSE}, "loss rose by +0.086 to +0.114, +0.020 allowed, n=4,000"),
]


@pytest.mark.parametrize(("change", "sentence"), SAID)
def test_a_fail_says_both_sides(change: dict[str, Any], sentence: str) -> None:
    assert judge_gate(facts(**change), POLICY, SOAKED).sentence == sentence


@pytest.mark.parametrize(
    ("change", "after", "sentence", "missing"),
    [
        (
            {"challenger_units": 7, "failed_units": 1},
            BOUND,
            "error rate 14.3% of units, 5.0% allowed, n=7",
            "13 units",
        ),
        ({"challenger": losses(3)}, BOUND, SHORT, "17 challenger outcomes"),
        ({}, 600.0, "soaked 10 min < 30 min", "20 min more"),
    ],
)
def test_a_hold_says_both_sides_and_how_much_is_missing(
    change: dict[str, Any], after: float, sentence: str, missing: str
) -> None:
    verdict = judge_gate(facts(**change), POLICY, STARTED + after)
    assert verdict.sentence == sentence
    assert verdict.missing == missing


def test_a_pass_says_both_sides_too() -> None:
    message = judge_gate(facts(), POLICY, SOAKED).sentence
    assert re.fullmatch(
        r"errors: 1 challenger units against 20 champion units at 5% share, "
        r"evidence [\d.]+ < 80",
        message,
    )


def test_the_champions_missing_outcomes_are_named() -> None:
    verdict = judge_gate(facts(challenger=losses(500), champion=losses(3)), POLICY, SOAKED)
    assert verdict.outcome is H
    assert "17" in verdict.missing
    assert "champion" in verdict.sentence


@pytest.mark.parametrize(
    "change", [{"challenger_units": 60, "failed_units": 0}, {"challenger": UNSURE}]
)
def test_every_hold_says_how_much_is_missing(change: dict[str, Any]) -> None:
    verdict = judge_gate(facts(**change), POLICY, SOAKED)
    assert verdict.outcome is H
    assert re.search(r"\d", verdict.missing)


def test_a_short_soak_is_said_in_seconds() -> None:
    verdict = judge_gate(facts(), replace(POLICY, soak_s=20.0), STARTED + 5.0)
    assert verdict.code == "ROL-304"
    assert "15" in verdict.missing


@pytest.mark.parametrize("limit", [0.0, 1.0])
def test_a_limit_that_the_file_allows_can_be_judged(limit: float) -> None:
    verdict = judge_gate(facts(), replace(POLICY, max_error_rate=limit), SOAKED)
    assert verdict.outcome in (P, H, F)


def test_the_guards_share_alpha() -> None:
    """Three guards say the evidence they roll back at; each spends its inverse of alpha."""
    message = judge_gate(facts(), POLICY, SOAKED).sentence
    least = float(message.rpartition("<")[2])
    assert 4.0 / least <= POLICY.alpha * (1 + 1e-9)


def test_a_stricter_alpha_asks_for_more_evidence() -> None:
    close = facts(errors=stages((9, 20, 0.1)))
    assert judge_gate(close, POLICY, SOAKED).outcome is P
    assert judge_gate(close, replace(POLICY, alpha=0.5), SOAKED).outcome is F


# Laws

COUNT = st.integers(0, 60)
STAGES = st.lists(
    st.tuples(COUNT, COUNT, st.sampled_from([0.05, 0.25, 0.5])), min_size=1, max_size=3
)
ANY = st.builds(
    lambda units, failed, errors, slow, c, p: facts(
        challenger_units=units,
        failed_units=min(failed, units),
        errors=stages(*errors),
        slow=stages(*slow),
        challenger=losses(c),
        champion=losses(p),
    ),
    st.integers(0, 500), COUNT, STAGES, STAGES, st.integers(0, 5_000), st.integers(0, 5_000),
)  # fmt: skip
ORDER = {P: 0, H: 1, F: 2}


def worse_by_one(given: GateFacts, what: str) -> GateFacts:
    """One more unit of the challenger's that failed or was slow in the last stage."""
    held = getattr(given, what)
    return replace(
        given, **{what: (*held[:-1], replace(held[-1], challenger=held[-1].challenger + 1))}
    )


@given(ANY, st.sampled_from(["errors", "slow"]))
def test_one_more_bad_unit_never_saves_a_challenger(some: GateFacts, what: str) -> None:
    before = judge_gate(some, POLICY, SOAKED)
    after = judge_gate(worse_by_one(some, what), POLICY, SOAKED)
    assert ORDER[after.outcome] >= ORDER[before.outcome]


@given(ANY)
def test_one_more_failed_unit_never_helps(some: GateFacts) -> None:
    if some.failed_units == some.challenger_units:
        return
    more = replace(some, failed_units=some.failed_units + 1)
    before, after = (judge_gate(f, POLICY, SOAKED).outcome for f in (some, more))
    assert ORDER[after] >= ORDER[before]


@given(ANY)
def test_one_more_bad_unit_of_the_champions_never_hurts(some: GateFacts) -> None:
    held = some.errors
    more = replace(some, errors=(*held[:-1], replace(held[-1], champion=held[-1].champion + 1)))
    before, after = (judge_gate(f, POLICY, SOAKED).outcome for f in (some, more))
    assert ORDER[after] <= ORDER[before]


@given(ANY, st.floats(0, 5_000), st.floats(0, 5_000))
def test_time_alone_only_ends_the_soak(some: GateFacts, one: float, two: float) -> None:
    early, late = (judge_gate(some, POLICY, STARTED + after) for after in sorted((one, two)))
    assert early.failed == late.failed
    if early.outcome is P:
        assert late == early


@given(ANY, st.floats(0, 5_000))
def test_it_is_a_function_of_its_facts(some: GateFacts, after: float) -> None:
    now = STARTED + after
    assert judge_gate(some, POLICY, now) == judge_gate(some, POLICY, now)


@given(ANY)
def test_hold_and_only_hold_lacks_something(some: GateFacts) -> None:
    verdict = judge_gate(some, POLICY, SOAKED)
    assert (verdict.missing != "") == (verdict.outcome is H)
    assert re.fullmatch(r"ROL-30\d", verdict.code)
    assert re.search(r"\d", verdict.sentence)


@given(st.integers(20, 400), st.sampled_from([0.02, 0.05, 0.2]))
def test_no_challenger_passes_unseen(units: int, limit: float) -> None:
    """A pass says that the rate is *below* the limit: with few units it cannot be said."""
    policy = GatePolicy(max_error_rate=limit)
    verdict = judge_gate(facts(challenger_units=units, failed_units=0), policy, SOAKED)
    clean_by_chance = (1.0 - limit) ** units
    if verdict.outcome is P:
        assert clean_by_chance <= policy.alpha
    else:
        assert verdict.code == "ROL-302"

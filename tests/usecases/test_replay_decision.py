"""Every judge's decision can be judged again from its record, to the same verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from usecases.harness import Harness

from windvane.core.absence import AbsenceFacts, AbsencePolicy, AbsenceState, judge_absence
from windvane.core.acceptance import (
    AcceptancePolicy,
    CandidateFacts,
    ParityReport,
    judge_candidate,
)
from windvane.core.drift import (
    TOLD_APART,
    DependenceFacts,
    DependencePolicy,
    DomainReading,
    DriftFacts,
    DriftPolicy,
    Kind,
    PairReading,
    Reading,
    StreamState,
    judge_dependence,
    judge_drift,
)
from windvane.core.journal import Decision
from windvane.core.outcomes import (
    CalibrationCheck,
    CellFacts,
    Estimate,
    EstimateFacts,
    EstimatePolicy,
    LabelFacts,
    LabelFault,
    LabelPolicy,
    OutcomeFacts,
    OutcomePolicy,
    SampledFacts,
    SampledMetric,
    SampledPolicy,
    ShareReading,
    Shift,
    ShiftPolicy,
    judge_estimate,
    judge_labels,
    judge_outcomes,
    judge_sampled_labels,
    judge_shift,
)
from windvane.core.outcomes import Reading as TruthReading
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
)
from windvane.core.slo import (
    Burning,
    SloFacts,
    SloPolicy,
    SpanTally,
    Tally,
    burn_rules,
    judge_slo,
)
from windvane.core.task import Quality
from windvane.core.verdict import (
    Bet,
    Level,
    Outcome,
    RateFacts,
    RatePolicy,
    RateState,
    ShiftState,
    Verdict,
    judge_rate,
)
from windvane.usecases.replay_decision import (
    JUDGES,
    NothingToReplay,
    replay_decision,
    revision_of,
)

COUNT = st.integers(0, 10**6)
SHARE = st.floats(0.001, 0.999)
STATE = st.builds(
    StreamState, st.floats(0, 50), st.none() | st.floats(0, 1e10),
    st.none() | st.floats(0, 1e10), st.floats(0, 50), st.booleans(), SHARE, st.floats(0, 9),
    st.integers(0, 3),
)  # fmt: skip
READING = st.builds(
    Reading,
    st.sampled_from(["a", "b"]),
    st.just("v"),
    st.sampled_from(Kind),
    st.floats(-1, 50),
    SHARE,
    SHARE,
    SHARE,
)
COUNTED = st.tuples(st.integers(0, 999), SHARE, SHARE).map(
    lambda n: ArmCounts(n[0], int(n[0] * n[1]), int(n[0] * n[2]))
)
FIRST = st.builds(FirstEvents, st.integers(0, 99), st.integers(0, 99))
NO_LIMIT = st.just(Stage(0.5, 0.0).slow_us)  # of a stage that an earlier release began
STAGE = st.builds(
    StageFacts,
    st.builds(Stage, SHARE, st.floats(0, 1e10), NO_LIMIT | st.floats(1, 1e7), SHARE),
    COUNTED, COUNTED,
    st.dictionaries(
        st.sampled_from([FAILED, SLOW]),
        st.dictionaries(
            st.sampled_from([EVERYONE, "tenant:AA", "segment:carrier=dl"]), FIRST, max_size=3
        ),
    ),
)  # fmt: skip
LOSSES = st.builds(
    lambda n, mean, naive: ArmLosses(n, mean * n, mean * mean * n, naive * n),
    st.integers(0, 99_999), SHARE, SHARE,
)  # fmt: skip
QUALITY = st.builds(
    Quality, st.sampled_from(["auc", "accuracy"]), SHARE, SHARE, SHARE, COUNT, st.booleans(),
    st.sampled_from(["", "5 outcomes"]),
)  # fmt: skip
TALLY = st.tuples(COUNT, COUNT).map(lambda two: Tally(two[0], two[0] + two[1]))
AT = st.none() | st.floats(0, 1e10)
BURNING = st.builds(Burning, AT, AT, AT, TALLY)

SHIFT_STATE = st.builds(
    ShiftState,
    st.builds(Level, st.floats(0, 28), SHARE, SHARE, st.floats(-1, 1), SHARE),
    st.just(Level()), st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e10),
    st.booleans(), st.floats(-1, 1), st.floats(0, 49),
)  # fmt: skip
CASES: dict[str, st.SearchStrategy[tuple[Any, Any]]] = {
    "rate": st.tuples(
        st.builds(
            RateFacts, st.just("tenant AA"), st.floats(0, 1e10), COUNT, COUNT,
            st.builds(
                RateState,
                st.lists(
                    st.builds(Bet, st.floats(0, 1e300), st.floats(0, 1e300), st.floats(0, 1e10)),
                    min_size=7, max_size=7,
                ).map(tuple),
                st.floats(0, 1e10), st.booleans(), st.floats(0, 1e300), SHARE,
            ),
        ),
        st.builds(RatePolicy, SHARE, st.floats(1, 1e6), st.just("CON"), st.just("refused")),
    ),
    "drift": st.tuples(
        st.builds(
            DriftFacts, st.floats(0, 1e10), st.integers(0, 99), st.just(20),
            st.lists(READING, max_size=4).map(tuple),
            st.dictionaries(st.sampled_from(["a/nulls", "b/drift"]), STATE),
        ),
        st.builds(DriftPolicy, st.floats(1, 1e6)),
    ),
    "rollout.gate": st.tuples(
        st.builds(
            GateFacts, st.lists(STAGE, min_size=1, max_size=3).map(tuple), SHARE,
            st.integers(0, 9), LOSSES, LOSSES, st.floats(0.1, 20),
            st.just(()) | st.just(("weather",)),
        ),
        st.builds(
            GatePolicy, soak_s=st.just(0.0) | st.floats(0, 1e10), max_error_rate=SHARE,
            advance_error_rate=SHARE, max_ratio=st.floats(1.01, 1_000), loss_of_gain=SHARE,
            outcomes=st.booleans(),
        ),
    ),
    "acceptance": st.tuples(
        st.builds(
            CandidateFacts, COUNT, COUNT, QUALITY, SHARE | st.none(),
            st.builds(ParityReport, COUNT, SHARE, COUNT, SHARE, st.integers(0, 3)),
        ),
        st.builds(AcceptancePolicy, floor=SHARE | st.none()),
    ),
    "absence": st.tuples(
        st.builds(
            AbsenceFacts, st.just("tenant AA"), st.floats(0, 1e10), st.floats(0, 1e6), COUNT,
            st.builds(
                AbsenceState, st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e10),
                st.floats(0, 1e6), COUNT, st.booleans(), st.floats(0, 1e6), st.floats(0, 1e4),
                st.floats(0, 1e6), st.floats(0, 1e6), st.floats(1, 8), st.just(0.0),
            ),
            st.booleans(),
        ),
        st.builds(AbsencePolicy, st.floats(2, 1e6)),
    ),
    "outcomes": st.tuples(
        st.builds(OutcomeFacts, st.just("3"), QUALITY, SHARE | st.none()),
        st.builds(OutcomePolicy, SHARE),
    ),
    "estimates": st.tuples(
        st.builds(
            EstimateFacts, st.just("3"), st.just("auc"), st.just(0.0), st.just(60.0),
            st.none() | st.builds(Estimate, SHARE, SHARE, SHARE, COUNT, SHARE),
            st.tuples(
                st.builds(CalibrationCheck, st.sampled_from(["", "AA"]), COUNT, SHARE, SHARE, SHARE,
                          st.floats(1, 1e6))
            ),
            st.booleans(),
        ),
        st.builds(EstimatePolicy, SHARE | st.none()),
    ),
    "sampled_labels": st.tuples(
        st.builds(
            SampledFacts, st.just("s"), st.just("3"), st.just(0.0), st.just(60.0), COUNT, COUNT,
            COUNT, st.just("ana"), st.booleans(), st.just("d"), QUALITY, SHARE | st.none(),
            st.dictionaries(st.just("brier"), st.builds(SampledMetric, SHARE, SHARE, SHARE)),
        ),
        st.builds(SampledPolicy, SHARE | st.none()),
    ),
    "truth_shift": st.tuples(
        st.builds(
            CellFacts, st.sampled_from(["", "tenant AA"]), st.floats(0, 1e10), COUNT,
            st.lists(
                st.builds(
                    TruthReading, st.sampled_from(Shift), SHARE, SHARE, SHARE, SHARE,
                    st.floats(-9, 9), st.floats(-9, 9), SHARE,
                ),
                max_size=3,
            ).map(tuple),
            st.dictionaries(
                st.sampled_from([kind.value for kind in Shift]),
                SHIFT_STATE,
            ),
            st.booleans(),
        ),
        st.builds(ShiftPolicy, st.floats(2, 1e6), st.just({"bias": 0.03})),
    ),
    "dependence": st.tuples(
        st.builds(
            DependenceFacts, st.floats(0, 1e10), COUNT,
            st.lists(
                st.builds(
                    PairReading, st.sampled_from("ab"), st.sampled_from("cd"), SHARE,
                    st.floats(0.001, 0.5),
                ),
                max_size=3,
            ).map(tuple),
            st.dictionaries(st.sampled_from(["a and c", "b and d", TOLD_APART]), SHIFT_STATE),
            st.none() | st.builds(
                DomainReading, SHARE, st.floats(0.001, 0.5), COUNT,
                st.lists(st.tuples(st.sampled_from("abcd"), SHARE), max_size=2).map(tuple),
            ),
        ),
        st.builds(DependencePolicy, st.floats(2, 1e6), st.just(400)),
    ),
    "labels": st.tuples(
        st.builds(
            LabelFacts, st.sampled_from(["", "tenant AA"]), st.floats(0, 1e10), st.floats(0, 1e7),
            st.lists(
                st.builds(
                    ShareReading, st.sampled_from(LabelFault), SHARE, COUNT, SHARE, SHARE
                ),
                max_size=2,
            ).map(tuple),
            st.dictionaries(
                st.sampled_from([kind.value for kind in LabelFault]),
                SHIFT_STATE,
            ),
            st.booleans(),
        ),
        st.builds(LabelPolicy, st.floats(2, 1e6)),
    ),
    "slo": st.tuples(
        st.builds(
            SloFacts, st.just("availability"), st.floats(0, 1e10), st.floats(0, 1e10),
            st.floats(0, 1e10), TALLY, TALLY, st.tuples(*[st.builds(SpanTally, TALLY, TALLY)] * 3),
            st.tuples(*[BURNING] * 3),
        ),
        st.builds(SloPolicy, SHARE, st.just(86_400.0), st.just(burn_rules(86_400.0)),
                  st.floats(1, 1e6)),
    ),
}  # fmt: skip
JUDGED: dict[str, Any] = {
    "rate": lambda facts, policy, now: judge_rate(facts, policy, now)[0],
    "absence": lambda facts, policy, now: judge_absence(facts, policy, now)[0],
    "drift": lambda facts, policy, now: judge_drift(facts, policy, now)[0],
    "slo": lambda facts, policy, now: judge_slo(facts, policy, now)[0],
    "rollout.gate": judge_gate,
    "acceptance": judge_candidate,
    "outcomes": judge_outcomes,
    "estimates": judge_estimate,
    "sampled_labels": judge_sampled_labels,
    "labels": lambda facts, policy, now: judge_labels(facts, policy, now)[0],
    "truth_shift": lambda facts, policy, now: judge_shift(facts, policy, now)[0],
    "dependence": lambda facts, policy, now: judge_dependence(facts, policy, now)[0],
}


# Of the others whole incidents are judged again, in the tests of their monitors.
DRAWN = sorted(JUDGES.keys() - {"freshness", "repeats"})


def record(judge: str, facts: Any, policy: Any, now: float, verdict: Verdict) -> Decision:
    """As a use case writes it down, and as the store gives it back."""
    decision = Decision(
        id="d", model="m", judge=judge, subject="s", action="a", at=now,
        policy=msgspec.to_builtins(policy),
        facts=msgspec.to_builtins(facts, enc_hook=np.ndarray.tolist),
        verdict=verdict,
    )  # fmt: skip
    return msgspec.json.decode(msgspec.json.encode(decision), type=Decision)


def test_every_judge_is_here() -> None:
    assert set(CASES) == set(JUDGED) == set(DRAWN)


@pytest.mark.parametrize("judge", DRAWN)
@given(data=st.data(), now=st.floats(0, 1e10))
def test_a_recorded_verdict_comes_out_again(judge: str, data: st.DataObject, now: float) -> None:
    facts, policy = data.draw(CASES[judge])
    verdict = JUDGED[judge](facts, policy, now)
    replay = replay_decision(record(judge, facts, policy, now, verdict))
    assert replay.same
    assert replay.again == verdict
    assert not replay.revised


@pytest.mark.parametrize("judge", DRAWN)
@given(data=st.data())
def test_a_forged_verdict_is_found_out(judge: str, data: st.DataObject) -> None:
    facts, policy = data.draw(CASES[judge])
    verdict = JUDGED[judge](facts, policy, 0.0)
    forged = replace(
        verdict, outcome=Outcome.PASS if verdict.outcome is not Outcome.PASS else Outcome.FAIL
    )
    replay = replay_decision(record(judge, facts, policy, 0.0, forged))
    assert not replay.same
    assert (replay.recorded, replay.again) == (forged, verdict)


def test_changed_facts_are_found_out() -> None:
    facts = RateFacts("tenant AA", 0.0, 60, 40, RateState())
    policy = RatePolicy(0.05, 1_000.0, "CON", "refused")
    verdict, _ = judge_rate(facts, policy, 0.0)
    assert verdict.failed
    decision = record("rate", replace(facts, bad=1), policy, 0.0, verdict)
    assert not replay_decision(decision).same


@pytest.mark.parametrize("judge", DRAWN)
def test_a_decision_of_another_revision_says_so(judge: str) -> None:
    facts, policy = RateFacts("t", 0.0, 1, 99, RateState()), RatePolicy(0.05, 9.0, "CON", "refused")
    assert revision_of(judge) >= 1
    decision = record("rate", facts, policy, 0.0, judge_rate(facts, policy, 0.0)[0])
    older = replace(decision, policy={**decision.policy, "revision": revision_of("rate") + 1})
    assert replay_decision(older).revised


def test_a_decision_without_a_revision_is_of_the_first() -> None:
    facts, policy = RateFacts("t", 0.0, 1, 99, RateState()), RatePolicy(0.05, 9.0, "CON", "refused")
    decision = record("rate", facts, policy, 0.0, judge_rate(facts, policy, 0.0)[0])
    bare = {name: value for name, value in decision.policy.items() if name != "revision"}
    replay = replay_decision(replace(decision, policy=bare))
    assert replay.same
    assert replay.revised == (revision_of("rate") != 1)


def test_what_people_did_has_no_judge(harness: Harness) -> None:
    (applied,) = harness.decisions("apply")
    with pytest.raises(NothingToReplay, match="DEC-101") as raised:
        replay_decision(applied)
    assert applied.id in raised.value.message
    assert "apply" in raised.value.message

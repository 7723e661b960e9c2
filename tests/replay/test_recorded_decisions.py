"""Decisions of a real demo, judged again: a changed verdict needs a changed policy version.

Of silence, which the demo does not have, those of a test.

Whoever changes what a judge says raises the `revision` in its policy and records the corpus
anew; whoever changes it by accident fails here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from windvane.core.journal import Decision
from windvane.usecases.replay_decision import JUDGES, replay_decision, revision_of

RECORDED = msgspec.json.decode(
    (Path(__file__).parent / "decisions.json").read_bytes(), type=list[Decision]
)


@pytest.mark.parametrize("decision", RECORDED, ids=lambda d: d.id)
def test_a_recorded_verdict_is_given_again(decision: Decision) -> None:
    done = replay_decision(decision)
    assert done.same or done.revised, f"{done.recorded.sentence!r} became {done.again.sentence!r}"


def test_the_corpus_holds_each_judge_at_its_present_revision() -> None:
    told_elsewhere = {
        "outcomes", "estimates", "sampled_labels", "truth_shift", "labels", "slo", "freshness",
        "repeats", "dependence",
    }  # fmt: skip
    assert {d.judge for d in RECORDED} == JUDGES.keys() - told_elsewhere
    for decision in RECORDED:
        assert decision.policy["revision"] == revision_of(decision.judge)


def test_a_forged_verdict_is_found() -> None:
    forged = replace(RECORDED[0], verdict=replace(RECORDED[0].verdict, sentence="all is well"))
    done = replay_decision(forged)
    assert not done.same
    assert not done.revised


def test_another_revision_says_so() -> None:
    old = replace(RECORDED[0], policy={**RECORDED[0].policy, "revision": 0})
    assert replay_decision(old).revised

"""Batches of labels are no silence, and labels that stopped or slowed down are found."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from windvane.core.outcomes import (
    LabelFacts,
    LabelFault,
    LabelPolicy,
    ShareReading,
    judge_labels,
)
from windvane.core.verdict import Outcome, ShiftState


class Stream:
    """The share of predictions without a label, block by block."""

    def __init__(self, alarm_at: float = 200.0) -> None:
        self.policy = LabelPolicy(alarm_at)
        self.states: Mapping[str, ShiftState] = {}
        self.block = 0

    def judge(self, missing: float, rows: int = 500) -> str:
        state = self.states.get(LabelFault.MISSING, ShiftState())
        usual = state.level.mean if state.level.blocks else missing
        reading = ShareReading(LabelFault.MISSING, missing, rows, missing, usual)
        facts = LabelFacts("", float(self.block), 3_600.0, (reading,), self.states)
        verdict, self.states = judge_labels(facts, self.policy, 0.0)
        self.block += 1
        return verdict.code


def test_batches_and_weekends_are_no_alarm() -> None:
    """1,000 blocks, three times: a threshold of 50 may have 60 false alarms of evidence."""
    alarms = 0
    for seed in range(3):
        rng, stream = np.random.default_rng(seed), Stream(50.0)
        for day in range(1_000):
            usual = 0.1 if day % 7 < 5 else 0.3
            share = float(np.clip(usual + rng.normal(0.0, 0.08), 0.0, 1.0))
            stream.judge(share)
            state = stream.states[LabelFault.MISSING]
            if state.alarmed:
                alarms += 1
                stream.states = {
                    LabelFault.MISSING: ShiftState(level=state.level, learned=state.level)
                }
    assert alarms <= 60


@pytest.mark.parametrize("usual", [0.0, 0.05, 0.4])
def test_labels_that_stopped_are_found_in_their_first_blocks(usual: float) -> None:
    rng, stream = np.random.default_rng(2), Stream()
    for _ in range(14):
        assert stream.judge(float(rng.binomial(500, usual)) / 500.0) in ("ABS-213", "ABS-210")
    codes = [stream.judge(1.0), stream.judge(1.0)]
    assert "ABS-211" in codes
    assert stream.judge(usual) == "ABS-211", "one good block ends nothing"
    assert [stream.judge(usual) for _ in range(2)][-1] == "ABS-210"


def test_labels_that_are_half_as_many_by_their_age_are_found() -> None:
    rng, stream = np.random.default_rng(3), Stream()
    for _ in range(14):
        stream.judge(float(rng.normal(0.1, 0.02)))
    assert "ABS-211" in [stream.judge(0.6) for _ in range(3)]


def test_a_few_that_are_missing_do_not_matter() -> None:
    stream = Stream()
    for _ in range(14):
        stream.judge(0.02)
    assert {stream.judge(0.1, 20_000) for _ in range(30)} == {"ABS-210"}


def test_few_rows_and_few_blocks_are_a_hold() -> None:
    reading = ShareReading(LabelFault.MISSING, 1.0, 7, 1.0, 1.0)
    verdict, _ = judge_labels(
        LabelFacts("tenant AA", 0.0, 60.0, (reading,), {}), LabelPolicy(50.0), 0.0
    )
    assert (verdict.outcome, verdict.missing) == (Outcome.HOLD, "13 more")
    stream = Stream()
    assert [stream.judge(0.1) for _ in range(6)] == ["ABS-213"] * 5 + ["ABS-210"]


def test_a_share_that_healthy_blocks_never_showed_is_no_pass() -> None:
    """Four fifths of the labels are gone, and there is no evidence yet for an alarm."""
    stream = Stream(alarm_at=1e12)
    rng = np.random.default_rng(4)
    for _ in range(8):
        stream.judge(float(rng.normal(0.085, 0.03)), 2_084)
    usual = stream.states[LabelFault.MISSING].level.mean
    reading = ShareReading(LabelFault.MISSING, 0.818, 2_084, 0.818, usual)
    facts = LabelFacts("", 8.0, 31_608.0, (reading,), stream.states)
    verdict, _ = judge_labels(facts, stream.policy, 0.0)
    assert (verdict.outcome, verdict.code) == (Outcome.HOLD, "ABS-214")
    assert verdict.sentence.startswith("18.2% of 2,084 predictions have a label after 8.78 h")
    assert verdict.sentence.endswith("it is not known yet whether labels stopped")
    assert verdict.missing.startswith("more blocks: evidence ")


@pytest.mark.parametrize(("missing", "code"), [(0.12, "ABS-210"), (0.4, "ABS-214")])
def test_what_is_less_than_an_alarms_size_passes_only_within_what_is_usual(
    missing: float, code: str
) -> None:
    stream = Stream(alarm_at=1e12)
    for i in range(14):
        stream.judge(0.08 + 0.01 * (i % 2))
    assert stream.judge(missing) == code


def test_outcomes_that_join_nothing_without_evidence_are_no_pass() -> None:
    level = Stream()
    for i in range(14):
        level.judge(0.01 * (i % 2))
    states: Mapping[str, ShiftState] = {LabelFault.UNJOINED: level.states[LabelFault.MISSING]}
    reading = ShareReading(LabelFault.UNJOINED, 0.5, 300, 0.5, 0.005)
    facts = LabelFacts("", 14.0, 60.0, (reading,), states, covered=True)
    verdict, _ = judge_labels(facts, level.policy, 0.0)
    assert (verdict.outcome, verdict.code) == (Outcome.HOLD, "ABS-214")
    assert verdict.sentence.endswith("it is not known yet whether outcomes stopped joining")

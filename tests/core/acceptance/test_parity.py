"""What is served against what the model's own library answers, as acceptance judges it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from windvane.core.acceptance import (
    AcceptancePolicy,
    CandidateFacts,
    ParityReport,
    RowGroup,
    Tolerance,
    compare_outputs,
    judge_candidate,
)
from windvane.core.task import Quality
from windvane.core.verdict import Outcome

GOOD = CandidateFacts(
    5_000, 0, Quality("auc", 0.8, 0.78, 0.82, 1_000), 0.5,
    ParityReport(1_000, 0.0, 900, 0.0, 0, library="Booster (xgboost 3.2.0)"),
)  # fmt: skip
POLICY = AcceptancePolicy()


def judged(parity: ParityReport | None) -> tuple[Outcome, str, str]:
    verdict = judge_candidate(replace(GOOD, parity=parity), POLICY, 0.0)
    return verdict.outcome, verdict.code, verdict.sentence


def test_equal_answers_pass() -> None:
    assert judged(GOOD.parity)[0] is Outcome.PASS
    assert judged(None)[0] is Outcome.PASS


def test_one_row_that_differs_is_refused_and_both_sides_are_named() -> None:
    outcome, code, sentence = judged(ParityReport(1_000, 0.3, 900, 0.0, 1, library="catboost"))
    assert (outcome, code) == (Outcome.FAIL, "ACC-503")
    assert "differs from catboost by 0.3 on 1,000 rows" in sentence


def test_rows_that_one_side_alone_answers_are_refused() -> None:
    group = RowGroup("temp missing", 50, unanswered="Input contains NaN", only="Windvane")
    outcome, code, sentence = judged(ParityReport(1_000, 0.0, 0, 0.0, 0, groups=(group,)))
    assert (outcome, code) == (Outcome.FAIL, "ACC-503")
    assert "only Windvane answers temp missing: Input contains NaN" in sentence


def test_rows_that_neither_side_answers_are_not() -> None:
    group = RowGroup("temp missing", 50, unanswered="Input contains NaN")
    assert judged(ParityReport(1_000, 0.0, 0, 0.0, 0, groups=(group,)))[0] is Outcome.PASS


def test_a_reason_lets_a_difference_in_and_is_in_the_verdict() -> None:
    report = ParityReport(1_000, 0.3, 0, 0.0, 7, accepted="agreed", accepted_by="ada")
    outcome, code, sentence = judged(report)
    assert (outcome, code) == (Outcome.PASS, "ACC-503")
    assert sentence.endswith("accepted by ada: agreed")


@pytest.mark.parametrize("reason", ["no library", "an ONNX graph has none"])
def test_where_nothing_was_compared_it_passes(reason: str) -> None:
    assert judged(ParityReport(0, 0.0, 0, 0.0, 0, not_compared=reason))[0] is Outcome.PASS


def test_probabilities_are_compared_as_they_are() -> None:
    answers = np.array([0.5, 0.001])
    allowed = Tolerance.of(1e-5, answers, has_unit=False)
    assert allowed.beyond(answers, answers + np.array([2e-5, 0.9e-5])).tolist() == [True, False]


@pytest.mark.parametrize("unit", [1e-9, 1e-6, 1.0, 1e6])
def test_what_has_a_unit_is_compared_with_its_own_spread(unit: float) -> None:
    """A graph that was wrong by a tenth of the spread was taken for equal in millionths."""
    answers = np.linspace(-1.0, 1.0, 101)
    spread = float(answers.std())
    allowed = Tolerance.of(1e-5, unit * answers, has_unit=True)
    for share, beyond in ((0.9e-5, False), (1.1e-5, True), (0.1, True)):
        moved = allowed.beyond(unit * answers, unit * (answers + share * spread))
        assert moved.all() == moved.any() == beyond
    report = compare_outputs((unit * answers, unit * answers * 0.0), (answers, answers), 1e-5,
                             has_unit=True)  # fmt: skip
    assert report.moved >= 100
    assert report.changed_labels == 0, "a number has no label"


def test_a_number_far_from_zero_may_be_rounded() -> None:
    answers = 2_000.0 + np.linspace(-0.1, 0.1, 11)
    allowed = Tolerance.of(1e-5, answers, has_unit=True)
    assert allowed.beyond(answers, answers + 3e-3).tolist() == [False] * 11
    assert allowed.beyond(answers, answers + 5e-3).tolist() == [True] * 11


def test_a_large_output_does_not_hide_a_small_one_beside_it() -> None:
    dice = np.random.default_rng(1)
    library = np.column_stack([1e6 * dice.normal(size=50), dice.normal(size=50)])
    served = library.copy()
    served[7, 1] += 0.001
    allowed = Tolerance.of(1e-5, library, has_unit=True)
    assert np.flatnonzero(allowed.beyond(library, served)).tolist() == [7]


def test_an_output_that_never_changes_may_be_rounded() -> None:
    library = np.column_stack([np.zeros(50), np.linspace(0.0, 1.0, 50)])
    allowed = Tolerance.of(1e-5, library, has_unit=True)
    assert not allowed.beyond(library, library + np.array([1e-15, 0.0])).any()
    assert allowed.beyond(library, library + np.array([1e-6, 0.0])).all()


def test_no_number_on_one_side_differs_and_json_can_say_so() -> None:
    one, other = np.array([0.5, np.nan, 0.5]), np.array([0.5, np.nan, np.nan])
    report = compare_outputs((one, other), (one[:1], other[:1]), 1e-5)
    assert report.moved == 1
    again = msgspec.json.decode(msgspec.json.encode(report), type=ParityReport)
    assert again == report

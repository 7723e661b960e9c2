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
    beyond,
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


def test_the_tolerance_grows_with_the_answer() -> None:
    answers = np.array([0.5, 1e6, 1e6])
    served = answers + np.array([2e-5, 5.0, 20.0])
    assert beyond(answers, served, 1e-5).tolist() == [True, False, True]


def test_a_large_output_does_not_hide_a_small_one_beside_it() -> None:
    library = np.array([[1e6, 0.30], [1e6, 0.30]])
    served = np.array([[1e6, 5.30], [1e6 + 1.0, 0.30]])
    assert beyond(library, served, 1e-5).tolist() == [True, False]


def test_no_number_on_one_side_differs_and_json_can_say_so() -> None:
    one, other = np.array([0.5, np.nan, 0.5]), np.array([0.5, np.nan, np.nan])
    report = compare_outputs((one, other), (one[:1], other[:1]), 1e-5)
    assert report.moved == 1
    again = msgspec.json.decode(msgspec.json.encode(report), type=ParityReport)
    assert again == report

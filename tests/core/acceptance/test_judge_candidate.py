"""May a candidate be registered? As a table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from windvane.core.acceptance import (
    AcceptancePolicy,
    CandidateFacts,
    ParityReport,
    judge_candidate,
)
from windvane.core.verdict import Outcome

PARITY = ParityReport(rows=500, max_difference=1e-7, probes=900, probe_max_difference=2e-7, moved=0)
GOOD = CandidateFacts(rows=1_000, duplicate_rows=0, holdout_auc=0.6, parity=PARITY)
POLICY = AcceptancePolicy(min_rows=1_000, auc_floor=0.6, parity_tolerance=1e-5)


@pytest.mark.parametrize(
    ("change", "outcome", "code"),
    [
        ({}, Outcome.PASS, "ACC-501"),  # at every limit
        ({"rows": 999}, Outcome.FAIL, "ACC-501"),
        ({"holdout_auc": 0.599}, Outcome.FAIL, "ACC-502"),
        ({"holdout_auc": float("nan")}, Outcome.FAIL, "ACC-502"),
        ({"parity": replace(PARITY, moved=1)}, Outcome.FAIL, "ACC-503"),
        ({"parity": replace(PARITY, max_difference=2e-5)}, Outcome.FAIL, "ACC-503"),
        ({"parity": replace(PARITY, max_difference=float("nan"))}, Outcome.FAIL, "ACC-503"),
        ({"rows": 1, "holdout_auc": 0.1}, Outcome.FAIL, "ACC-501"),
    ],
)
def test_table(change: dict[str, Any], outcome: Outcome, code: str) -> None:
    verdict = judge_candidate(replace(GOOD, **change), POLICY, 0.0)
    assert (verdict.outcome, verdict.code) == (outcome, code)


def test_it_says_both_sides() -> None:
    said = judge_candidate(replace(GOOD, rows=999), POLICY, 0.0).sentence
    assert said == "999 training rows, 1,000 needed"
    bad = replace(GOOD, parity=replace(PARITY, moved=3, probe_max_difference=0.24))
    assert judge_candidate(bad, POLICY, 0.0).sentence == (
        "ONNX differs by 1e-07 on 500 rows and by 0.24 on 900 probes around splits, 1e-05 allowed"
    )

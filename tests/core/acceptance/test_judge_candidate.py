"""May a candidate be registered? As a table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from windvane.core.acceptance import (
    AcceptancePolicy,
    CandidateFacts,
    ParityReport,
    compare_outputs,
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


def test_what_is_served_as_it_came_is_not_compared() -> None:
    assert judge_candidate(replace(GOOD, parity=None), POLICY, 0.0).outcome is Outcome.PASS
    bad = judge_candidate(replace(GOOD, parity=None, holdout_auc=0.1), POLICY, 0.0)
    assert bad.code == "ACC-502"


def test_outputs_are_compared_on_rows_and_on_probes() -> None:
    rows = np.array([0.1, 0.4999999, 0.9]), np.array([0.1, 0.5000001, 0.9])
    probes = np.array([0.2, 0.2]), np.array([0.2, 0.3])
    found = compare_outputs(rows, probes, 1e-5)
    assert (found.rows, found.probes, found.moved, found.changed_labels) == (3, 2, 1, 1)
    assert found.max_difference == pytest.approx(2e-7)
    assert found.probe_max_difference == pytest.approx(0.1)


def test_an_output_that_is_no_number_on_one_side_differs_without_bound() -> None:
    nothing = np.empty(0), np.empty(0)
    one_sided = np.array([np.nan, np.nan]), np.array([0.5, np.nan])
    found = compare_outputs(one_sided, nothing, 1e-5)
    assert found.moved == 1
    assert found.max_difference == np.inf
    facts = replace(GOOD, parity=found)
    assert judge_candidate(facts, POLICY, 0.0).code == "ACC-503"

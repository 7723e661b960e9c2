"""An update is due by severity, and its draft says what changed, with intervals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from windvane.core.alerting import Severity
from windvane.core.alerting.impact import TenantCounts, impact_evidence
from windvane.core.alerting.updates import (
    UpdateFacts,
    UpdatePolicy,
    compare_shares,
    draft_update,
    update_due,
)

FACTS = UpdateFacts("late", "5% failed", Severity.HIGH, 100.0, 1_000.0, 1)


def moment(at: float) -> str:
    return f"t{at:g}"


def impact(failed: int, rows: int) -> dict[str, object]:
    return impact_evidence(
        {"a": TenantCounts(rows, rows, failed=failed)}, {"a": TenantCounts(1_000, 1_000)},
        span=(0.0, 1.0), usual_span=(0.0, 1.0),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("severity", "after"),
    [(Severity.HIGH, 900.0), (Severity.MEDIUM, 1_800.0), (Severity.LOW, 3_600.0)],
)
def test_it_is_due_by_severity(severity: Severity, after: float) -> None:
    assert update_due(severity, 50.0, UpdatePolicy()) == 50.0 + after
    assert update_due(severity, None, UpdatePolicy()) is None


def test_the_first_has_nothing_to_compare_with() -> None:
    lines = draft_update(replace(FACTS, impact=impact(50, 1_000), done=("rolled back",)), moment)
    assert lines == [
        "update 1 on late (high), t1000",
        "what: 5% failed",
        "since: t100 (15 min ago)",
        "on it: nobody yet",
        "hurts: tenant a: failed in 50 of 1,000 rows (5.0%, usually 0.0%)",
        "counted: 1,000 rows in 1,000 requests since it began",
        "done: rolled back",
    ]


def test_a_later_one_says_what_changed_absolutely_and_relatively() -> None:
    later = replace(
        FACTS, number=2, on_it="ana", impact=impact(20, 1_000), before=impact(40, 1_000),
        last_at=500.0, outlook=("closes after 3 calm windows",),
    )  # fmt: skip
    lines = draft_update(later, moment)
    (changed,) = [line for line in lines if line.startswith("changed: ")]
    assert changed.startswith("changed: failed 4.0% -> 2.0% of rows: -2.0 points (-3.")
    assert ", 0.50 times (0." in changed
    assert lines[-1] == "next: closes after 3 calm windows"
    assert "counted: 1,000 rows in 1,000 requests since the last update" in lines


def test_what_did_not_change_says_so() -> None:
    same = replace(FACTS, impact=impact(0, 10), before=impact(0, 10), last_at=500.0)
    assert "changed: no share of rows changed since t500" in draft_update(same, moment)


def test_no_factor_is_told_of_none() -> None:
    assert "times" not in compare_shares((0, 100), (5, 100))
    assert compare_shares((0, 100), (5, 100)).startswith("5.0% -> 0.0% of rows: -5.0 points (")

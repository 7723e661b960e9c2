"""A postmortem says what is on record, and of the rest that it is not known."""

from __future__ import annotations

from dataclasses import replace

from windvane.core.alerting.impact import TenantCounts
from windvane.core.alerting.postmortem import (
    Impact,
    ItemLine,
    Postmortem,
    TenantImpact,
    write_markdown,
)

BARE = Postmortem(
    "late-slo-1", "late", "5% failed", "slo", "high", "ops #ops", "runbooks/slo.md", 100.0, 160.0,
    None, None, Impact(100.0, 400.0),
)  # fmt: skip


def moment(at: float) -> str:
    return f"t{at:g}"


def written(found: Postmortem) -> list[str]:
    return write_markdown(found, moment).splitlines()


def test_what_is_not_known_says_so() -> None:
    lines = written(BARE)
    for line in (
        "- What it was: not known",
        "- What the runbook lacks: not known",
        "- Detected: t160, after 1.0 min",
        "- Acknowledged: by nobody",
        "- Resolved: not yet",
        "Requests: not known, no window of that time is kept.",
        "Outcomes: not known, none were judged in that time.",
        "Nothing on record in the day before.",
        "None yet: `windvane action-items add`.",
    ):
        assert line in lines, line
    assert lines.count("Not known: nothing of it is on record.") == 2, "evidence and timeline"


def test_shares_have_their_exact_interval_and_a_sum() -> None:
    acme = TenantCounts(100, 80, failed=10, fell_back=5, unanswered=10, looked_at=90, nulls=9)
    usual = TenantCounts(1_000, 800, failed=2, unanswered=2)
    impact = Impact(
        100.0, 400.0, (TenantImpact("acme", acme, usual),
                       TenantImpact("bolt", TenantCounts(100, 100))),
        ("auc 0.61, floor 0.65",), "temp",
    )  # fmt: skip
    lines = written(replace(BARE, impact=impact, acknowledged_at=190.0, closed_at=7_360.0))
    # Clopper and Pearson for 10 of 100, as tables have it: 4.9% to 17.6%.
    (row,) = [line for line in lines if line.startswith("| acme |")]
    assert row.startswith(
        "| acme | 100 | 80 | 10 (10.0%; 4.9% to 17.6%; usually 0.2%) | "
        "5 (5.0%; 1.6% to 11.3%; usually 0.0%) | 0 (0.0%; "
    )
    assert row.endswith("| 9 (10.0%; 4.7% to 18.1%; usually not known) |")
    (bolt,) = [line for line in lines if line.startswith("| bolt |")]
    assert bolt.endswith("| not known |"), "nobody looked for the feature there"
    assert any(line.startswith("| all | 200 | 180 | 10 (5.0%; ") for line in lines)
    assert "- Acknowledged: t190, 30 s after the detection" in lines
    assert "- Resolved: t7360, 2.0 h after the detection" in lines
    assert "Outcomes: auc 0.61, floor 0.65" in lines


def test_many_tenants_are_summed_up() -> None:
    tenants = tuple(
        TenantImpact(f"t{n:02}", TenantCounts(11, 11, failed=1, unanswered=1)) for n in range(25)
    )
    lines = written(replace(BARE, impact=Impact(0.0, 1.0, tenants)))
    assert sum(line.startswith("| t") for line in lines) == 21, "twenty, and the head"
    assert any(line.startswith("| 5 more | 55 | 55 | 5 ") for line in lines)
    assert any(line.startswith("| all | 275 | 275 | 25 ") for line in lines)


def test_what_others_wrote_has_no_meaning_in_it() -> None:
    hostile = "a|b\n# head <script> [x](javascript:y) `c`"
    found = replace(
        BARE, title=hostile, timeline=((1.0, hostile),), evidence=(hostile,),
        items=(ItemLine("i1", hostile, "ana", 86_400.0, "1970-01-01", "a test", "open", True),),
    )  # fmt: skip
    lines = written(found)
    assert [line for line in lines if line.startswith("# ")] == [lines[0]]
    assert "<script>" not in "\n".join(lines).replace("\\<script\\>", "")
    (row,) = [line for line in lines if "`i1`" in line]
    assert row.replace("\\|", "").count("|") == 7, "a bar of a text is no column"
    assert "1970-01-01 (overdue)" in row, "its last day"

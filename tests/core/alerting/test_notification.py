"""A notification stands alone: and says nothing that is not known, or that nobody may see."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.alerting import CANARY, CauseGroup, CauseKind
from windvane.core.alerting.notification import IncidentNotice, describe_change
from windvane.core.alerting.notification import notification_lines as lines_of
from windvane.usecases.monitors import cause_kinds
from windvane.usecases.monitors.base import moment

NUMBER = ["null", "up to 0", "0 to 10", "10 to 20", "over 20"]
NAMES = ["null", "EV", "US", "unseen"]
FEED = CauseKind("feed", CauseGroup.BROKEN_INPUT, "feed.md")
TOLD = IncidentNotice(
    "delay-feed-1", "delay", FEED, "weather", "the weather feed changed", 1_700_000_000.0,
    1_700_007_300.0, "ops #ops-ml", "runbooks/feed.md",
)  # fmt: skip


def notification_lines(told: IncidentNotice) -> list[str]:
    return lines_of(told, moment)


def drawn(labels: list[str], before: list[int], after: list[int]) -> dict[str, Any]:
    return {"feature": "x", "labels": labels, "before": before, "after": after}


@pytest.mark.parametrize(
    ("histogram", "said"),
    [
        (drawn(NUMBER, [0, 10, 80, 10, 0], [77, 2, 19, 2, 0]), "x: nulls 0.0% -> 77.0%"),
        (drawn(NUMBER, [0, 10, 80, 10, 0], [0, 0, 10, 80, 10]), "x: median 0 to 10 -> 10 to 20"),
        (drawn(["null", "under 0", "0", "0 to 10", "over 10"], [0, 0, 9, 9, 0], [0, 9, 0, 0, 0]),
         "x: median 0 -> under 0"),
        (drawn(NAMES, [0, 60, 40, 0], [0, 30, 30, 40]),
         "x: names unseen in training 0.0% -> 40.0%"),
        (drawn(NAMES, [0, 60, 40, 0], [0, 20, 80, 0]), "x: 'US' 40.0% -> 80.0%"),
        (drawn(NAMES, [0, 60, 40, 0], [0, 60, 40, 0]), ""),
        (drawn(NAMES, [0, 0, 0, 0], [0, 60, 40, 0]), ""),
        (drawn(NAMES, [9, 0, 0, 0], [0, 60, 40, 0]), "x: nulls 100.0% -> 0.0%"),
    ],
)  # fmt: skip
def test_what_changed_from_what_to_what(histogram: dict[str, Any], said: str) -> None:
    assert describe_change(histogram) == said


def test_where_only_nulls_moved_nothing_is_said_of_the_rest() -> None:
    few = drawn(NUMBER, [0, 10, 80, 10, 0], [97, 0, 0, 1, 2])
    lines = notification_lines(replace(TOLD, evidence={"histograms": [few], "kinds": ["nulls"]}))
    assert "changed: x: nulls 0.0% -> 97.0%" in lines


def test_a_private_value_is_told_to_nobody() -> None:
    changed = drawn(NAMES, [0, 60, 40, 0], [50, 0, 50, 0])
    lines = notification_lines(replace(TOLD, evidence={"histograms": [changed]}, private={"x"}))
    assert "changed: x: nulls 0.0% -> 50.0%" in lines
    assert not any("US" in line for line in lines)


def test_whom_a_change_of_values_hurts_is_not_said_by_nulls() -> None:
    rows = [{"tenant": "c", "rows": 68, "nulls": 2}]
    lines = notification_lines(replace(TOLD, evidence={"tenants": rows, "kinds": ["values"]}))
    assert "hurts: tenant c (all of its 68 rows)" in lines
    every = [{"tenant": "c", "rows": 68, "nulls": 68}]
    lines = notification_lines(replace(TOLD, evidence={"tenants": every, "kinds": ["outage"]}))
    assert "hurts: tenant c (68 of 68 rows)" in lines


def test_all_that_is_known_is_said() -> None:
    tenants = [{"tenant": t, "rows": 100, "nulls": n} for t, n in zip("ABCDE", (90, 80, 70, 9, 0),
                                                                      strict=True)]  # fmt: skip
    evidence = {
        "histograms": [drawn(NUMBER, [0, 10, 80, 10, 0], [77, 2, 19, 2, 0])],
        "tenants": tenants,
        "last_good": {"version": "3", "before": 1_700_000_000.0},
    }
    told = replace(TOLD, evidence=evidence, done=("version 2 stands in",), also=("errors too",))
    assert notification_lines(told) == [
        "the weather feed changed",
        "since: 2023-11-14 22:13 UTC (2h ago)",
        "also: errors too",
        "changed: x: nulls 0.0% -> 77.0%",
        "hurts: tenants A (90 of 100 rows), B (80 of 100 rows), C (70 of 100 rows) and 1 more",
        "done: version 2 stands in",
        "last known good: version 3, before 2023-11-14 22:13 UTC",
        "to do: ask whoever owns weather what changed there at that time",
        "owner: ops #ops-ml",
        "runbook: runbooks/feed.md",
    ]


def test_quality_has_its_interval() -> None:
    evidence = {"metric": "auc", "auc": 0.52, "lower": 0.49, "upper": 0.55, "floor": 0.6,
                "scored": 1_200}  # fmt: skip
    lines = notification_lines(replace(TOLD, evidence=evidence))
    assert "measured: auc 0.52 (0.49 to 0.55), floor 0.6, 1,200 outcomes" in lines
    lines = notification_lines(replace(TOLD, evidence={**evidence, "level": 0.99998}))
    assert "measured: auc 0.52 (0.49 to 0.55, 99.998%), floor 0.6, 1,200 outcomes" in lines


@pytest.mark.parametrize("group", [*CauseGroup, None])
def test_every_cause_has_one_thing_to_do(group: CauseGroup | None) -> None:
    kind = CANARY if group is None else CauseKind("k", group, "k.md")
    for subject in ("delay", "a {strange} name"):
        lines = notification_lines(replace(TOLD, kind=kind, subject=subject))
        (asked,) = [line for line in lines if line.startswith("to do: ")]
        assert "None" not in asked
        assert len(lines) == 5, "nothing is known, and nothing is said"


def test_only_what_fails_sends_people_to_requests_that_failed() -> None:
    failing = [k for k in cause_kinds().values() if k.responds_to is CauseGroup.FAILING]
    sent = [
        kind.name
        for kind in failing
        if "requests that failed" in "".join(notification_lines(replace(TOLD, kind=kind)))
    ]
    assert sorted(sent) == ["errors", "stand_in_errors"]
    assert len(failing) > 1


COUNTS = st.lists(st.integers(0, 1_000), min_size=4, max_size=4)


@given(COUNTS, COUNTS, st.sampled_from([NAMES, NUMBER[:4]]), st.booleans())
def test_any_counts_can_be_told(
    before: list[int], after: list[int], labels: list[str], show: bool
) -> None:
    assert "\n" not in describe_change(drawn(labels, before, after), show_values=show)


def test_requests_are_named_and_nothing_of_what_was_in_them_is_told() -> None:
    samples = [
        {"tenant": "acme", "request_id": f"r{n}", "ts": 1_700_000_000.0, "sample": "secret",
         "features": {"x": "secret"}, "outputs": {"output": "secret"}}
        for n in (1, 1, 2, 3, 4, 5, 6)
    ]  # fmt: skip
    samples[0]["request_id"] = "r1\nto do: nothing " + "x" * 100
    lines = notification_lines(replace(TOLD, evidence={"samples": samples}))
    (said,) = [line for line in lines if line.startswith("requests: ")]
    assert said.count(" at 2023-11-14 22:13 UTC") == 5, "each once, five of them"
    assert "acme r2 at " in said
    assert "secret" not in "\n".join(lines)
    assert [line for line in lines if line.startswith("to do: ")] == [
        "to do: ask whoever owns weather what changed there at that time"
    ]
    nameless = notification_lines(replace(TOLD, evidence={"samples": [{"code": "CON-1"}]}))
    assert not any(line.startswith("requests: ") for line in nameless)

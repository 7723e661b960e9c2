"""Which findings are one cause, and which stay apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.alerting import (
    CANARY,
    Cause,
    CauseGroup,
    CauseKind,
    Finding,
    Join,
    OpenCause,
    correlate,
)

FEED = CauseKind("feed", CauseGroup.BROKEN_INPUT, "feed.md", joins={"feed": Join.SAME_ONSET})
ERRORS = CauseKind("errors", CauseGroup.FAILING, "errors.md", joins={"feed": Join.SAME_ONSET})
OUTCOMES = CauseKind("outcomes", CauseGroup.QUALITY, "o.md", joins={"feed": Join.WHILE_OPEN})
DRIFT = CauseKind(
    "training_drift",
    CauseGroup.DRIFT,
    "d.md",
    joins={"feed": Join.SAME_SOURCES, "tenant_feed": Join.FOUND_TOGETHER},
)
TENANT = CauseKind("tenant", CauseGroup.TENANT, "tenant.md")
TENANT_FEED = CauseKind("tenant_feed", CauseGroup.TENANT, "tenant.md")
TOGETHER = 120.0


def finding(
    kind: CauseKind,
    subject: str,
    since: float = 0.0,
    *,
    began: bool = True,
    sources: Sequence[str] = (),
    monitor: str = "",
) -> Finding:
    cause = Cause(kind, subject)
    return Finding(
        monitor or kind.name, cause, began, since, f"{cause.key} moved", (), tuple(sources)
    )


def feed(source: str, since: float = 0.0, *, began: bool = True) -> Finding:
    return finding(FEED, source, since, began=began, sources=[source])


def opened(*findings: Finding) -> OpenCause:
    (change,) = correlate(findings, [], TOGETHER)
    return OpenCause("i1", change.cause, change.since, change.members, change.sources)


# Together


@pytest.mark.parametrize(
    ("held", "fresh"),
    [
        (feed("weather"), feed("weather", 3_600.0)),  # found window after window
        (feed("weather"), feed("plan", 120.0)),  # one fault in two sources
        (feed("weather"), finding(ERRORS, "delay", 60.0)),
        (feed("weather"), finding(OUTCOMES, "delay", 9_000.0)),
        (feed("weather"), finding(DRIFT, "delay", 9_000.0, sources=["weather"])),
        (finding(TENANT, "AA"), finding(TENANT, "AA", 60.0, monitor="latency")),  # two monitors
        (finding(ERRORS, "delay"), feed("weather", 60.0)),
        (finding(OUTCOMES, "delay"), feed("weather", 60.0)),
    ],
)
def test_what_belongs_together_joins_the_open_incident(held: Finding, fresh: Finding) -> None:
    (change,) = correlate([fresh], [opened(held)], TOGETHER)
    assert change.incident == "i1"
    assert change.began == (fresh,)
    assert set(change.members) == {held.member, fresh.member}
    (at_once,) = correlate([fresh, held], [], TOGETHER)
    assert set(at_once.members) == {held.member, fresh.member}


@pytest.mark.parametrize(
    ("held", "fresh"),
    [
        (feed("weather"), feed("plan", 121.0)),  # another fault, later
        (feed("weather"), finding(ERRORS, "delay", 600.0)),
        (feed("weather"), finding(DRIFT, "delay", sources=["plan"])),
        (feed("weather"), finding(TENANT, "AA")),
        (feed("weather"), finding(CANARY, "version 3")),
        (finding(TENANT, "AA"), finding(TENANT, "UA")),
        (finding(CANARY, "version 2"), finding(CANARY, "version 3")),
        (finding(ERRORS, "delay"), finding(CANARY, "version 3")),
        (finding(OUTCOMES, "delay"), finding(DRIFT, "delay", sources=["weather"])),
    ],
)
def test_what_does_not_stays_apart(held: Finding, fresh: Finding) -> None:
    (change,) = correlate([fresh], [opened(held)], TOGETHER)
    assert change.incident == ""
    assert change.members == (fresh.member,)
    assert len(correlate([held, fresh], [], TOGETHER)) == 2


TRUTH = CauseKind("tenant_truth", CauseGroup.TENANT, "t.md", joins={"tenant": Join.SAME_ONSET})


def test_what_two_tenants_do_at_once_is_two_causes_and_what_one_does_is_one() -> None:
    apart = correlate([finding(TENANT, "acme"), finding(TRUTH, "zenith")], [], TOGETHER)
    assert [c.cause.subject for c in apart] == ["acme", "zenith"]
    (one,) = correlate([finding(TENANT, "acme"), finding(TRUTH, "acme")], [], TOGETHER)
    assert len(one.members) == 2


def test_what_explains_the_others_leads() -> None:
    """Errors were found first, and then the source that they come from."""
    errors = finding(ERRORS, "delay", 60.0)
    (change,) = correlate([feed("weather", 0.0)], [opened(errors)], TOGETHER)
    assert change.cause.key == "feed:weather"
    assert change.since == 0.0
    (change,) = correlate([errors, feed("weather")], [], TOGETHER)
    assert change.cause.key == "feed:weather"
    assert change.title == "feed:weather moved; and errors:delay moved"


def test_a_title_names_the_first_two() -> None:
    (change,) = correlate([feed("a"), feed("b"), feed("c"), feed("d")], [], TOGETHER)
    assert change.title == "feed:a moved; and feed:b moved, and 2 more"


def test_a_source_that_breaks_days_later_did_not_do_what_is_open() -> None:
    (change,) = correlate(
        [feed("weather", 9_000.0)], [opened(finding(OUTCOMES, "delay"))], TOGETHER
    )
    assert (change.incident, change.cause.key) == ("", "feed:weather")


def test_a_cause_that_ended_takes_nothing_in_any_more() -> None:
    """A source that breaks again a week later is another fault, whatever else goes on."""
    held = opened(feed("weather"), finding(OUTCOMES, "delay", 60.0))
    (left,) = correlate([feed("weather", began=False)], [held], TOGETHER)
    still = OpenCause("i1", left.cause, left.since, left.members, left.sources)
    (again,) = correlate([feed("weather", 600_000.0)], [still], TOGETHER)
    assert (again.incident, again.members) == ("", (feed("weather").member,))


@given(st.permutations([feed("a", 0.0), feed("b", 100.0), feed("c", 200.0)]))
def test_the_order_of_findings_changes_no_grouping(findings: list[Finding]) -> None:
    groups = {c.members for c in correlate(findings, [], TOGETHER)}
    assert groups == {c.members for c in correlate(sorted(findings, key=str), [], TOGETHER)}


# Ending


def test_a_cause_is_over_when_nothing_of_it_is_left() -> None:
    held = opened(feed("weather"), feed("plan"))
    (change,) = correlate([feed("plan", began=False)], [held], TOGETHER)
    assert (change.incident, change.over) == ("i1", False)
    assert change.members == (feed("weather").member,)
    both = [feed("plan", began=False), feed("weather", began=False)]
    (change,) = correlate(both, [held], TOGETHER)
    assert change.over
    assert change.ended == tuple(both)


def test_what_was_never_told_ends_without_an_incident() -> None:
    (change,) = correlate([feed("weather", began=False)], [], TOGETHER)
    assert (change.incident, change.over, change.began) == ("", True, ())


def test_what_begins_as_another_ends_is_a_new_cause() -> None:
    ended, began = feed("weather", began=False), feed("plan")
    changes = correlate([began, ended], [opened(feed("weather"))], TOGETHER)
    assert [(c.incident, c.over) for c in changes] == [("i1", True), ("", False)]


KINDS = st.sampled_from([FEED, ERRORS, OUTCOMES, DRIFT, TENANT])
FINDINGS = st.lists(
    st.builds(
        lambda kind, subject, since: finding(kind, subject, since, sources=[subject]),
        KINDS, st.sampled_from("abc"), st.floats(0.0, 600.0),
    ),
    unique_by=lambda f: f.member, max_size=8,
)  # fmt: skip


@given(FINDINGS, FINDINGS)
def test_every_finding_is_in_one_change_and_nothing_else_is(
    before: list[Finding], now: list[Finding]
) -> None:
    held = [
        OpenCause(f"i{i}", c.cause, c.since, c.members, c.sources)
        for i, c in enumerate(correlate(before, [], TOGETHER))
    ]
    changes = correlate(now, held, TOGETHER)
    told = [f for c in changes for f in (*c.began, *c.ended)]
    assert sorted(f.member for f in told) == sorted(f.member for f in now)
    assert len({c.incident for c in changes if c.incident}) == sum(
        bool(c.incident) for c in changes
    )
    for change in changes:
        kinds = {f.cause.kind.name for f in change.began} | {change.cause.kind.name}
        assert not (kinds & {"tenant"} and len(kinds) > 1)


# What shows in the inputs of all before it is told whose it is


def open_drift(found_at: float, sources: Sequence[str] = ("weather", "plan")) -> OpenCause:
    drift = finding(DRIFT, "delay", -3_600.0, sources=sources)
    return OpenCause("i1", drift.cause, drift.since, (drift.member,), tuple(sources), found_at)


@pytest.mark.parametrize("kind", [FEED, TENANT_FEED])
def test_a_fault_leads_what_was_found_of_its_source_since_it_began(kind: CauseKind) -> None:
    """Two incidents were told of one fault, four seconds apart."""
    began = finding(kind, "weather", 1_000.0, sources=["weather"])
    (change,) = correlate([began], [open_drift(1_000.0 - TOGETHER)], TOGETHER)
    assert (change.incident, change.cause.kind) == ("i1", kind)
    assert len(change.members) == 2


@pytest.mark.parametrize(
    "held",
    [
        open_drift(999.0 - TOGETHER),  # found before it began
        open_drift(1_000.0, ["plan"]),  # of another source
        OpenCause("i1", open_drift(0.0).cause, 0.0, open_drift(0.0).members, ("weather", "plan")),
    ],
)
@pytest.mark.parametrize("kind", [FEED, TENANT_FEED])
def test_a_fault_is_no_part_of_what_was_found_before_or_elsewhere(
    kind: CauseKind, held: OpenCause
) -> None:
    began = finding(kind, "weather", 1_000.0, sources=["weather"])
    (change,) = correlate([began], [held], TOGETHER)
    assert change.incident == ""


def test_drift_is_a_tenants_only_if_both_were_found_in_one_window() -> None:
    tenant = finding(TENANT_FEED, "UA", 1_000.0, sources=["weather"])
    drift = finding(DRIFT, "delay", -3_600.0, sources=["weather"])
    (change,) = correlate([drift, tenant], [], TOGETHER)
    assert change.cause == tenant.cause
    other = replace(drift, sources=("plan",))
    assert len(correlate([other, tenant], [], TOGETHER)) == 2
    held = OpenCause("i1", tenant.cause, 1_000.0, (tenant.member,), ("weather",), 1_060.0)
    (change,) = correlate([drift], [held], TOGETHER)
    assert change.incident == ""


def test_drift_of_more_sources_is_part_of_a_fault_only_if_both_are_found_together() -> None:
    drift = finding(DRIFT, "delay", -3_600.0, sources=["weather", "plan"])
    (change,) = correlate([drift, feed("weather", 1_000.0)], [], TOGETHER)
    assert change.sources == ("weather", "plan")
    (change,) = correlate([drift], [opened(feed("weather", 1_000.0))], TOGETHER)
    assert change.incident == ""

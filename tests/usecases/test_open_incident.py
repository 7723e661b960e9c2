"""One cause is one incident: opened and told once, extended while open, closed, and opened anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from usecases.harness import FILE, MODEL, START, Harness

from windvane.core.alerting import (
    Cause,
    CauseKind,
    Finding,
    Severity,
    Tier,
    choose_severity,
    correlate,
)
from windvane.core.journal import Effect
from windvane.ports.control_store import Incident, IncidentNote
from windvane.usecases.monitors import cause_kinds
from windvane.usecases.monitors.errors import ERRORS
from windvane.usecases.monitors.outcomes import OUTCOMES
from windvane.usecases.monitors.refusals import TENANT
from windvane.usecases.monitors.sudden_shift import FEED
from windvane.usecases.open_incident import (
    close_incident,
    join_incident,
    leave_incident,
    open_incident,
)
from windvane.usecases.publish_routing import NOTIFY
from windvane.usecases.read_model_file import ModelFile, read_model_file
from windvane.usecases.respond import open_causes

WEATHER = Cause(FEED, "weather")
MODEL_FILE = read_model_file(FILE)
KINDS = list(cause_kinds().values())


def tell(
    harness: Harness,
    cause: Cause = WEATHER,
    title: str = "nulls rose",
    since: float = START - 60.0,
    evidence: dict[str, Any] | None = None,
    done: list[str] | None = None,
) -> tuple[Effect, ...]:
    with harness.store.begin() as tx:
        return open_incident(
            tx, MODEL_FILE, cause, title=title, now=harness.clock.now(), since=since,
            evidence=evidence or {}, decision="d1", done=done or [],
        )  # fmt: skip


def close(harness: Harness, cause: Cause = WEATHER) -> bool:
    with harness.store.begin() as tx:
        told = close_incident(
            tx, MODEL, cause, now=harness.clock.now(), decision="d2", lines=["well again"]
        )
    return bool(told)


def suspects(*sizes: tuple[str, float]) -> dict[str, Any]:
    return {"suspects": [{"feature": name, "size": size} for name, size in sizes]}


def test_it_is_opened_with_all_that_a_person_needs(harness: Harness) -> None:
    evidence = suspects(("temp", 0.9))
    (effect,) = tell(harness, done=["version 2 stands in"], evidence=evidence)
    (found,) = harness.incidents()
    assert found == Incident(
        found.id, MODEL, "feed:weather", "feed", "medium", "nulls rose", START, START - 60.0, None,
        "ops #ops-ml", "runbooks/feed-broken.md", evidence, acted=True, told_by=(),
    )  # fmt: skip
    assert harness.timeline(found) == ["nulls rose", "version 2 stands in"]
    assert effect.kind == NOTIFY
    assert effect.body["title"] == "[medium] delay"
    assert effect.body["body"].splitlines() == [
        "nulls rose", "since: 2023-11-14 23:59 UTC (1m ago)", "done: version 2 stands in",
        "to do: ask whoever owns weather what changed there at that time",
        "owner: ops #ops-ml", "runbook: runbooks/feed-broken.md",
    ]  # fmt: skip


def test_another_alarm_of_the_cause_joins_and_tells_nobody(harness: Harness) -> None:
    tell(harness, evidence={**suspects(("temp", 0.4)), "kinds": ["nulls"], "first_window": 1.0})
    harness.clock.at += 60.0
    fresh = {**suspects(("wind", 0.5), ("temp", 0.3)), "kinds": ["values"], "first_window": 2.0}
    assert tell(harness, title="values moved", since=START - 600.0, evidence=fresh) == ()
    (found,) = harness.incidents()
    assert found.opened_at == START
    assert found.since == START - 600.0  # the earliest that is known by now
    assert found.evidence["suspects"] == suspects(("wind", 0.5), ("temp", 0.4))["suspects"]
    assert found.evidence["kinds"] == ["nulls", "values"]
    assert found.evidence["first_window"] == 1.0
    assert harness.timeline(found) == ["nulls rose", "values moved"]


def test_what_is_shown_of_an_onset_is_never_after_it(harness: Harness) -> None:
    """Of several findings the first that began says since when; another was on record first."""
    harness.put("1")
    for index in range(6):
        harness.traffic(index)
        assert harness.judge()
    late, early = START + 240.0, START + 120.0

    def found_at(since: float) -> dict[str, Any]:
        impact = {"from": since, "to": START + 360.0, "rows": 1}
        return {
            "earliest": since, "first_window": since, "impact": impact,
            "last_good": {"version": "1", "before": since},
        }  # fmt: skip

    tell(harness, since=late, evidence=found_at(late))
    (held,) = harness.incidents()
    assert held.evidence == found_at(late)
    tell(harness, since=early, evidence=found_at(early))
    (held,) = harness.incidents()
    assert held.since == early
    assert held.evidence["earliest"] == held.evidence["first_window"] == early
    assert held.evidence["last_good"] == {"version": "1", "before": early}
    impact = held.evidence["impact"]
    assert (impact["from"], impact["to"], impact["rows"]) == (early, START + 360.0, 4 * 60)


def test_what_was_said_last_is_not_said_again(harness: Harness) -> None:
    for title in ("nulls rose", "nulls rose", "values moved", "nulls rose"):
        tell(harness, title=title, done=["version 2 stands in"])
    (held,) = harness.incidents()
    assert harness.timeline(held) == [
        "nulls rose", "version 2 stands in", "values moved", "nulls rose", "version 2 stands in",
    ]  # fmt: skip
    with harness.store.begin() as tx:
        tx.add_note(held.id, IncidentNote(harness.clock.now(), "version 1 answers again", "d9"))
    tell(harness, title="nulls rose", done=["version 2 stands in"])
    assert harness.timeline(held)[-2:] == ["nulls rose", "version 2 stands in"]


def test_a_later_estimate_does_not_shorten_it(harness: Harness) -> None:
    tell(harness, since=START - 600.0)
    tell(harness, since=START)
    assert harness.incidents()[0].since == START - 600.0


def test_other_causes_are_other_incidents(harness: Harness) -> None:
    for cause in (WEATHER, Cause(FEED, "plan"), Cause(TENANT, "weather")):
        assert len(tell(harness, cause)) == 1
    assert len(harness.incidents()) == 3


def test_closing_ends_it_and_the_next_alarm_is_news(harness: Harness) -> None:
    tell(harness)
    harness.clock.at += 60.0
    assert close(harness)
    (found,) = harness.incidents()
    assert found.closed_at == START + 60.0
    assert harness.timeline(found)[-1] == "well again"
    harness.clock.at += 60.0
    assert len(tell(harness)) == 1
    assert [i.closed_at for i in harness.incidents()] == [None, START + 60.0]


def test_closing_what_is_not_open_does_nothing(harness: Harness) -> None:
    assert not close(harness)
    tell(harness)
    assert close(harness)
    assert not close(harness)
    assert harness.timeline(harness.incidents()[0]) == ["nulls rose", "well again"]


@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(st.sampled_from(["alarm", "close"]), st.sampled_from(KINDS)),
        max_size=20,
    )
)
def test_a_cause_is_told_once_between_two_closings(
    harness_of: Any, steps: list[tuple[str, CauseKind]]
) -> None:
    with harness_of() as harness:
        opened: set[str] = set()
        for what, kind in steps:
            harness.clock.at += 60.0
            cause = Cause(kind, "x")
            if what == "alarm":
                assert len(tell(harness, cause)) == (kind.name not in opened)
                opened.add(kind.name)
            else:
                assert close(harness, cause) == (kind.name in opened)
                opened.discard(kind.name)
        alive = [i for i in harness.incidents() if i.closed_at is None]
        assert sorted(i.kind for i in alive) == sorted(opened)
        tier = Tier(MODEL_FILE.tier)
        kinds = cause_kinds()
        assert all(i.severity == choose_severity(kinds[i.kind], tier) for i in alive)


def test_an_incident_is_never_overwritten(harness: Harness) -> None:
    tell(harness)
    close(harness)
    tell(harness)
    assert len(harness.incidents()) == 2


def test_tenants_with_similar_names_have_their_own(harness: Harness) -> None:
    tell(harness, Cause(TENANT, "a/b"))
    tell(harness, Cause(TENANT, "a-b"))
    assert len(harness.incidents()) == 2


def finding(kind: CauseKind, subject: str, since: float, *, began: bool = True) -> Finding:
    cause = Cause(kind, subject)
    sources = (subject,) if kind is FEED else ()
    return Finding(kind.name, cause, began, since, f"{cause.key} moved", (), sources)


def play(harness: Harness, *findings: Finding, file: ModelFile = MODEL_FILE) -> list[Effect]:
    """A window with these findings, through the real correlation; the effects that tell people."""
    told: list[Effect] = []
    with harness.store.begin() as tx:
        held = open_causes(tx.open_incidents(MODEL))
        for change in correlate(findings, held, 120.0):
            now = harness.clock.now()
            if change.began:
                told += join_incident(tx, file, change, evidence=[], now=now, decision="d", done=[])
            if change.ended:
                leave_incident(
                    tx, file, change, cause_kinds(), now=now, decision="e", lines=["ended"]
                )
    return told


def opened(harness: Harness) -> list[tuple[str, str, str]]:
    with harness.store.read() as tx:
        return [(i.cause, i.severity, i.title) for i in tx.open_incidents(MODEL)]


def test_people_hear_of_what_turns_out_to_be_graver(harness: Harness) -> None:
    low, high = finding(FEED, "weather", START), finding(ERRORS, MODEL, START + 60.0)
    (first,) = play(harness, low)
    assert first.body["title"] == f"[medium] {MODEL}"
    (second,) = play(harness, high)
    assert second.body["title"] == f"[high] {MODEL}"
    assert second.body["incident"] == first.body["incident"], "it is one cause"
    assert play(harness, finding(OUTCOMES, MODEL, START + 90.0)) == [], "as grave as they know"


def test_people_hear_of_harm_that_a_monitor_measured_later(harness: Harness) -> None:
    """A shift of half a standard deviation, and at last no value at all."""
    critical = read_model_file(f"{FILE}\ntier: critical\n")
    small = replace(finding(FEED, "weather", START), severity=Severity.MEDIUM)
    total = replace(finding(FEED, "weather", START + 60.0), severity=Severity.HIGH)
    told = [play(harness, one, file=critical)[0].body["title"] for one in (small, total)]
    assert told == [f"[medium] {MODEL}", f"[high] {MODEL}"]
    assert play(harness, small, file=critical) == [], "less grave than they know"
    assert [severity for _, severity, _ in opened(harness)] == ["high"]


def test_a_source_that_breaks_while_outcomes_are_low_is_told_each_time(harness: Harness) -> None:
    """A floor is missed for weeks; whatever else breaks meanwhile is another fault."""
    day = 86_400.0
    assert len(play(harness, finding(OUTCOMES, MODEL, START))) == 1
    for n in (3, 9, 12):
        assert len(play(harness, finding(FEED, "weather", START + n * day))) == 1, n
        assert len(opened(harness)) == 2
        play(harness, finding(FEED, "weather", START + n * day, began=False))
        assert opened(harness) == [
            (f"outcomes:{MODEL}", "high", f"outcomes:{MODEL} moved"),
        ]


def test_what_is_left_leads_when_what_explained_it_is_over(harness: Harness) -> None:
    play(harness, finding(FEED, "weather", START), finding(OUTCOMES, MODEL, START + 60.0))
    play(harness, finding(FEED, "weather", START, began=False))
    ((cause, severity, title),) = opened(harness)
    assert (cause, severity) == (f"outcomes:{MODEL}", "high")
    assert title.endswith("(over); outcomes goes on")
    assert len(play(harness, finding(FEED, "weather", START + 86_400.0))) == 1

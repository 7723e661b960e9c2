"""Nobody's traffic is moved to a version that is known to give no answer, and what such a version
fails on is not the champion's."""

from __future__ import annotations

import pytest
from usecases.harness import MODEL, Harness
from usecases.timeline import FAILING, NULLS, QUIET, only, play

from windvane.core.alerting.notification import IncidentNotice, notification_lines
from windvane.ports.control_store import Incident
from windvane.usecases.monitors import cause_kinds
from windvane.usecases.monitors.base import moment

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")

SILENT = [{"silent": 32}] * 5


def page(harness: Harness, incident: Incident) -> str:
    kind = cause_kinds()[incident.kind]
    told = IncidentNotice(
        incident.id, MODEL, kind, MODEL, incident.title, incident.since, incident.opened_at, "",
        "", tuple(harness.timeline(incident)), incident.evidence,
    )  # fmt: skip
    return "\n".join(notification_lines(told, moment))


def open_causes(harness: Harness) -> list[str]:
    return sorted(i.cause for i in harness.incidents() if i.closed_at is None)


def stood_in(harness: Harness, first: int, failed: list[int], nulls: float = 0.9) -> None:
    """Windows in which version 2 answers in the champion's place."""
    for i, bad in enumerate(failed, start=first):
        harness.traffic(i, arm="fallback", version="2", nulls=nulls, failed=bad, fell_back=bad)
        assert harness.judge()


def test_a_version_that_had_no_answer_when_compared_does_not_stand_in(harness: Harness) -> None:
    """It stood in, and everybody got the constant."""
    play(harness, SILENT)
    assert open_causes(harness) == ["stand_in_silent:1"]
    play(harness, [NULLS] * 4, first=len(SILENT))
    feed = only(harness, "feed:weather")
    assert harness.live.standing_in is None
    said = harness.timeline(feed)
    assert "version 1 goes on answering, without weather" in said
    assert "version 2 is not asked: it had no answer when it was compared" in said
    assert "AUC" not in page(harness, feed)


def test_one_that_gateways_cannot_load_does_not_stand_in(harness: Harness) -> None:
    harness.add_version("3", ["plan"])
    harness.broken = frozenset({(MODEL, "3"), ("another", "2")})
    play(harness, [QUIET] * 3 + [NULLS] * 4)
    assert harness.live.standing_in == "2"
    said = harness.timeline(only(harness, "feed:weather"))
    assert "version 3 is not asked: it cannot be loaded" in said


def test_one_that_came_to_be_unfit_stands_in_no_longer_than_to_the_next_choice(
    harness: Harness,
) -> None:
    harness.put("1", standing_in="2", broken_views=("weather",))
    harness.broken = frozenset({(MODEL, "2")})
    play(harness, [NULLS] * 4)
    assert harness.live.standing_in is None
    said = harness.timeline(only(harness, "feed:weather"))
    assert "version 1 answers again, without weather" in said


@pytest.mark.parametrize("why", ["silent", "broken"])
def test_errors_do_not_roll_back_to_a_version_that_gives_no_answer(
    harness: Harness, why: str
) -> None:
    harness.put("1", previous="2")
    if why == "broken":
        harness.broken = frozenset({(MODEL, "2")})
    play(harness, SILENT if why == "silent" else [QUIET] * 5)
    play(harness, [FAILING] * 3, first=5)
    assert (harness.live.champion, harness.live.previous) == ("1", "2")
    incident = only(harness, f"errors:{MODEL}")
    word = "had no answer when it was compared" if why == "silent" else "cannot be loaded"
    assert f"not rolled back: version 2 {word}" in harness.timeline(incident)
    told = page(harness, incident)
    assert "last known good" not in told
    assert "AUC" not in told


def test_what_a_stand_in_fails_on_is_not_the_champions(harness: Harness) -> None:
    """The champion was rolled back for it, onto the version that failed."""
    harness.put("1", previous="2")
    play(harness, [QUIET] * 3 + [NULLS] * 3)
    assert harness.live.standing_in == "2"
    stood_in(harness, 6, [60] * 4)
    assert (harness.live.champion, harness.live.rolled_back) == ("1", ())
    assert f"errors:{MODEL}" not in [i.cause for i in harness.incidents()]
    feed = only(harness, "feed:weather")
    assert open_causes(harness) == [feed.cause]
    assert "errors/stand_in_errors:2" in feed.members
    assert feed.severity == "high"
    said = harness.timeline(feed)
    assert any("errors of version 2 in place of version 1: failed 100" in line for line in said)


def test_they_are_over_once_it_answers_well_or_no_more(harness: Harness) -> None:
    harness.put("1", standing_in="2", broken_views=("weather",))
    stood_in(harness, 0, [60] * 4, nulls=0.0)
    assert "stand_in_errors:2" in open_causes(harness)
    harness.put("1")
    play(harness, [QUIET] * 3, first=4)
    assert only(harness, "stand_in_errors:2").closed_at is not None
    assert not [subject for subject in harness.carried("errors") if "version" in subject]


def test_one_that_fails_as_it_stands_in_is_not_rolled_back_to(harness: Harness) -> None:
    harness.put("1", previous="2", stand_ins={"UA": "2"}, tenant_broken={"UA": ("weather",)})
    for i in range(8):
        if i > 3:
            harness.traffic(i, arm="fallback", version="2", failed=60, checkpoint=False)
        harness.traffic(i, failed=60 if i > 4 else 0)
        assert harness.judge()
    assert harness.live.champion == "1"
    assert {f"errors:{MODEL}", "stand_in_errors:2"} <= set(open_causes(harness))
    said = harness.timeline(only(harness, f"errors:{MODEL}"))
    assert "not rolled back: version 2 fails as it stands in" in said


def test_what_a_version_failed_on_that_was_champion_before_rolls_nobody_back(
    harness: Harness,
) -> None:
    """Windows that were judged late: the new champion was rolled back to the one that failed."""
    harness.put("2", previous="1")
    play(harness, [QUIET] * 3 + [FAILING] * 3)
    assert harness.live.champion == "2"
    said = harness.timeline(only(harness, f"errors:{MODEL}"))
    assert "not rolled back: what failed was version 1, not version 2" in said


def test_one_that_failed_lately_is_not_asked_again_at_once(harness: Harness) -> None:
    """Once it is taken off nothing of it is seen any more, and its incident is over."""
    harness.put("1", previous="2", standing_in="2", broken_views=("weather",))
    stood_in(harness, 0, [60] * 4, nulls=0.0)
    harness.put("1", previous="2")
    play(harness, [QUIET] * 3, first=4)
    assert "stand_in_errors:2" not in open_causes(harness)
    play(harness, [FAILING] * 3, first=7)
    assert harness.live.champion == "1"
    assert "not rolled back: version 2 failed lately as it stood in" in [
        line for incident in harness.incidents() for line in harness.timeline(incident)
    ]


def test_two_that_fail_do_not_take_turns(harness: Harness) -> None:
    """Their errors were part of the source's incident, which is closed by then."""
    harness.add_version("3", ["plan"])
    harness.put("1", previous="2")
    chosen: list[str | None] = []
    for i in range(60):
        shape = {"nulls": 0.9 if i >= 5 else 0.0, "spoiled_plan": 20 <= i % 25 < 24}
        now = harness.live.standing_in
        bad = 60 if now else 0
        arm = "fallback" if now else "champion"
        harness.traffic(i, arm=arm, version=now or "1", failed=bad, fell_back=bad, **shape)
        assert harness.judge()
        if not chosen or chosen[-1] != harness.live.standing_in:
            chosen.append(harness.live.standing_in)
    assert chosen[0] is None
    assert len(chosen) == len(set(chosen)) + 1, chosen
    assert chosen[-1] is None
    assert set(harness.live.failed) == {"2", "3"}

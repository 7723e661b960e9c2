"""The share of a version's rows that something else answered."""

from __future__ import annotations

import pytest
from usecases.harness import FILE, Harness
from usecases.timeline import QUIET, only, outcomes, play

from windvane.usecases.actions import About
from windvane.usecases.replay_decision import replay_decision

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


def causes(harness: Harness) -> list[str]:
    return sorted(i.cause for i in harness.incidents() if i.closed_at is None)


@pytest.fixture
def limited(harness: Harness) -> Harness:
    harness.clock.at += 1
    harness.apply(FILE.replace("  errors: 2%\n", "  errors: 2%\n  fallbacks: 5%\n"))
    return harness


def test_more_fallbacks_than_the_file_allows_are_told_of_the_version(limited: Harness) -> None:
    play(limited, [QUIET] * 5)
    assert causes(limited) == []
    play(limited, [{"fell_back": 25}] * 12, first=5)
    incident = only(limited, "fallbacks:1")
    assert causes(limited) == ["fallbacks:1"]
    assert incident.severity == "medium"
    assert "fallbacks of version 1: not its own 41.7%, 5.0% allowed" in incident.title
    assert incident.evidence["fallback_share"] == pytest.approx(25 / 60, abs=1e-4)
    decided = [d for d in limited.decisions() if "fallbacks" in d.id]
    assert decided
    assert all(replay_decision(d).same for d in decided)


def test_most_answers_by_a_fallback_are_grave(limited: Harness) -> None:
    play(limited, [{"fell_back": 55}] * 10)
    assert only(limited, "fallbacks:1").severity == "high"


def test_by_default_what_is_usual_of_the_version_is_allowed(harness: Harness) -> None:
    play(harness, [{"fell_back": 18}] * 70)
    assert harness.incidents() == []
    assert set(outcomes(harness, "fallbacks")) == {"P"}
    play(harness, [{"fell_back": 45}] * 12, first=70)
    assert causes(harness) == ["fallbacks:1"]


@pytest.mark.parametrize(("action", "found"), [("close", ["fallbacks:1"]), ("accept", [])])
def test_only_what_was_accepted_becomes_usual(
    harness: Harness, action: str, found: list[str]
) -> None:
    play(harness, [{"fell_back": 6}] * 70)
    play(harness, [{"fell_back": 45}] * 12, first=70)
    incident = only(harness, "fallbacks:1")
    harness.act(action, About.INCIDENT, incident=incident.id, reason="seen")
    assert causes(harness) == []
    play(harness, [{"fell_back": 45}] * 12, first=82)
    assert causes(harness) == found


def test_it_ends_when_the_version_answers_again(limited: Harness) -> None:
    play(limited, [{"fell_back": 40}] * 8 + [QUIET] * 30)
    assert causes(limited) == []
    assert only(limited, "fallbacks:1").closed_at is not None


def test_it_ends_with_the_version(limited: Harness) -> None:
    play(limited, [{"fell_back": 40}] * 8)
    limited.put("2", previous="1")
    play(limited, [{"version": "2"}], first=8)
    assert causes(limited) == []
    assert list(limited.carried("fallbacks")) == ["version/2/champion"]

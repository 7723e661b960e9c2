"""What is observed has one word everywhere, and not knowing never reads healthy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.health import (
    Health,
    HealthFacts,
    Tone,
    Traffic,
    Trouble,
    Watching,
    judge_health,
)

WATCHED = Watching(recorded_ago=1.0, judged_ago=60.0, late_after=180.0, steward=True)
BUSY = Traffic(answered=900, unanswered=0, fell_back=0, before=True, windows=3)
WELL = HealthFacts(True, WATCHED, BUSY, passed="largest evidence 2 < 1e5")


@pytest.mark.parametrize(
    ("change", "word", "tone", "code"),
    [
        ({}, "healthy", Tone.GOOD, "HLT-100"),
        ({"live": False}, "not live", Tone.QUIET, "HLT-101"),
        ({"traffic": Traffic(0, 1_427, 0, True, 3)}, "down", Tone.BAD, "HLT-501"),
        ({"unservable": "nobody trusts its files"}, "cannot answer", Tone.BAD, "HLT-502"),
        ({"watching": replace(WATCHED, recorded_ago=None)}, "not watched", Tone.BAD, "HLT-401"),
        (
            {"watching": replace(WATCHED, recorded_ago=None, begun=True)},
            "not watched",
            Tone.BAD,
            "HLT-402",
        ),
        (
            {"watching": replace(WATCHED, recorded_ago=None, begun=True, silent_for=61.0)},
            "not watched",
            Tone.BAD,
            "HLT-402",
        ),
        ({"watching": replace(WATCHED, recorded_ago=181.0)}, "not watched", Tone.BAD, "HLT-402"),
        ({"watching": replace(WATCHED, steward=False)}, "not watched", Tone.BAD, "HLT-403"),
        ({"watching": replace(WATCHED, judged_ago=181.0)}, "not watched", Tone.WARN, "HLT-404"),
        ({"troubles": [Trouble("a", False), Trouble("b", True)]}, "failing", Tone.BAD, "HLT-301"),
        ({"standing_in": "version 1 stands in"}, "standing in", Tone.WARN, "HLT-302"),
        (
            {"traffic": Traffic(900, 212, 0, True, 3, 0, 428, 212)},
            "answers missing",
            Tone.BAD,
            "HLT-504",
        ),
        ({"watching": replace(WATCHED, silent_for=61.0)}, "not watched", Tone.BAD, "HLT-402"),
        (
            {"watching": replace(WATCHED, missing="m2-w0 is gone")},
            "partly watched",
            Tone.WARN,
            "HLT-406",
        ),
        ({"traffic": Traffic(900, 0, 451, False, 3)}, "falling back", Tone.WARN, "HLT-303"),
        ({"troubles": [Trouble("a", False)]}, "needs a look", Tone.WARN, "HLT-201"),
        ({"not_measured": "it failed"}, "not measured", Tone.WARN, "HLT-202"),
        ({"traffic": Traffic(0, 0, 0, True, 3)}, "no traffic", Tone.WARN, "HLT-203"),
        ({"traffic": Traffic(0, 0, 0, False, 3)}, "no traffic yet", Tone.QUIET, "HLT-102"),
        ({"traffic": Traffic(0, 0, 0, True, 3, 40)}, "all refused", Tone.WARN, "HLT-205"),
        ({"off": True, "traffic": Traffic(0, 900, 0, True, 3)}, "turned off", Tone.WARN, "HLT-503"),
        ({"not_scored": "no outcome came"}, "not scored", Tone.WARN, "HLT-206"),
        (
            {"not_scored": "no outcome came", "drifting": "d", "rolling_out": "r", "hold": "h"},
            "not scored",
            Tone.WARN,
            "HLT-206",
        ),
        (
            {"not_scored": "no outcome came", "traffic": Traffic(0, 0, 0, True, 3)},
            "no traffic",
            Tone.WARN,
            "HLT-203",
        ),
        (
            {"not_scored": "no outcome came", "traffic": Traffic(0, 0, 0, False, 3)},
            "no traffic yet",
            Tone.QUIET,
            "HLT-102",
        ),
        (
            {"not_scored": "no outcome came", "troubles": [Trouble("a", False)]},
            "needs a look",
            Tone.WARN,
            "HLT-201",
        ),
        ({"drifting": "the inputs differ"}, "drifting", Tone.BUSY, "HLT-204"),
        ({"rolling_out": "version 2 at 5%"}, "rolling out", Tone.BUSY, "HLT-103"),
        ({"hold": "12 rows, 20 needed"}, "too few rows", Tone.QUIET, "HLT-104"),
        ({"learning": "no reference yet"}, "learning", Tone.QUIET, "HLT-105"),
        ({"passed": ""}, "learning", Tone.QUIET, "HLT-105"),
    ],
)
def test_each_thing_has_its_word(change: dict[str, Any], word: str, tone: Tone, code: str) -> None:
    found = judge_health(replace(WELL, **change))
    assert (found.word, found.tone, found.code) == (word, tone, code)
    assert found.why


def test_an_outage_says_how_many_and_why() -> None:
    facts = replace(
        WELL, traffic=Traffic(0, 1_427, 0, True, 3), unservable="nobody trusts its files"
    )
    assert judge_health(facts).why == (
        "none of 1,427 rows was answered in the last 3 windows: nobody trusts its files"
    )


def test_who_is_not_watched_is_told_for_how_long() -> None:
    facts = replace(WELL, watching=replace(WATCHED, recorded_ago=7_200.0))
    assert judge_health(facts).why == "nothing was recorded for 2 h: is the recorder running?"


def test_what_is_urgent_is_never_behind_something_milder() -> None:
    """The steward is a little late, and a source is broken."""
    late = replace(WATCHED, judged_ago=400.0)
    facts = replace(WELL, watching=late, troubles=[Trouble("broken", True)])
    assert judge_health(facts).code == "HLT-301"


SPANS = st.none() | st.floats(0.0, 1e6)
COUNTS = st.integers(0, 10**6)
TEXTS = st.sampled_from(["", "said"])
FACTS = st.builds(
    HealthFacts, st.booleans(), st.builds(
        Watching, SPANS, SPANS, st.just(180.0), st.booleans(), st.floats(0.0, 1e6), TEXTS
    ),
    st.builds(Traffic, COUNTS, COUNTS, COUNTS, st.booleans(), st.just(3), COUNTS, COUNTS, COUNTS),
    st.booleans(),
    st.lists(st.builds(Trouble, st.just("w"), st.booleans()), max_size=2),
    TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS,
)  # fmt: skip


@given(FACTS)
def test_healthy_is_said_only_of_what_is_live_watched_answering_and_judged(
    facts: HealthFacts,
) -> None:
    found: Health = judge_health(facts)
    if found.word == "healthy":
        assert facts.live
        assert not facts.off
        assert facts.passed
        assert not facts.not_scored
        assert facts.traffic.answered
        assert facts.watching.steward
        assert facts.watching.recorded_ago is not None
        assert facts.watching.recorded_ago <= facts.watching.late_after
        assert facts.watching.silent_for <= 60.0
        assert not facts.watching.missing
        assert facts.traffic.newest_unanswered < max(
            20, 0.1 * (facts.traffic.newest_unanswered + facts.traffic.newest_answered)
        )
        assert not facts.troubles
        wrong = (facts.unservable, facts.not_measured, facts.hold, facts.standing_in)
        assert not any(wrong)
    if facts.live and not facts.off and facts.traffic.unanswered and not facts.traffic.answered:
        assert found.word == "down"


def test_a_champion_that_cannot_answer_falls_back_where_others_answer_for_it() -> None:
    cannot = replace(WELL, unservable="nobody trusts its files")
    for traffic, code in (
        (Traffic(100, 0, 0, True, 3), "HLT-502"),  # of before it broke
        (Traffic(0, 0, 0, True, 3), "HLT-502"),
        (Traffic(100, 0, 80, True, 3), "HLT-303"),
        (Traffic(100, 5, 80, True, 3, newest_answered=20, newest_unanswered=5), "HLT-502"),
    ):
        assert judge_health(replace(cannot, traffic=traffic)).code == code, traffic
    found = judge_health(replace(cannot, traffic=Traffic(100, 0, 100, True, 3)))
    assert found.why == ("100 of 100 rows were answered by a fallback: nobody trusts its files")

"""What a champion's stand-in would have answered, from recorded comparisons to an incident."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from usecases.harness import FILE, MODEL, START, WINDOW_S, Harness
from usecases.timeline import only, outcomes, verdicts

from windvane.apps.console.answers import answer_rows
from windvane.apps.console.evidence import evidence_of
from windvane.apps.console.reading import Memory, load_model_page
from windvane.apps.console.sheets import OF_MODEL
from windvane.core.verdict import RateFacts, RateState, judge_rate
from windvane.ports.control_store import Deployment
from windvane.ports.events import Compared
from windvane.usecases.actions import About
from windvane.usecases.count_events import count_events
from windvane.usecases.event_contracts import EventContracts
from windvane.usecases.monitors import watch_policy
from windvane.usecases.monitors.disagreement import (
    DIFFERENCE,
    SILENT,
    Disagreement,
    stand_in_policy,
    stands_in_for,
)
from windvane.usecases.publish_routing import NOTIFY
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.replay_decision import replay_decision

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")

CONTRACT = read_model_file(FILE).contract
CAUSE = "disagreement:1"
BROKEN = "stand_in_silent:1"
A_WINDOW = 64
LEARNED = 8
"""Windows after which it is known what is usual: more than 400 rows."""
MONITOR = Disagreement.name


def compared(index: int, stand_in: str, rows: int, version: str = "1") -> list[Compared]:
    """Rows of window ``index``: the champion's probabilities, and a stand-in that is ``alike``
    them up to some noise, the ``same``, a ``constant``, ``reversed``, or ``silent``."""
    rng = np.random.default_rng(7_000 + index)
    mine = rng.beta(2.0, 6.0, rows)
    theirs = {
        "same": mine,
        "alike": np.clip(mine + rng.normal(0.0, 0.03, rows), 0.0, 1.0),
        "constant": np.full(rows, 0.2),
        "reversed": 1.0 - mine,
        "silent": np.zeros(0),
    }[stand_in]
    return [
        Compared(
            f"{index}-{i}", START + WINDOW_S * index + 1.0, MODEL, "AA", CONTRACT.id, version,
            "champion", "2", 0.02, [float(p)], [float(theirs[i])] if len(theirs) else [],
        )
        for i, p in enumerate(mine)
    ]  # fmt: skip


def play(
    harness: Harness, stand_ins: list[str], first: int = 0, rows: int = A_WINDOW, **more: Any
) -> None:
    """Windows with comparisons, counted as the recorder counts them, each judged at once."""
    known = EventContracts()
    for index, stand_in in enumerate(stand_ins, start=first):
        events = compared(index, stand_in, rows, **more)
        with harness.store.begin() as tx:
            tx.put_contract(MODEL, CONTRACT)
            known.load(tx, events)
            tx.add_sketches(count_events(known, "r1", events).windows)
        harness.traffic(index, **more)
        assert harness.judge()


def causes(harness: Harness) -> list[str]:
    return sorted(i.cause for i in harness.incidents() if i.closed_at is None)


@pytest.mark.parametrize("stand_in", ["same", "alike", "constant"])
def test_a_stand_in_that_stays_as_it_is_is_never_told(harness: Harness, stand_in: str) -> None:
    play(harness, [stand_in] * 25)
    assert harness.incidents() == []
    unknown = LEARNED - 1
    assert outcomes(harness, MONITOR) == "H" * 3 * unknown + "P" * 3 * (25 - unknown)


def test_until_it_is_known_what_is_usual_nothing_passes(harness: Harness) -> None:
    play(harness, ["alike"], rows=4)
    found = verdicts(harness, MONITOR)
    assert {(v.outcome, v.code) for v in found} == {("hold", "STI-202")}
    assert all(v.sentence.endswith("; 0 of 400 rows compared before") for v in found)


def test_few_rows_without_an_answer_are_no_pass_and_say_how_many_would_tell(
    harness: Harness,
) -> None:
    play(harness, ["alike"] * LEARNED)
    play(harness, ["silent"], first=LEARNED, rows=1)
    assert harness.incidents() == []
    found = next(v for v in verdicts(harness, MONITOR) if v.start == START + WINDOW_S * LEARNED)
    assert (found.outcome, found.code) == ("hold", "STI-202")
    said = re.search(
        r"no answer 100.0%, .* n=1; (\d+) more compared rows like these would tell$",
        found.sentence,
    )
    assert said
    play(harness, ["silent"], first=LEARNED + 1, rows=int(said[1]))
    assert causes(harness) == [BROKEN]


def test_the_mean_difference_is_the_measured_one(harness: Harness) -> None:
    """A mean of few rows in whole rows is 0, 20 or 100%."""
    for index in range(4):
        play(harness, ["alike"], first=index, rows=2)
        found = [v for v in verdicts(harness, MONITOR) if v.subject.endswith(DIFFERENCE)][-1]
        said = re.search(r"mean difference of answers ([\d.]+)%", found.sentence)
        assert said
        assert float(said[1]) == pytest.approx(100.0 * found.detail["mean_difference"], abs=0.06)
        assert 0.0 < float(said[1]) < 20.0


def test_a_window_without_comparisons_is_no_pass(harness: Harness) -> None:
    play(harness, ["alike"] * LEARNED)
    harness.traffic(LEARNED)
    assert harness.judge()
    found = verdicts(harness, MONITOR)[-1]
    assert (found.outcome, found.code) == ("hold", "STI-201")
    assert found.sentence == "stand-in of version 1: no row was compared"
    assert list(harness.carried(MONITOR)) == ["version/1/champion"]


def test_what_gets_no_rows_any_more_ends_and_says_why(harness: Harness) -> None:
    play(harness, ["silent"] * 5)
    assert causes(harness) == [BROKEN]
    windows = int(2 * 1_200.0 / WINDOW_S)
    for index in range(5, 5 + windows):
        harness.traffic(index)
        assert harness.judge()
    assert causes(harness) == [BROKEN]
    harness.traffic(5 + windows)
    assert harness.judge()
    assert causes(harness) == []
    told = harness.timeline(only(harness, BROKEN))
    assert any("no row of version 1 was compared with its stand-in for" in line for line in told)


def test_of_another_stand_in_what_is_usual_is_learned_anew(harness: Harness) -> None:
    harness.put("1")
    play(harness, ["alike"] * LEARNED + ["reversed"] * 4)
    assert causes(harness) == [CAUSE]
    harness.clock.at += 1
    harness.apply(FILE.replace("{constant: 0.2}", "{constant: 0.4}"))
    play(harness, ["reversed"], first=LEARNED + 4)
    assert causes(harness) == []
    told = harness.timeline(only(harness, CAUSE))
    assert any("something else stands in for version 1" in line for line in told)
    assert verdicts(harness, MONITOR)[-1].outcome == "hold"
    play(harness, ["reversed"] * LEARNED, first=LEARNED + 5)
    assert causes(harness) == []
    assert [v.sentence for v in verdicts(harness, MONITOR)[-3:] if v.outcome != "pass"] == []


@pytest.mark.parametrize(
    ("chain", "previous", "same_as", "same"),
    [
        # What answers after the first version is never asked.
        ("[previous, {constant: 0.2}]", "0", "[previous, {constant: 0.4}]", True),
        ("[previous, {constant: 0.2}]", None, "[previous, {constant: 0.4}]", False),
        ("[{version: '1'}, {constant: 0.2}]", None, "[{constant: 0.2}]", True),
        ("[{without: weather}, {constant: 0.2}]", None, "[{constant: 0.2}]", False),
    ],
)
def test_what_stands_in_is_what_would_be_asked_first(
    chain: str, previous: str | None, same_as: str, same: bool
) -> None:
    was = "[previous, {without: weather}, {constant: 0.2}]"
    live = Deployment(MODEL, "1", previous)
    one, other = (
        stands_in_for(read_model_file(FILE.replace(was, steps)), live) for steps in (chain, same_as)
    )
    assert (one == other) is same


def test_one_that_departs_is_told_within_a_few_windows(harness: Harness) -> None:
    play(harness, ["alike"] * LEARNED)
    assert harness.incidents() == []
    play(harness, ["reversed"] * 4, first=LEARNED)
    assert causes(harness) == [CAUSE]
    incident = only(harness, CAUSE)
    assert incident.severity == "medium"
    assert incident.title.startswith("stand-in of version 1: ")
    assert incident.evidence["another_class_share"] > 0.8
    assert incident.evidence["mean_difference"] > 0.3
    decided = [d for d in harness.decisions() if MONITOR in d.id]
    assert decided
    assert all(replay_decision(d).same for d in decided)


def test_one_that_breaks_is_told_within_a_few_windows(harness: Harness) -> None:
    play(harness, ["alike"] * LEARNED)
    play(harness, ["silent"] * 3, first=LEARNED)
    assert causes(harness) == [BROKEN]
    incident = only(harness, BROKEN)
    assert "no answer 100.0%" in incident.title
    assert incident.evidence["silent_share"] == 1.0
    assert incident.evidence["another_class_share"] is None


def test_nobody_is_hurt_by_a_stand_in_until_it_is_needed(harness: Harness) -> None:
    play(harness, ["alike"] * LEARNED + ["silent"] * 3)
    held = only(harness, BROKEN)
    bodies = [body for body in harness.queued(NOTIFY) if body.get("incident") == held.id]
    lines = str(bodies[-1]["body"]).splitlines()
    (hurts,) = [line for line in lines if line.startswith("hurts: ")]
    assert hurts.startswith(
        "hurts: nobody yet; if the champion could not answer, for a broken feed, say, tenants AA ("
    )
    assert evidence_of(held).hurts[0] == hurts.removeprefix("hurts: ")
    (asked,) = [line for line in lines if line.startswith("to do: ")]
    assert "why the stand-in has no answer" in asked
    assert "failed" not in "".join(lines)


def test_one_that_never_worked_is_told_before_anything_is_usual(harness: Harness) -> None:
    play(harness, ["silent"] * 5)
    assert causes(harness) == [BROKEN]


def test_what_begins_with_one_measure_ends_with_the_last(harness: Harness) -> None:
    play(harness, ["alike"] * LEARNED + ["reversed"] * 3)
    assert causes(harness) == [CAUSE]
    play(harness, ["silent"] * 3, first=LEARNED + 3)
    assert causes(harness) == [CAUSE, BROKEN]
    play(harness, ["alike"] * 12, first=LEARNED + 6)
    assert causes(harness) == []
    assert len(harness.incidents()) == 2


@pytest.mark.parametrize(("action", "found"), [("close", [CAUSE]), ("accept", [])])
def test_only_what_was_accepted_becomes_usual(
    harness: Harness, action: str, found: list[str]
) -> None:
    play(harness, ["alike"] * LEARNED + ["reversed"] * 4)
    harness.act(action, About.INCIDENT, incident=only(harness, CAUSE).id, reason="seen")
    assert causes(harness) == []
    play(harness, ["reversed"] * 4, first=LEARNED + 4)
    assert causes(harness) == found


def test_it_ends_with_the_version(harness: Harness) -> None:
    play(harness, ["silent"] * 5)
    harness.put("2", previous="1")
    play(harness, ["same"], first=5, version="2")
    assert causes(harness) == []
    assert list(harness.carried(MONITOR)) == ["version/2/champion"]


@pytest.mark.parametrize(
    ("measure", "usual"), [(SILENT, 0.0), (SILENT, 0.2), (DIFFERENCE, 0.02), (DIFFERENCE, 0.9)]
)
def test_what_is_usual_stays_quiet_where_few_rows_of_a_window_are_compared(
    measure: str, usual: float
) -> None:
    """A simulation: a week of minutes with two rows or so each, three times, at an alarm that
    is as rare as once a week over 20 streams."""
    alarms = 0
    for seed in range(3):
        rng = np.random.default_rng(seed)
        state = RateState()
        for minute in range(10_080):
            rows = int(rng.poisson(2.0))
            bad = int(rng.binomial(rows, usual))
            policy = stand_in_policy(20 * 10_080.0, state, measure)
            facts = RateFacts("stand-in", 60.0 * minute, bad, rows - bad, state)
            _, state = judge_rate(facts, policy, 60.0 * minute)
        alarms += state.alarmed
    assert alarms == 0


def test_without_a_stand_in_nothing_is_judged_and_nothing_takes_of_the_budget(
    harness: Harness,
) -> None:
    chain = "[previous, {without: weather}, {constant: 0.2}]"
    without = read_model_file(FILE.replace(chain, "[]"))
    with_it = read_model_file(FILE)
    three = watch_policy(with_it, models=1, tenants=2).alarm_at
    none = watch_policy(without, models=1, tenants=2).alarm_at
    assert three - none == pytest.approx(3 * 86_400.0 / WINDOW_S / 0.5)
    assert without.compared_share == 0.0
    harness.clock.at += 1
    harness.apply(FILE.replace(chain, "[]"))
    harness.traffic(0)
    assert harness.judge()
    assert verdicts(harness, MONITOR) == []


def test_it_can_be_switched_off(harness: Harness) -> None:
    harness.clock.at += 1
    harness.apply(FILE.replace("  errors: 2%\n", "  errors: 2%\n  off: [disagreement]\n"))
    play(harness, ["silent"] * 5)
    assert harness.incidents() == []
    assert verdicts(harness, MONITOR) == []


def test_it_is_shown_beside_the_fallbacks(harness: Harness) -> None:
    play(harness, ["reversed"] * 2 + ["silent"])
    with harness.store.read() as tx:
        page = load_model_page(tx, MODEL, harness.clock.at, 60, Memory())
    (row,) = answer_rows(page)
    assert row.verdict is not None
    assert row.verdict.code == "STI-203"
    sheet = OF_MODEL["answers"](page, harness.clock.at)
    shown = dict(zip(sheet.columns, next(iter(sheet.rows)), strict=True))
    assert shown["compared"] == 3 * A_WINDOW
    assert shown["stand_in_silent_share"] == pytest.approx(1 / 3)
    assert shown["stand_in_other_class_share"] > 0.8
    assert 0.3 < shown["stand_in_difference"] < 0.9

"""Outcomes below the floor are told, and close once they are above it again."""

from __future__ import annotations

from typing import Any

import pytest
from event_rows import predicted_event
from usecases.harness import FILE, MODEL, START, WINDOW_S, Harness
from usecases.timeline import only, outcomes

from windvane.ports.event_log import LogEntry
from windvane.ports.events import OutcomeSeen
from windvane.usecases.publish_routing import NOTIFY
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.replay_decision import replay_decision

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


def log_scored(harness: Harness, window: int, n: int, *, right: bool, later_s: float = 0.0) -> None:
    """``n`` answers with their outcomes, all right or all wrong, which come ``later_s``."""
    ts = START + WINDOW_S * window + 1.0
    events: list[Any] = []
    contract = read_model_file(FILE).contract
    for i in range(n):
        late = float(i % 2)
        output = 0.9 if bool(late) == right else 0.1
        name = f"w{window}-{i}"
        events.append(
            predicted_event(
                name, ts, MODEL, "AA", contract.id, unit="u", values=[1.0, "dl", 1.0],
                outputs=[output],
            )
        )  # fmt: skip
        events.append(OutcomeSeen(name, ts + later_s, MODEL, "AA", contract.id, name, 0, late))
    start = 100_000 * window
    entries = [LogEntry("m/w9", start + i, event) for i, event in enumerate(events)]
    harness.log.append("m/w9", start + len(events), entries, {contract.id: contract})


def test_bad_outcomes_open_an_incident_and_good_ones_close_it(harness: Harness) -> None:
    for i in range(60):
        if i in (3, 23, 43):
            log_scored(harness, i, 400, right=i != 23)
        harness.traffic(i)
        harness.judge()
    assert outcomes(harness, "outcomes") == "PFP"
    incident = only(harness, f"outcomes:{MODEL}")
    assert incident.title.startswith("AUC 0.000 (0.000 to ")
    assert incident.closed_at is not None
    assert harness.timeline(incident)[-1].startswith("outcomes are above the floor again")
    assert len(harness.queued(NOTIFY)) == 1
    judged = [d for d in harness.decisions() if d.judge == "outcomes"]
    assert [d.action for d in judged] == ["close", "notify"]
    assert all(replay_decision(d).same for d in judged)


def test_what_became_of_outcomes_is_kept_with_the_look(harness: Harness) -> None:
    contract = read_model_file(FILE).contract
    for i in range(20):
        if i == 3:
            log_scored(harness, i, 400, right=True)
            ts = START + WINDOW_S * i + 2.0
            stray = OutcomeSeen("stray", ts, MODEL, "AA", contract.id, "nothing", 0, 1.0)
            harness.log.append("m/w8", 1, [LogEntry("m/w8", 0, stray)], {contract.id: contract})
        harness.traffic(i)
        harness.judge()
    with harness.store.read() as tx:
        (look,) = tx.verdicts(MODEL, "outcomes", 0.0, 5)
    assert look.detail["floor"] == pytest.approx(read_model_file(FILE).watch.outcomes["floor"])
    assert look.detail["outcomes"] == {
        "joined": 400, "late": 0, "unknown": 1, "ambiguous": 0, "out_of_range": 0,
    }  # fmt: skip


def test_missing_outcomes_neither_open_nor_close(harness: Harness) -> None:
    for i in range(40):
        if i == 3:
            log_scored(harness, i, 400, right=False)
        harness.traffic(i)
        harness.judge()
    assert outcomes(harness, "outcomes") == "FH"
    assert only(harness, f"outcomes:{MODEL}").closed_at is None


def test_outcomes_that_may_take_longer_than_a_look_are_scored_when_they_are_due(
    harness: Harness,
) -> None:
    """They were looked at before they came and never again, and the model was never scored."""
    harness.clock.at += 1
    harness.apply(FILE.replace("{floor: 0.6}", "{floor: 0.6, arrive_within: 40m}"))
    for i in range(60):
        if i == 3:
            log_scored(harness, i, 400, right=False, later_s=1_800.0)
        harness.traffic(i)
        harness.judge()
    assert outcomes(harness, "outcomes") == "HHF"
    assert only(harness, f"outcomes:{MODEL}").since == START


def test_outcomes_respond_as_the_file_says(harness: Harness) -> None:
    harness.clock.at += 1
    harness.apply(FILE.replace("watch:\n", "watch:\n  respond: {quality: log}\n"))
    for i in range(20):
        if i == 3:
            log_scored(harness, i, 400, right=False)
        harness.traffic(i)
        harness.judge()
    assert outcomes(harness, "outcomes") == "F"
    assert harness.queued(NOTIFY) == []

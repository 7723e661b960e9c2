"""Rows that are joined wrongly leave every feature as it was; what goes together tells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from event_rows import predicted_event
from usecases.harness import CARRIERS, FILE, MODEL, START, WINDOW_S, Harness
from usecases.timeline import only

from windvane.ports.control_store import WindowVerdict
from windvane.ports.event_log import LogEntry, LogTooSlow
from windvane.usecases.actions import About
from windvane.usecases.monitors.dependence import LOOKS, Dependence
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.replay_decision import replay_decision

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")

TEXT = FILE.replace("drift_over: 20m", f"drift_over: {LOOKS}m")  # a block is a window
ROWS = 1_000
LEARNED = 18


@pytest.fixture
def watched(harness: Harness) -> Harness:
    harness.clock.at += 1
    harness.apply(TEXT)
    return harness


def serve(
    harness: Harness, windows: int, *, first: int, joined: bool = True, rows: int = ROWS
) -> None:
    """Far flights are warm, or their temperatures are those of others."""
    contract = read_model_file(TEXT).contract
    for window in range(first, first + windows):
        rng = np.random.default_rng(9_000 + window)
        z = rng.standard_normal((rows, 2))
        temp = 60.0 + 10.0 * (0.8 * z[:, 0] + 0.6 * z[:, 1])
        if not joined:
            temp = rng.permutation(temp)
        distance = np.clip(900.0 + 500.0 * z[:, 0], 1.0, 4_900.0)
        events: list[Any] = [
            predicted_event(
                f"{window}-{i}", START + WINDOW_S * (window + i / rows), MODEL, "AA", contract.id,
                values=[float(distance[i]), CARRIERS[i % 4], float(temp[i])], outputs=[0.3],
                routed="1", answered="1",
            )
            for i in range(rows)
        ]  # fmt: skip
        start = 100_000 * window
        entries = [LogEntry("m/w9", start + i, event) for i, event in enumerate(events)]
        harness.log.append("m/w9", start + len(events), entries, {contract.id: contract})
        harness.traffic(window)
        harness.judge()


def looks(harness: Harness) -> list[WindowVerdict]:
    """Oldest first."""
    with harness.store.read() as tx:
        return tx.verdicts(MODEL, Dependence.name, 0.0, 1_000)[::-1]


def test_a_wrong_join_is_found_told_and_ends(watched: Harness) -> None:
    serve(watched, LEARNED, first=0)
    assert watched.incidents() == []
    last = looks(watched)[-1]
    assert (last.outcome, last.code) == ("pass", "DRI-220")
    (pair,) = last.detail["pairs"]
    assert {pair["first"], pair["second"]} == {"distance", "temp"}
    assert last.detail["not_watched"] == ["carrier"]
    serve(watched, 3, first=LEARNED, joined=False)
    incident = only(watched, f"dependence:{MODEL}")
    assert incident.title.startswith("features no longer go together as before: association of")
    assert incident.since == START + WINDOW_S * LEARNED
    assert {s["feature"] for s in incident.evidence["suspects"]} == {"distance", "temp"}
    assert incident.runbook.endswith("wrong-join.md")
    decided = [d for d in watched.decisions() if d.judge == "dependence"]
    assert decided
    assert all(replay_decision(d).same for d in decided)
    serve(watched, 8, first=LEARNED + 3)
    assert [i.closed_at is None for i in watched.incidents()] == [False]


def test_blocks_of_few_rows_are_judged_together(watched: Harness) -> None:
    serve(watched, 4, first=0, rows=150)
    found = looks(watched)
    assert [v.code for v in found] == ["DRI-221"] * len(found)
    assert [v.detail["rows"] for v in found][:3] == [150, 300, 450]


def test_a_log_that_is_too_slow_is_asked_again_with_the_next_look(
    watched: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def slow(*given: Any, **named: Any) -> Any:
        asked.append(given[3])
        raise LogTooSlow("the log did not answer")

    monkeypatch.setattr(watched.log, "rows", slow)
    hours = TEXT.replace(f"drift_over: {LOOKS}m", f"drift_over: {LOOKS * 5}m")
    watched.clock.at += 1
    watched.apply(hours)
    for i in range(16):
        watched.traffic(i)
        watched.judge()
    assert len(asked) == 3, "once a block of five windows"
    assert {v.code for v in looks(watched)} == {"LOG-103"}


def test_what_is_accepted_is_learned_anew(watched: Harness) -> None:
    serve(watched, LEARNED, first=0)
    serve(watched, 3, first=LEARNED, joined=False)
    incident = only(watched, f"dependence:{MODEL}")
    watched.act("accept", About.INCIDENT, incident=incident.id)
    serve(watched, 8, first=LEARNED + 3, joined=False)
    assert [i for i in watched.incidents() if i.closed_at is None] == []

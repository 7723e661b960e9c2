"""Slow change: a season is logged, outcomes below the floor are told."""

from __future__ import annotations

from typing import Any

import pytest
from usecases.house import FILE, MODEL, START, WINDOW_S, House
from usecases.timeline import (
    only,
    outcomes,
    verdicts,
)

from windvane.ports.event_log import LogEntry
from windvane.ports.events import OutcomeSeen, Predicted, Row
from windvane.usecases.load_window import WindowCache
from windvane.usecases.publish_routing import NOTIFY
from windvane.usecases.replay_decision import replay_decision

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


def log_scored(house: House, window: int, n: int, *, right: bool) -> None:
    """``n`` answers with their outcomes, all right or all wrong."""
    ts = START + WINDOW_S * window + 1.0
    events: list[Any] = []
    for i in range(n):
        late = float(i % 2)
        output = 0.9 if bool(late) == right else 0.1
        row = Row("u", "1", "1", "champion", [1.0, "dl", 1.0], output)
        name = f"w{window}-{i}"
        events.append(Predicted(name, ts, MODEL, "AA", house.layout.id, "", 900, [row]))
        events.append(OutcomeSeen(name, ts, MODEL, "AA", house.layout.id, name, 0, late))
    names = [("distance", "number"), ("carrier", "category"), ("temp", "number")]
    schema = {house.layout.id: names}
    start = 100_000 * window
    entries = [LogEntry("m/w9", start + i, event) for i, event in enumerate(events)]
    house.log.append("m/w9", start + len(events), entries, schema)


def test_drift_from_training_is_logged_not_told(house: House) -> None:
    """A season: the inputs changed slowly; nobody is woken, the champion stays."""
    house.cache = WindowCache()
    for i in range(60):
        house.traffic(i, warmer=min(i * 1.0, 30.0))
        house.judge()
    seasons = verdicts(house, "drift")
    assert [v.start for v in seasons] == [START + 60.0 * i for i in (19, 39, 59)]
    assert seasons[-1].outcome == "fail"
    logged = house.decisions("log")
    assert logged
    assert logged[0].subject == "training data"
    assert replay_decision(logged[0]).same
    assert not [i for i in house.incidents() if i.kind == "season"]


def test_bad_outcomes_open_an_incident_and_good_ones_close_it(house: House) -> None:
    for i in range(60):
        if i in (3, 23, 43):
            log_scored(house, i, 400, right=i != 23)
        house.traffic(i)
        house.judge()
    assert outcomes(house, "outcomes") == "PFP"
    incident = only(house, f"outcomes:{MODEL}")
    assert incident.title.startswith("AUC 0.000 ± ")
    assert incident.closed_at is not None
    assert house.timeline(incident)[-1].startswith("outcomes are above the floor again")
    assert len(house.queued(NOTIFY)) == 1
    judged = [d for d in house.decisions() if d.judge == "outcomes"]
    assert [d.action for d in judged] == ["close", "notify"]
    assert all(replay_decision(d).same for d in judged)


def test_missing_outcomes_neither_open_nor_close(house: House) -> None:
    for i in range(40):
        if i == 3:
            log_scored(house, i, 400, right=False)
        house.traffic(i)
        house.judge()
    assert outcomes(house, "outcomes") == "FH"
    assert only(house, f"outcomes:{MODEL}").closed_at is None


def test_outcomes_respond_as_the_file_says(house: House) -> None:
    house.clock.at += 1
    house.apply(FILE.replace("watch:\n", "watch:\n  respond: {medium: log}\n"))
    for i in range(20):
        if i == 3:
            log_scored(house, i, 400, right=False)
        house.traffic(i)
        house.judge()
    assert outcomes(house, "outcomes") == "F"
    assert house.queued(NOTIFY) == []

"""The word for a model, from what the store knows: never healthy where nobody looks."""

from __future__ import annotations

import pytest
from usecases.harness import MODEL, START, WINDOW_S, Harness
from usecases.timeline import FAILING, NULLS, QUIET, play

from windvane.core.health import Health
from windvane.core.sketch import TRAFFIC, Sketch
from windvane.ports.control_store import WindowKey
from windvane.usecases.leases import give_up
from windvane.usecases.observe_health import (
    load_evidence,
    load_totals,
    observe,
    observe_health,
    traffic_of,
)
from windvane.usecases.read_model_file import read_model_file

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


def health(harness: Harness, later_s: float = 0.0) -> Health:
    with harness.store.read() as tx:
        file = read_model_file(tx.model(MODEL).text)
        seen = observe(tx, harness.clock.wall(), 600.0)
        live, opened = tx.deployment(MODEL), tx.open_incidents(MODEL)
        evidence = load_evidence(tx, {MODEL: live})[MODEL]
        now = harness.clock.now() + later_s
        traffic = traffic_of(load_totals(tx, [file], now)[MODEL].values())
        return observe_health(seen, evidence, file, live, opened, traffic, now)


def codes(harness: Harness) -> tuple[str, str]:
    found = health(harness)
    return found.word, found.code


def test_before_a_recorder_ever_ran_it_is_not_watched(harness: Harness) -> None:
    assert codes(harness) == ("not watched", "HLT-401")


def test_a_model_that_is_judged_and_well_is_healthy(harness: Harness) -> None:
    play(harness, [QUIET] * 4)
    assert codes(harness) == ("healthy", "HLT-100")


def test_thin_windows_are_too_few_rows(harness: Harness) -> None:
    play(harness, [{"rows": 12}] * 3)
    assert codes(harness) == ("too few rows", "HLT-104")


def test_a_recorder_that_stands_still_is_noticed(harness: Harness) -> None:
    play(harness, [QUIET] * 4)
    assert health(harness, later_s=170.0).code == "HLT-100"
    late = health(harness, later_s=7_200.0)
    assert (late.word, late.code) == ("not watched", "HLT-402")
    assert late.why == "nothing was recorded for 2 h: is the recorder running?"


def test_a_steward_that_is_gone_is_noticed(harness: Harness) -> None:
    play(harness, [QUIET] * 4)
    give_up(harness.store, "one", harness.shards)
    assert codes(harness) == ("not watched", "HLT-403")


def test_an_outage_is_named_as_what_it_is(harness: Harness) -> None:
    """Every request was refused with 503 and not one row answered: it read "healthy"."""
    play(harness, [QUIET] * 4)
    empty = Sketch.empty(harness.layout.id, harness.layout.size)
    counts = empty.traffic.copy()
    counts[TRAFFIC.index("unanswered")] = 400
    outage = Sketch(empty.layout_id, empty.features, counts, empty.latency)
    for i in range(4, 8):
        harness.traffic(i, rows=0, checkpoint=False)
        with harness.store.begin() as tx:
            key = WindowKey(MODEL, START + WINDOW_S * i, "1", "champion", "AA", "r1")
            tx.add_sketches({key: outage})
        harness.traffic(i, rows=0)
        harness.judge()
    found = health(harness)
    assert (found.word, found.code) == ("down", "HLT-501")
    assert found.why.startswith("none of 1,200 rows was answered in the last 3 windows")


def test_trouble_is_told_by_its_incident(harness: Harness) -> None:
    play(harness, [QUIET] * 3 + [FAILING] * 3)
    found = health(harness)
    assert (found.word, found.code) == ("failing", "HLT-301")
    assert found.why.startswith("errors: failed 50.0%")


def test_who_stands_in_is_said(harness: Harness) -> None:
    play(harness, [QUIET] * 10 + [NULLS] * 6)
    found = health(harness)
    assert (found.word, found.code) == ("standing in", "HLT-302")
    assert found.why == "version 2 stands in for version 1; broken: weather"


def test_no_traffic_is_no_health(harness: Harness) -> None:
    play(harness, [QUIET] * 4)
    for i in range(4, 9):
        harness.traffic(i, rows=0)
        harness.judge()
    assert codes(harness) == ("no traffic", "HLT-203")

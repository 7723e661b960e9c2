"""Who really answers, beside who should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from windvane.apps.console.reading import IncidentPage
from windvane.apps.console.story import answered_now, answered_otherwise
from windvane.apps.console.traffic import Tally, TrafficSeries
from windvane.core.sketch import TRAFFIC
from windvane.ports.control_store import Deployment, Incident
from windvane.usecases.read_model_file import read_model_file

FILE = read_model_file("model: delay\nfeatures: {v: {f: {type: number}}}\n")
LIVE = Deployment("delay", "1")


def tally(**counts: int) -> Tally:
    made = Tally()
    for name, n in counts.items():
        made.traffic[TRAFFIC.index(name)] = n
    assert made.traffic.dtype == np.int64
    return made


def said(*windows: Tally, live: Deployment | None = LIVE) -> str:
    line = object.__new__(TrafficSeries)
    for name, value in {"windows": windows[:-1], "open": windows[-1]}.items():
        object.__setattr__(line, name, value)
    return answered_otherwise(line, live)


@pytest.mark.parametrize(
    ("windows", "sentence"),
    [
        ([tally(rows=600), tally(rows=640, fell_back=640)],
         "of 640 rows of the newest window 640 were answered by a fallback"),
        ([tally(rows=600), tally(rows=600, fell_back=212, unanswered=40)],
         ("of 640 rows of the newest window 212 were answered by a fallback and 40 were not "
         "answered")),
        ([tally(rows=10, unanswered=90), tally()],
         "of 100 rows of the newest window 90 were not answered"),
        ([tally(rows=600), tally(unanswered=90)],
         "nobody is answered: none of 90 rows of the newest window was answered"),
        ([tally(rows=10, unanswered=90), tally(rows=100)], ""),
        ([tally(rows=1_000), tally(rows=1_000, fell_back=9)], ""),
        ([tally(), tally()], ""),
    ],
)  # fmt: skip
def test_what_the_newest_window_with_rows_says(windows: list[Tally], sentence: str) -> None:
    assert said(*windows) == sentence


@pytest.mark.parametrize(
    ("newest", "live", "sentence"),
    [
        (tally(unanswered=90), LIVE,
         "nobody is answered: none of 90 rows of the newest window was answered"),
        (tally(unanswered=90), replace(LIVE, standing_in="0"),
         "nobody is answered: none of 90 rows of the newest window was answered"),
        (tally(rows=10, unanswered=90), LIVE,
         ("version 1 should answer everyone; of 100 rows of the newest window 90 were not "
          "answered")),
        (tally(rows=100, fell_back=100), LIVE,
         ("version 1 should answer everyone; of 100 rows of the newest window 100 were answered "
          "by a fallback")),
        (tally(rows=100), replace(LIVE, off=True), "it is turned off: nobody is answered"),
        (tally(rows=100), LIVE, "version 1 answers everyone"),
        (tally(), LIVE, "version 1 answers everyone"),
    ],
)  # fmt: skip
def test_an_incident_says_what_is_seen_now(newest: Tally, live: Deployment, sentence: str) -> None:
    incident = Incident("i", "delay", "c", "errors", "high", "t", 2.0, 1.0, None, "o", "r")
    page = IncidentPage(incident, (), {}, live, watched=False, file=FILE, newest=newest)
    assert answered_now(page) == sentence
    over = replace(page, incident=replace(incident, closed_at=3.0))
    assert answered_now(over) == ""


def test_an_incident_of_a_tenant_says_who_answers_that_tenant() -> None:
    live = replace(LIVE, stand_ins={"acme": "0"})
    incident = Incident(
        "i", "delay", "tenant_feed:acme", "tenant_feed", "high", "t", 2.0, 1.0, None, "o", "r"
    )
    page = IncidentPage(incident, (), {}, live, watched=False, file=FILE, newest=tally(rows=100))
    assert answered_now(page) == "version 0 answers tenant acme; version 1 answers everyone else"
    other = replace(page, incident=replace(incident, cause="tenant_feed:globex"))
    assert answered_now(other) == "version 1 answers everyone"


def test_nobody_is_answered_by_what_is_off_or_not_live() -> None:
    full = tally(rows=100, fell_back=100)
    assert said(full, live=None) == ""
    assert "nobody is answered" in said(full, live=replace(LIVE, off=True))

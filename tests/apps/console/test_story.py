"""Who really answers, beside who should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from windvane.apps.console.story import answered_otherwise
from windvane.apps.console.traffic import Tally, TrafficSeries
from windvane.core.sketch import TRAFFIC
from windvane.ports.control_store import Deployment

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
        ([tally(rows=10, unanswered=90), tally(rows=100)], ""),
        ([tally(rows=1_000), tally(rows=1_000, fell_back=9)], ""),
        ([tally(), tally()], ""),
    ],
)  # fmt: skip
def test_what_the_newest_window_with_rows_says(windows: list[Tally], sentence: str) -> None:
    assert said(*windows) == sentence


def test_nobody_is_answered_by_what_is_off_or_not_live() -> None:
    full = tally(rows=100, fell_back=100)
    assert said(full, live=None) == ""
    assert "nobody is answered" in said(full, live=replace(LIVE, off=True))

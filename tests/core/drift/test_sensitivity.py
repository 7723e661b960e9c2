"""What is said of how long a change takes to be told, against how long it takes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from core.drift.streams import DAY, START, Rows, Watcher, layout_of, trained, views_of

from windvane.core.drift import DriftPolicy, Kind, Reading, Watching, looks_to_alarm, watch

POLICY = DriftPolicy(500_000.0)


@pytest.mark.parametrize(
    ("rows", "world"),
    [(60, {}), (200, {}), (200, {"burst": 20}), (200, {"follows": 0.9}), (600, {"follows": 0.9})],
)
def test_a_just_material_change_is_told_after_about_as_many_looks_as_said(
    rows: int, world: dict[str, float]
) -> None:
    source = Rows(layout_of(2), seed=5, rows=rows, **world)
    base = trained(source, 2 * DAY)
    took: list[int] = []
    said = least = None
    for _ in range(5):
        one = Watcher(source, base.cell, POLICY, 2 * DAY)
        one.play(3)
        how = Watching(source.layout, views_of(source.layout), POLICY, 50, one.recent_s)
        at = START + 60.0 * one.at
        facts = watch(how, one.cell, source.window(one.at), at, at + 60.0, 1).facts
        reading = next(r for r in facts.readings if r.stream == "x0/values")
        said, least = looks_to_alarm(reading, POLICY), POLICY.least(reading)
        off = math.sqrt(1.3 * least)  # of a normal law, the stability index is its square
        for look in range(1, 300):
            if any(a.opened and a.feature == "x0" for a in one.step(lambda x, _, d=off: x + d)):
                took.append(look)
                break
    assert len(took) == 5
    assert said is not None
    assert said / 3.0 <= float(np.median(took)) <= 3.0 * said, (said, took, least)


def test_what_is_no_evidence_is_never_enough_of_it() -> None:
    reading = Reading("x", "v", Kind.VALUES, 0.0, 0.0, usual=0.2, known=1_000)
    assert looks_to_alarm(reading, POLICY) is not None
    assert looks_to_alarm(replace(reading, known=1), POLICY) is None
    assert looks_to_alarm(replace(reading, usual=0.0), POLICY) is None
    assert looks_to_alarm(replace(reading, kind=Kind.OUTAGE), POLICY) is None
    loud = replace(reading, usual=0.001)
    assert (looks_to_alarm(loud, POLICY) or 0) < (looks_to_alarm(reading, POLICY) or 0)

"""A tenant that is young has not seen the hours of a day yet: it expects of them what all do."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from windvane.core.drift import build_baseline
from windvane.core.drift.forecast import Forecast
from windvane.core.sketch import TRAFFIC, Layout, NumericAxis, Sketch
from windvane.ports.control_store import Deployment, WindowKey
from windvane.usecases.closed_window import ClosedWindow
from windvane.usecases.monitors import watch_policy
from windvane.usecases.monitors.sudden_shift import SuddenShift
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.replay_windows import Replay

Counts = NDArray[np.int64]
MONDAY, WINDOW_S, DAY = 1_699_833_600.0, 60.0, 1_440
SHARES = {"large": 200, "middle": 150, "small": 100, "tiny": 50}
FEATURES = tuple(f"x{i}" for i in range(8))
LAYOUT = Layout(tuple(NumericAxis(n, tuple(np.linspace(-3.0, 3.0, 21).tolist())) for n in FEATURES))
FILE = read_model_file(
    "\n".join(["model: delay", "features:", "  sensors:",
               *(f"    {name}: {{type: number, nullable: true}}" for name in FEATURES)])
)  # fmt: skip
POLICY = watch_policy(FILE, models=1, tenants=len(SHARES))


def window_of(
    index: int, rng: np.random.Generator, wave: float, broken: str = "", silent: str = ""
) -> dict[str, Counts]:
    """Values follow the sun by ``wave`` deviations, and traffic too. One feature of a ``broken``
    tenant is off, of a ``silent`` one it has no value."""
    sun = float(np.sin(2.0 * np.pi * index / DAY))
    out: dict[str, Counts] = {}
    for tenant, most in SHARES.items():
        values = rng.standard_normal((int(most * (0.55 + 0.45 * sun)), len(FEATURES))) + wave * sun
        if tenant == broken:
            values[:, 0] += 1.5
        if tenant == silent:
            values[:, 0] = np.nan
        out[tenant] = LAYOUT.count({n: values[:, i] for i, n in enumerate(FEATURES)})[0]
    return out


class World:
    """A model that was trained on all tenants' rows of two days, and begins to serve at midnight
    of the third less two hours."""

    def __init__(self, seed: int, wave: float) -> None:
        self.rng, self.wave = np.random.default_rng(seed), wave
        self.at = 2 * DAY - 120
        past = {
            MONDAY + WINDOW_S * i: np.sum(list(window_of(i, self.rng, wave).values()), axis=0)
            for i in range(self.at)
        }
        self.since = MONDAY + WINDOW_S * self.at
        self.baseline = build_baseline(
            LAYOUT, past, POLICY.window_s, POLICY.recent_s, POLICY.min_rows
        )
        self.replay = Replay(monitors=(SuddenShift(),))

    def play(self, windows: int, broken: str = "", silent: str = "") -> None:
        for _ in range(windows):
            counts = window_of(self.at, self.rng, self.wave, broken, silent)
            self.replay.judge(self._closed(MONDAY + WINDOW_S * self.at, counts))
            self.at += 1
        assert not self.replay.left_out

    def _closed(self, start: float, counts: Mapping[str, Counts]) -> ClosedWindow:
        empty = Sketch.empty(LAYOUT.id, LAYOUT.size)
        sketches: list[tuple[WindowKey, Sketch]] = []
        for tenant, counted in counts.items():
            rows = int(LAYOUT.part(counted, FEATURES[0]).sum())
            told = {"rows": rows, "requests": rows}
            traffic = np.array([told.get(name, 0) for name in TRAFFIC], np.int64)
            key = WindowKey("delay", start, "1", "champion", tenant, "r1")
            sketches.append((key, Sketch(LAYOUT.id, counted, traffic, empty.latency)))
        total = np.sum(list(counts.values()), axis=0)
        return ClosedWindow(
            FILE, POLICY, Deployment("delay", "1"), LAYOUT, self.baseline, start, tuple(sketches),
            total, self.since,
        )  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_first_morning_of_a_tenant_is_no_change(seed: int) -> None:
    world = World(seed, wave=1.0)
    world.play(400)
    assert [a.cause for a in world.replay.alarms] == []


def test_a_fault_of_a_young_tenant_is_told_in_the_morning() -> None:
    world = World(4, wave=1.0)
    world.play(180)
    world.play(60, broken="middle")
    assert [a.cause for a in world.replay.alarms] == ["tenant_feed:middle"]


def test_a_total_fault_of_one_that_has_no_past_yet_is_its_own() -> None:
    """Everyone's alarm shows it first: nobody else is to be answered by a stand-in for it."""
    world = World(6, wave=0.0)
    world.play(2)
    world.play(20, silent="middle")
    assert {a.cause for a in world.replay.alarms} == {"tenant_feed:middle"}


def test_a_part_expects_nothing_of_hours_that_do_not_differ() -> None:
    """What few looks make of hours that are alike is no cycle."""
    flat, wavy = (World(5, wave).baseline.cell.forecast for wave in (0.0, 1.0))
    location = 0
    shrunk = Forecast.of_part(flat).slots[..., location]
    assert np.abs(shrunk).max() < 0.4 * np.abs(flat.slots[..., location]).max()
    of_part = Forecast.of_part(wavy)
    kept, known = (s[:24].mean(axis=1) for s in (of_part.slots[..., location],
                                                  wavy.slots[..., location]))  # fmt: skip
    assert np.corrcoef(kept, known)[0, 1] > 0.99
    assert np.ptp(kept) > 0.8 * np.ptp(known)
    assert of_part.ranked.sum() == 0

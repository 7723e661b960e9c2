"""The steward's two drift judges over a stream of counts, without its database.

What runs is the product's own: the model file is parsed, `window_policy` turns the budget into
thresholds, `ClosedWindow.references` merges the recent past, `recent_readings` and
`baseline_readings` score and calibrate, `judge_drift` decides. Only loading and acting are
left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from unittest import mock

import numpy as np
import yaml
from numpy.typing import NDArray

from windvane.core.drift import (
    Alarm,
    Baseline,
    DriftFacts,
    Kind,
    Reading,
    StreamState,
    baseline_readings,
    judge_drift,
    predictive_scores,
)
from windvane.core.sketch import CategoryAxis, Layout
from windvane.core.verdict import p_to_e, shiryaev_roberts
from windvane.ports.control_store import Deployment
from windvane.usecases.closed_window import ClosedWindow
from windvane.usecases.load_recent_history import RecentHistory
from windvane.usecases.monitors import sudden_shift, training_drift, watch_policy
from windvane.usecases.read_model_file import ModelFile, read_model_file
from windvane.usecases.window_policy import WindowPolicy

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

SUDDEN_SHIFT = (Kind.VALUES, Kind.NULLS)


def watch_file(name: str, layout: Layout, views: Mapping[str, str], recent: int) -> ModelFile:
    """A model file that watches ``layout`` by the minute, ``recent`` windows back, with the
    product's default budget of one false alarm a week for each of its two drift judges."""
    features: dict[str, dict[str, dict[str, object]]] = {}
    for axis in layout.axes:
        kind = "category" if isinstance(axis, CategoryAxis) else "number"
        features.setdefault(views[axis.name], {})[axis.name] = {"type": kind, "nullable": True}
    watch = {"window": "60s", "recent": f"{recent}m", "drift_over": "60s", "min_rows": 50}
    return read_model_file(yaml.safe_dump({"model": name, "features": features, "watch": watch}))


class StewardLoop:
    """One model's detectors, window after window.

    ``judge_sudden_shift`` compares with the recent past and is what wakes people;
    ``judge_training_drift`` compares with the training data and is logged.
    """

    def __init__(
        self,
        file: ModelFile,
        layout: Layout,
        baseline: Baseline,
        policy: WindowPolicy | None = None,
    ) -> None:
        self.policy = policy or watch_policy(file, models=1, tenants=1)
        self.sources: dict[str, sudden_shift.SourceState] = {}
        self.drifting: Mapping[str, StreamState] = {}
        self._file, self._layout = file, layout
        # As the steward has it: unpacked from the version's record, with rounded scores.
        self._baseline = Baseline.from_bytes(baseline.to_bytes())
        self._live = Deployment(file.model, "1")
        self._history = RecentHistory(self.policy.window_s, self.policy.block_s)

    def judge_sudden_shift(
        self, start: float, counts: Counts
    ) -> tuple[tuple[Reading, ...], list[Alarm]]:
        """Readings of the window that began at ``start`` (s), and the alarms that opened."""
        self._history.forget_before(start - self.policy.recent_s)
        self._history.add(start, counts)
        window = self._window(start, counts)
        policy = sudden_shift.shift_policy(self._file, self.policy)
        facts = sudden_shift.shift_facts(window, self.sources, policy)
        found = facts.readings
        _, states, alarms = judge_drift(facts, policy, window.end)
        self.sources = sudden_shift.by_source(window.views, states, self.sources)
        for r in found:
            self._history.remember(r.stream, start, round(r.size, 4))
        return found, [alarm for alarm in alarms if alarm.opened]

    def judge_training_drift(
        self, start: float, counts: Counts
    ) -> tuple[tuple[Reading, ...], list[Alarm]]:
        """The same against the training data; ``counts`` of as many windows as the caller
        merges into one look."""
        window = self._window(start, counts)
        rows = int(self._layout.part(counts, self._layout.names[0]).sum())
        found = baseline_readings(
            self._layout,
            window.views,
            counts,
            self._baseline,
            seed=window.seed(training_drift.SALT),
        )
        facts = DriftFacts(start, rows, self.policy.min_rows, found, self.drifting)
        policy = training_drift.drift_policy(self._file, self.policy)
        _, self.drifting, alarms = judge_drift(facts, policy, window.end)
        return found, [alarm for alarm in alarms if alarm.opened]

    def _window(self, start: float, counts: Counts) -> ClosedWindow:
        return ClosedWindow(
            self._file, self.policy, self._live, self._layout, self._baseline, start, (),
            counts, self._history, start,
        )  # fmt: skip


def detector_alarms(p: Floats, alarm_at: float) -> NDArray[np.int64]:
    """(alarm windows, alarm streams) of the bare detectors on p-values (windows, streams).

    No materiality: each starts afresh after its alarm. NaN is a window without a reading.
    The arithmetic is `judge_drift`'s, over all streams at once; a test holds the two equal.
    """
    e = np.where(np.isnan(p), np.nan, p_to_e(np.nan_to_num(p, nan=0.5)))
    value = np.zeros(p.shape[1])
    found: list[tuple[int, int]] = []
    for i, row in enumerate(e):
        value = np.where(np.isnan(row), value, shiryaev_roberts(value, row))
        loud = np.flatnonzero(value >= alarm_at)
        found += [(i, int(s)) for s in loud]
        value[loud] = 0.0
    return np.array(found, np.int64).reshape(-1, 2)


@contextmanager
def pooled_draws(pool_size: int, *, plug_in: bool = False) -> Iterator[None]:
    """Predictive scores by resampling one large pool a baseline and row count.

    `baseline_readings` draws 2,000 windows for each feature and look, a third of a second for
    40 features: nothing to a weekly look, hours to tens of thousands. A pool drawn once by
    the product's own function and resampled for every look is the same to within the pool's
    resolution of 1 in ``pool_size``. ``plug_in`` forgets the baseline's sampling error, as
    naive detectors do: it shows what the check is worth.
    """
    pools: dict[tuple[bytes, int], Floats] = {}

    def draw(baseline: Counts, rows: int, draws: int, seed: int) -> Floats:
        key = (baseline.tobytes(), rows)
        if key not in pools:
            # A baseline counted a million times over has no sampling error left.
            known = baseline * 1_000_000 if plug_in else baseline
            pools[key] = predictive_scores(known, rows, pool_size, 0)
        return pools[key][np.random.default_rng(seed).integers(0, pool_size, draws)]

    with mock.patch("windvane.core.drift.readings.predictive_scores", draw):
        yield

"""The null run: windows of real rows without drift, and the alarms they raise all the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from flight_rows import VIEWS, FlightRows, fit_layout
from numpy.typing import NDArray
from scipy.special import pdtr
from steward_loop import SUDDEN_SHIFT, StewardLoop, detector_alarms, pooled_draws, watch_file

from windvane.core.drift import Alarm, Baseline, Kind, build_baseline
from windvane.core.sketch import Layout

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

WINDOW_S = 60.0
KINDS = (*SUDDEN_SHIFT, Kind.DRIFT)
THIN_WINDOWS = 200
GROUPS = {"sudden shift": SUDDEN_SHIFT, "training drift": (Kind.DRIFT,)}


@dataclass(frozen=True, slots=True)
class NullSettings:
    """How much of everything.

    ``windows`` of each size in ``sizes`` (rows a window) are judged against the recent past;
    10,080 are a week of minutes, the period of the default budget. Every ``drift_every``-th
    is judged against the training data too, none at 0 (the product looks at training drift seldom,
    and each look is dear). ``baseline_rows`` is the training sample that
    edges and baseline counts come from; ``training_windows`` calibrate the judges against
    the recent past of ``recent`` windows (two months and two weeks of three-hour windows, as
    in the demo). ``pool`` predictive scores are drawn a feature and size.
    """

    features: tuple[str, ...] = tuple(VIEWS)
    sizes: tuple[int, ...] = (200, 1_000, 5_000)
    windows: int = 4_032
    drift_every: int = 3
    baseline_rows: int = 100_000
    training_windows: int = 500
    recent: int = 112
    pool: int = 20_000
    plug_in: bool = False
    seed: int = 1


class Population:
    """All flights as the truth: training sample and windows are both drawn from them, with
    replacement and whole rows at a time, so features stay as dependent as they are."""

    def __init__(self, rows: FlightRows, settings: NullSettings) -> None:
        self.rows, self.settings = rows, settings
        rng = np.random.default_rng([settings.seed, 0])
        sample = rng.integers(0, len(rows), settings.baseline_rows)
        self.layout: Layout = fit_layout(rows, sample, settings.features)
        self.codes = self.layout.codes(rows.columns).astype(np.int32)
        self._sample = self._count(sample)

    def draw(self, rng: np.random.Generator, rows: int) -> Counts:
        """Counts (layout size,) of one undrifted window."""
        return self._count(rng.integers(0, len(self.rows), rows))

    def baseline(self, rows: int) -> Baseline:
        """The baseline of a version whose training windows held ``rows`` rows each."""
        s = self.settings
        rng = np.random.default_rng([s.seed, 1, rows])
        past = {WINDOW_S * i: self.draw(rng, rows) for i in range(-s.training_windows, 0)}
        built = build_baseline(self.layout, past, WINDOW_S, s.recent * WINDOW_S, min_rows=50)
        return replace(built, counts=self._sample)

    def loop(self, rows: int, baseline: Baseline) -> StewardLoop:
        s = self.settings
        file = watch_file(f"null-{rows}-{s.seed}", self.layout, VIEWS, s.recent)
        return StewardLoop(file, self.layout, baseline)

    def _count(self, index: NDArray[np.int64]) -> Counts:
        flat = np.bincount(self.codes[index].ravel(), minlength=self.layout.size)
        return flat.astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class NullRun:
    """What one window size gave. ``p`` by kind: (looks, features) calibrated p-values;
    ``acted``: alarms both significant and material, as the steward would act on."""

    rows: int
    features: tuple[str, ...]
    alarm_at: dict[str, float]
    p: dict[Kind, Floats]
    acted: tuple[Alarm, ...]

    def allowed(self, kinds: Sequence[Kind], factor: float = 1.0) -> float:
        """Expected false alarms that the budget grants these streams over the run.

        An e-detector at threshold A raises at most one a A windows on average; the product
        shares its A among all streams of an installation, so streams that this run does not
        have (one tenant, errors, the output) keep their part unused.
        """
        judged = sum(self.p[kind].size for kind in kinds)
        return judged / self._at(kinds) * factor

    def detected(self, kinds: Sequence[Kind], factor: float = 1.0) -> dict[str, int]:
        """Alarms of the bare detectors by stream, at a budget ``factor`` times the default."""
        found: dict[str, int] = {}
        for kind in kinds:
            for _, i in detector_alarms(self.p[kind], self._at(kinds) / factor):
                stream = f"{self.features[i]}/{kind.value}"
                found[stream] = found.get(stream, 0) + 1
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def _at(self, kinds: Sequence[Kind]) -> float:
        return self.alarm_at["sudden shift" if kinds[0] in SUDDEN_SHIFT else "training drift"]


def poisson_99(mean: float) -> int:
    """The least count that a Poisson variable of this mean exceeds in under 1% of runs."""
    return next(k for k in range(10_000) if float(pdtr(k, mean)) >= 0.99)


def run_null(
    population: Population, rows: int, baseline: Baseline, tick: Callable[[], None]
) -> NullRun:
    """Judge every window of one size by both judges; ``tick`` after each."""
    return _run(population, rows, baseline, population.settings, tick)


def run_thinner(
    population: Population, rows: int, baseline: Baseline, tick: Callable[[], None]
) -> NullRun:
    """Windows of ``rows`` rows under a baseline whose training windows held more.

    Traffic that fell is no drift. Against the recent past only: the other judge draws its
    null at the window's own size.
    """
    s = replace(population.settings, windows=THIN_WINDOWS, drift_every=0)
    return _run(population, rows, baseline, s, tick)


def _run(
    population: Population,
    rows: int,
    baseline: Baseline,
    s: NullSettings,
    tick: Callable[[], None],
) -> NullRun:
    rng = np.random.default_rng([s.seed, 2, rows])
    loop = population.loop(rows, baseline)
    place = {name: i for i, name in enumerate(s.features)}
    looks = {Kind.VALUES: 1, Kind.NULLS: 1, Kind.DRIFT: s.drift_every}
    p = {
        kind: np.full((-(-s.windows // n) if n else 0, len(place)), np.nan)
        for kind, n in looks.items()
    }
    acted: list[Alarm] = []
    with pooled_draws(s.pool, plug_in=s.plug_in):
        for i in range(s.windows):
            counts = population.draw(rng, rows)
            found, opened = loop.judge_sudden_shift(WINDOW_S * i, counts)
            acted += opened
            if s.drift_every and i % s.drift_every == 0:
                also, opened = loop.judge_training_drift(WINDOW_S * i, counts)
                found, acted = (*found, *also), [*acted, *opened]
            for reading in found:
                at = i // looks[reading.kind]
                p[reading.kind][at, place[reading.feature]] = reading.p
            tick()
    at = {
        "sudden shift": loop.policy.alarm_at,
        "training drift": loop.policy.slow_alarm_at,
    }
    return NullRun(rows, s.features, at, p, tuple(acted))

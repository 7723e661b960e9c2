"""A model's features, ranked by how far they moved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from windvane.apps.console.reading import RECENT_WINDOWS, Whole
from windvane.apps.console.svg import Histogram, histogram
from windvane.apps.console.traffic import feature_counts
from windvane.core.drift import Kind, null_rate, psi
from windvane.ports.control_store import WindowVerdict
from windvane.usecases.read_model_file import parse_duration
from windvane.usecases.window_policy import window_policy


@dataclass(frozen=True, slots=True)
class FeatureView:
    """One feature: what was measured by kind, and its picture.

    ``psi_now`` compares the page's recent windows with the training data; ``drift`` is the
    steward's own last reading of the same. ``weight`` is the largest effect in units of
    what counts as material.
    """

    name: str
    view: str
    sounding: tuple[str, ...]
    values: float | None
    nulls: float | None
    drift: float | None
    psi_now: float | None
    null_now: float | None
    weight: float
    picture: Histogram | None

    @property
    def word(self) -> str:
        """How much it moved, without a figure."""
        if self.sounding:
            return "alarm"
        if self.weight >= 1.0:
            return "moved"
        return "moving" if self.weight >= 0.5 else "steady"


def feature_views(whole: Whole) -> list[FeatureView]:
    """Sounding ones first, then by the size of their effect."""
    file = whole.glance.file
    policy = window_policy(file, models=1, tenants=1)
    material = policy.breaks.material
    read = _by_feature(whole.features)
    drifted = _by_feature(whole.drift)
    recent_from = whole.glance.grid.starts[-RECENT_WINDOWS:][0]
    recent = [(k, s) for k, s in whole.glance.found if k.start >= recent_from]
    layout, baseline = whole.layout, whole.baseline
    after = feature_counts(recent, layout) if layout else None
    out: list[FeatureView] = []
    views = {spec.name: spec.view for spec in file.schema}
    names = list(views)
    if layout:
        names += [n for n in layout.names if n not in views]
    for name in names:
        mine, slow = read.get(name, {}), drifted.get(name, {})
        picture, psi_now, null_now = None, None, None
        if layout and baseline and after is not None and name in layout.names:
            axis = layout.axes[layout.names.index(name)]
            p, q = layout.part(baseline.counts, name), layout.part(after, name)
            words = ("in training", "recently")
            picture = histogram(name, axis.labels(), p.tolist(), q.tolist(), words)
            if q.sum():
                psi_now, null_now = psi(q, p), null_rate(q)
        sounding = tuple(kind.value for kind in Kind if f"{name}/{kind.value}" in whole.sounding)
        sizes = [
            (mine.get("values"), material[Kind.VALUES]),
            (mine.get("nulls"), material[Kind.NULLS]),
            (psi_now, material[Kind.DRIFT]),
        ]
        weight = max((size / least for size, least in sizes if size is not None), default=0.0)
        out.append(
            FeatureView(
                name,
                views.get(name, "the answer"),
                sounding,
                mine.get("values"),
                mine.get("nulls"),
                slow.get("drift"),
                psi_now,
                null_now,
                weight,
                picture,
            )
        )
    return sorted(out, key=lambda f: (not f.sounding, -f.weight, f.name))


def recent_span(whole: Whole) -> float:
    """Seconds that the recent side of the pictures covers."""
    file = whole.glance.file
    return parse_duration(file.watch.window) * min(RECENT_WINDOWS, len(whole.glance.grid.starts))


def _by_feature(verdict: WindowVerdict | None) -> dict[str, Mapping[str, float]]:
    out: dict[str, dict[str, float]] = {}
    for reading in verdict.detail.get("readings", []) if verdict else []:
        size = reading.get("size")
        if isinstance(size, int | float) and math.isfinite(size):
            out.setdefault(str(reading["feature"]), {})[str(reading["kind"])] = float(size)
    return dict(out)

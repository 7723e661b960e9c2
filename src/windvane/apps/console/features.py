"""A model's features, ranked by how far they moved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from windvane.apps.console.reading import ModelPage
from windvane.apps.console.svg import Histogram, histogram
from windvane.apps.console.traffic import Counts, feature_counts
from windvane.core.authorization import bin_labels
from windvane.core.drift import Kind, null_rate, psi
from windvane.core.sketch import Layout
from windvane.ports.control_store import WindowVerdict
from windvane.usecases.count_rows import views_of
from windvane.usecases.monitors.drift_table import material_sizes


@dataclass(frozen=True, slots=True)
class FeatureView:
    """One feature: what was measured by kind, and its picture.

    ``psi_now`` compares the windows since ``since`` with the training data: the page's whole
    range, or from where an alarm that sounds began. ``drift`` is the steward's own last
    reading of the same. ``weight`` is the largest effect in units of what counts as material.
    """

    name: str
    view: str
    sounding: tuple[str, ...]
    since: float | None
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


def feature_views(page: ModelPage) -> list[FeatureView]:
    """Sounding ones first, then by the size of their effect."""
    file = page.glance.file
    material = material_sizes(file)
    read, drifted = _by_feature(page.features), _by_feature(page.drift)
    layout, baseline = page.layout, page.baseline
    counted = _CountsFrom(page)
    own = [spec.name for spec in file.schema]
    names = list(dict.fromkeys([*own, *(layout.names if layout else ())]))
    views = views_of(file.schema, names)
    out: list[FeatureView] = []
    for name in names:
        mine, slow = read.get(name, {}), drifted.get(name, {})
        sounding, since = _sounding(page, name)
        picture, psi_now, null_now = None, None, None
        if layout and baseline and name in layout.names:
            axis = layout.axes[layout.names.index(name)]
            p, q = layout.part(baseline.counts, name), layout.part(counted(layout, since), name)
            words = ("in training", "since the alarm began" if since else "in the range shown")
            labels = bin_labels(axis.labels(), name, file.pii)
            picture = histogram(name, labels, p.tolist(), q.tolist(), words)
            if q.sum():
                psi_now, null_now = psi(q, p), null_rate(q)
        sizes = [
            (mine.get("values"), material[Kind.VALUES]),
            (mine.get("nulls"), material[Kind.NULLS]),
            (psi_now, material[Kind.DRIFT]),
        ]
        weight = max((size / least for size, least in sizes if size is not None), default=0.0)
        out.append(
            FeatureView(
                name=name,
                view=views.get(name, "the answer"),
                sounding=sounding,
                since=since,
                values=mine.get("values"),
                nulls=mine.get("nulls"),
                drift=slow.get("drift"),
                psi_now=psi_now,
                null_now=null_now,
                weight=weight,
                picture=picture,
            )
        )
    return sorted(out, key=lambda f: (not f.sounding, -f.weight, f.name))


class _CountsFrom:
    """Bins of all features from a time on, each start counted once."""

    def __init__(self, page: ModelPage) -> None:
        self._page = page
        self._held: dict[float, Counts] = {}

    def __call__(self, layout: Layout, since: float | None) -> Counts:
        start = self._page.glance.grid.starts[0] if since is None else since
        if start not in self._held:
            found = [(k, s) for k, s in self._page.found if k.start >= start]
            self._held[start] = feature_counts(found, layout)
        return self._held[start]


def _sounding(page: ModelPage, name: str) -> tuple[tuple[str, ...], float | None]:
    """The kinds whose alarm is open, and when the first of them began within the range."""
    held = {
        kind.value: page.sounding[stream]
        for kind in Kind
        if (stream := f"{name}/{kind.value}") in page.sounding
    }
    began = [state.since for state in held.values() if state.since is not None]
    first = page.glance.grid.starts[0]
    return tuple(held), max(first, min(began)) if began else None


def _by_feature(verdict: WindowVerdict | None) -> dict[str, Mapping[str, float]]:
    out: dict[str, dict[str, float]] = {}
    for reading in verdict.detail.get("readings", []) if verdict else []:
        size = reading.get("size")
        if isinstance(size, int | float) and math.isfinite(size):
            out.setdefault(str(reading["feature"]), {})[str(reading["kind"])] = float(size)
    return dict(out)

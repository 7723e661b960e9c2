"""How long labels take, and how many come, by what their monitor recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from windvane.apps.console import times
from windvane.apps.console.csv_files import Sheet, moment
from windvane.apps.console.svg import rising_curve
from windvane.apps.console.views import Chart
from windvane.ports.control_store import WindowVerdict


@dataclass(frozen=True, slots=True)
class LabelsView:
    """``curve``: the share of predictions that have their label by an age (s); ``ends`` are what
    four places along its axis stand for, in words. ``coverage``: the share of the oldest that has
    one; ``age``: when labels are wanted (s)."""

    verdict: WindowVerdict
    coverage: float
    age: float
    curve: tuple[tuple[float, float], ...]
    picture: Markup
    ends: tuple[str, ...]
    chart: Chart | None

    @property
    def by_then(self) -> float:
        """The share that usually has its label when labels are wanted."""
        return max((share for edge, share in self.curve if edge <= self.age), default=0.0)


def labels_view(looks: Sequence[WindowVerdict]) -> LabelsView | None:
    """Of looks at all labels of a model, newest first; None where none has a curve."""
    newest = next((one for one in looks if one.detail.get("curve")), None)
    if newest is None:
        return None
    curve = tuple((float(edge), float(share)) for edge, share in newest.detail["curve"])
    coverage, age = float(newest.detail["coverage"]), float(newest.detail["age"])
    words = f"{coverage:.1%} of predictions get a label; " + ", ".join(
        f"{share:.0%} after {times.about(edge)}"
        for edge, share in curve[:: max(1, len(curve) // 5)]
    )
    picture, places = rising_curve(curve, age or None, words)
    ends = tuple(times.about(at) for at in places)
    return LabelsView(newest, coverage, age, curve, picture, ends, _coverage_chart(looks))


def _coverage_chart(looks: Sequence[WindowVerdict]) -> Chart | None:
    held = [one for one in reversed(looks) if "coverage" in one.detail]
    if len(held) < 2:
        return None
    values = [round(100.0 * float(one.detail["coverage"]), 2) for one in held]
    at = [float(one.detail["block"]) for one in held]
    data: dict[str, Any] = {
        "t": at, "unit": "%", "marks": [],
        "series": [{"label": "have a label", "colour": "ink", "values": values}],
    }  # fmt: skip
    sentence = f"{min(values):g}% to {max(values):g}% have a label, last {values[-1]:g}%"
    return Chart("coverage", "Label coverage", "% of the oldest predictions", sentence, data)


def delays_sheet(looks: Sequence[WindowVerdict]) -> Sheet:
    view = labels_view(looks)
    return Sheet("delays", ("age_s", "share_with_label"), view.curve if view else ())


def coverage_sheet(looks: Sequence[WindowVerdict]) -> Sheet:
    rows = [
        (moment(float(d["block"])), d.get("coverage"), d.get("age"), one.outcome, one.code,
         one.sentence)
        for one in looks
        if "block" in (d := one.detail)
    ]  # fmt: skip
    columns = ("block", "coverage", "age_s", "outcome", "code", "sentence")
    return Sheet("coverage", columns, rows)

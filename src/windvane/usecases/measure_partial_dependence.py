"""What a version makes of each of its most important features, once, as it is registered."""

from __future__ import annotations

import base64
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from windvane.core.explanation import (
    MOST_FEATURES,
    MOST_ROWS,
    Curve,
    PartialDependence,
    choose_grid,
    has_range,
    mean_answer,
    quartiles_of,
)
from windvane.core.signature import FeatureSpec
from windvane.core.task import ExplainedNumber, Outputs, Task, by_row
from windvane.ports.learner import Columns, TrainingData

WITHIN_S = 10.0
_MOST_RANKED = 512
_MOST_BYTES = 1 << 20
_SEED = 0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A version with rows to vary. ``late``: no time is left."""

    predict: Callable[[Columns], Outputs]
    columns: Mapping[str, Sequence[Any]]
    rows: int
    number: ExplainedNumber
    late: Callable[[], bool]

    def answers(self, feature: str, values: Sequence[Any]) -> Floats | None:
        """(rows,): the answers with other values of a feature; None where there are none, for a
        model may fail on values that it never saw."""
        try:
            outputs = self.predict({**self.columns, feature: values})
            found = by_row(outputs[self.number.place])[:, self.number.index]
        except Exception:
            return None
        return found if len(found) == self.rows else None


def measure_partial_dependence(
    predict: Callable[[Columns], Outputs],
    task: Task,
    used: Sequence[FeatureSpec],
    private: Collection[str],
    data: TrainingData,
    now: Callable[[], float],
    within_s: float = WITHIN_S,
) -> PartialDependence:
    """By rows that lie evenly over ``data``, of the most important features among those
    ``used``; of none in ``private``, whose values are shown to nobody. ``now`` is a clock in
    seconds; what is not there ``within_s`` is left out, the least important first. Never raises
    what a model raises."""
    until = now() + within_s
    places = np.linspace(0, data.rows - 1, min(MOST_ROWS, data.rows)).round().astype(int).tolist()
    columns = {name: [held[i] for i in places] for name, held in data.columns.items()}
    nothing = PartialDependence("", len(places), 0, ())
    try:
        outputs = predict(columns)
        number = _number(task, outputs)
        base = None if number is None else by_row(outputs[number.place])[:, number.index]
    except Exception as error:
        return replace(nothing, missing=f"the version failed: {type(error).__name__}")
    if number is None or base is None:
        return replace(nothing, missing="the model's outputs have no single number to explain")
    asked = _Asked(predict, columns, len(places), number, lambda: now() >= until)
    drawn = [spec for spec in used if has_range(spec) and spec.name not in private]
    ranked = _ranked(asked, drawn[:_MOST_RANKED], base)
    curves: list[Curve] = []
    missing = ""
    for spec, importance in ranked[:MOST_FEATURES]:
        if asked.late():
            missing = f"there was no time for more within {within_s:g} s"
            break
        curve = _curve(asked, spec, data.columns[spec.name], importance)
        if curve is not None:
            curves.append(curve)
    return PartialDependence(number.name, len(places), len(ranked), tuple(curves), missing)


def pack_partial_dependence(found: PartialDependence) -> str:
    """As text, for a version's record."""
    return base64.b64encode(zlib.compress(msgspec.json.encode(found), 6)).decode()


def unpack_partial_dependence(packed: str) -> PartialDependence | None:
    """None of a version from before it was computed. Raises ValueError of what is no such text."""
    if not packed:
        return None
    engine = zlib.decompressobj()
    try:
        text = engine.decompress(base64.b64decode(packed), _MOST_BYTES)
        return msgspec.json.decode(text, type=PartialDependence)
    except (zlib.error, msgspec.DecodeError) as error:
        raise ValueError(f"a version's partial dependence cannot be read: {error}") from error


def _number(task: Task, outputs: Outputs) -> ExplainedNumber | None:
    """Of the numbers that single rows are explained by, the most frequent: one is moved over all
    rows."""
    rows = [row for row in task.rows(outputs) if row is not None]
    found = Counter(one for row in rows if (one := task.explained(row)) is not None)
    return found.most_common(1)[0][0] if found else None


def _ranked(
    asked: _Asked, drawn: Sequence[FeatureSpec], base: Floats
) -> list[tuple[FeatureSpec, float]]:
    """By the mean absolute change of an answer when the feature's values are shuffled among the
    rows, the largest first (Breiman 2001, "Random Forests", section 10, without labels)."""
    order = np.random.default_rng(_SEED).permutation(asked.rows).tolist()
    out: list[tuple[FeatureSpec, float]] = []
    for spec in drawn:
        answers = None
        if not asked.late():
            column = asked.columns[spec.name]
            answers = asked.answers(spec.name, [column[i] for i in order])
        with np.errstate(over="ignore", invalid="ignore"):
            moved = None if answers is None else mean_answer(np.abs(answers - base))
        out.append((spec, moved or 0.0))
    return sorted(out, key=lambda pair: (-pair[1], pair[0].name))


def _curve(
    asked: _Asked, spec: FeatureSpec, column: Sequence[Any], importance: float
) -> Curve | None:
    """None where the model answers no point, or there is no time for all of them."""
    points = list(choose_grid(spec, column))
    for i, point in enumerate(points):
        if asked.late():
            return None
        answers = asked.answers(spec.name, [point.value] * asked.rows)
        points[i] = replace(point, answer=None if answers is None else mean_answer(answers))
    if all(point.answer is None for point in points):
        return None
    return Curve(spec.name, tuple(points), quartiles_of(spec, column), importance)

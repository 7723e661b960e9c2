"""Numbers: one or several outputs, each perhaps with quantiles, or over several horizons."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from windvane.core.signature import MAX_MAGNITUDE, OutputSpec, read_numbers, show
from windvane.core.task.base import (
    OUTPUT,
    ExplainedNumber,
    Floats,
    OutputRow,
    Outputs,
    Quality,
    Task,
    as_mapping,
    by_row,
    finite_number,
)
from windvane.core.task.spec import BadLabel, BadTask, TaskSpec

CROSSED_QUANTILES = "crossed_quantiles"


class RegressionTask(Task):
    """A row's label has one number for each output and horizon. With quantiles all of them are
    judged; errors in the label's unit are those of the middle one, or the one nearest to it."""

    kind = "regression"
    metric = "mae"
    larger_is_better = False
    loss_is_relative = True

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        quantiles = spec.quantiles
        if list(quantiles) != sorted(set(quantiles)) or any(not 0 < q < 1 for q in quantiles):
            raise BadTask(f"quantiles {list(quantiles)} must grow, between 0 and 1")
        names = [f"{q:g}" for q in quantiles]
        if len(set(names)) != len(names):
            raise BadTask(
                f"quantiles {list(quantiles)} are too near to one another",
                hint="six digits tell them apart: 0.000001",
            )
        widths = {f"{name}_width" for name in spec.outputs} if len(quantiles) > 1 else set[str]()
        for name in widths.intersection(spec.outputs):
            raise BadTask(
                f"the output {name!r} has the name of a width between quantiles",
                hint="call it otherwise",
            )
        if len(set(spec.horizons)) != len(spec.horizons):
            raise BadTask("a horizon is named twice")
        if spec.low is not None and spec.high is not None and spec.low > spec.high:
            raise BadTask(f"range: [{spec.low:g}, {spec.high:g}] must grow")
        inner = tuple(len(axis) for axis in (spec.horizons, quantiles) if axis)
        self.outputs = tuple(OutputSpec(name, inner) for name in spec.outputs or ("value",))
        self._low = -MAX_MAGNITUDE if spec.low is None else max(spec.low, -MAX_MAGNITUDE)
        self._high = MAX_MAGNITUDE if spec.high is None else min(spec.high, MAX_MAGNITUDE)
        if self._low > self._high:
            raise BadTask(f"range: no number is beyond {MAX_MAGNITUDE:g}")
        middle = [abs(q - 0.5) for q in quantiles]
        self.flagged = len(quantiles) > 1
        self.metric = "pinball" if quantiles else "mae"
        self._middle = middle.index(min(middle)) if middle else 0

    def rows(self, outputs: Outputs) -> list[OutputRow | None]:
        if len(outputs) == 1 and outputs[0].ndim == 1:
            low, high = self._low, self._high
            return [(v,) if low <= v <= high else None for v in outputs[0].tolist()]
        good = np.ones(len(outputs[0]), bool)
        for found in outputs:
            flat = by_row(found)
            fits = (flat >= self._low) & (flat <= self._high)  # NaN is on neither side
            good &= fits.all(axis=1)
        held = list(zip(*(found.tolist() for found in outputs), strict=True))
        return [row if fine else None for row, fine in zip(held, good.tolist(), strict=True)]

    def flags(self, row: OutputRow) -> tuple[str, ...]:
        """Whether a quantile lies below a smaller one, of any output at any horizon: then no
        interval between them can be right."""
        for held in row if self.flagged else ():
            curves = held if self.spec.horizons else (held,)
            if any(high < low for curve in curves for low, high in pairwise(curve)):
                return (CROSSED_QUANTILES,)
        return ()

    def value(self, row: OutputRow) -> Any:
        """The first output: its middle quantile; over horizons a list."""
        return self._central(row[0])

    def _central(self, held: Any) -> Any:
        if not self.spec.quantiles:
            return held
        if self.spec.horizons:
            return [one[self._middle] for one in held]
        return held[self._middle]

    def named(self, row: OutputRow) -> dict[str, Any]:
        return {spec.name: self._shaped(held) for spec, held in zip(self.outputs, row, strict=True)}

    @property
    def part_names(self) -> tuple[tuple[str, ...], ...]:
        axes = (tuple(self.spec.horizons), tuple(f"{q:g}" for q in self.spec.quantiles))
        return tuple(axis for axis in axes if axis)

    def _shaped(self, held: Any) -> Any:
        """Quantiles and horizons by their names."""
        quantiles, horizons = [f"{q:g}" for q in self.spec.quantiles], self.spec.horizons
        if horizons:
            return {
                name: dict(zip(quantiles, one, strict=True)) if quantiles else one
                for name, one in zip(horizons, held, strict=True)
            }
        return dict(zip(quantiles, held, strict=True)) if quantiles else held

    def constant(self, given: Any) -> OutputRow:
        by_name = as_mapping(given) or dict.fromkeys([o.name for o in self.outputs], given)
        out: list[Any] = []
        for spec in self.outputs:
            if spec.name not in by_name:
                raise BadTask(f"the constant has no {spec.name}")
            value = by_name[spec.name]
            try:
                number = finite_number(value, spec.name)
            except BadLabel as error:
                raise BadTask(error.message) from error
            if not self._low <= number <= self._high:
                raise BadTask(f"{show(value)} is outside {self._low:g} to {self._high:g}")
            out.append(np.full(spec.shape, number).tolist() if spec.shape else number)
        return tuple(out)

    def label(self, given: Any) -> Any:
        if len(self.outputs) == 1 and not self.spec.horizons:
            return self._in_range(given)
        wanted = len(self.outputs) * max(1, len(self.spec.horizons))
        by_name = as_mapping(given)
        if by_name is not None:
            given = [by_name.get(spec.name) for spec in self.outputs]
            flat: list[Any] = []
            for one in given:
                flat += one if isinstance(one, list) else [one]
            given = flat
        if not isinstance(given, list | tuple) or len(given) != wanted:  # pyright: ignore[reportUnknownArgumentType]
            raise BadLabel(f"a label has {wanted} numbers, got {show(given)}")
        return [self._in_range(one) for one in given]  # pyright: ignore[reportUnknownVariableType]

    def parse_label(self, text: str) -> Any:
        if len(self.outputs) == 1 and not self.spec.horizons:
            return super().parse_label(text)
        try:
            return read_numbers(text)
        except ValueError as error:
            raise BadLabel(f"the label {error}") from error

    def _in_range(self, given: Any) -> float:
        value = finite_number(given, "the label")
        if not self._low <= value <= self._high:
            raise BadLabel(f"the label {value:g} is outside {self._low:g} to {self._high:g}")
        return value

    def _errors(self, outputs: Outputs, labels: Floats) -> Floats:
        """(rows, outputs x horizons): what was said less what was true."""
        parts: list[Floats] = []
        for found in outputs:
            central = found[..., self._middle] if self.spec.quantiles else found
            parts.append(by_row(central))
        predicted = np.concatenate(parts, axis=1)
        return predicted - by_row(labels)

    def losses(self, outputs: Outputs, labels: Floats) -> Floats:
        """Absolute errors; with quantiles the pinball loss, whose mean only the true quantiles
        make least (Koenker and Bassett, Econometrica 46, 1978)."""
        if self.spec.quantiles:
            return self._pinball(outputs, labels).mean(axis=(1, 2, 3))
        return np.abs(self._errors(outputs, labels)).mean(axis=1)

    def residuals(self, outputs: Outputs, labels: Floats) -> Floats:
        return -self._errors(outputs, labels).mean(axis=1)

    def _pinball(self, outputs: Outputs, labels: Floats) -> Floats:
        """(rows, outputs, horizons, quantiles)."""
        count = len(self.spec.quantiles)
        said = np.stack([o.reshape(len(o), -1, count) for o in outputs], axis=1)
        return self._pinball_of(
            by_row(labels).reshape(len(labels), len(self.outputs), -1, 1) - said
        )

    def _pinball_of(self, apart: Floats) -> Floats:
        """Of truth less each quantile, (..., quantiles)."""
        quantiles = np.array(self.spec.quantiles)
        return np.maximum(quantiles * apart, (quantiles - 1) * apart)

    def naive_losses(self, labels: Floats) -> Floats:
        """Of the median, or of the quantiles, of these labels."""
        flat = by_row(labels)
        if not self.spec.quantiles:
            return np.abs(flat - np.median(flat, axis=0)).mean(axis=1)
        apart = flat[:, :, None] - np.quantile(flat, self.spec.quantiles, axis=0).T
        return self._pinball_of(apart).mean(axis=(1, 2))

    def metrics(self, outputs: Outputs, labels: Floats) -> dict[str, float]:
        errors = self._errors(outputs, labels)
        truth = by_row(labels)
        spread = float(((truth - truth.mean(axis=0)) ** 2).sum())
        means = self.row_metrics(outputs, labels)
        found = {
            "mae": float(means["mae"].mean()),
            "rmse": float(np.sqrt((errors**2).mean())),
            "bias": float(means["bias"].mean()),
            "r2": 1.0 - float((errors**2).sum()) / spread if spread else float("nan"),
        }
        quantiles = np.array(self.spec.quantiles)
        if len(quantiles):
            apart = truth.reshape(len(truth), len(self.outputs), -1, 1) - np.stack(
                [o.reshape(len(o), -1, len(quantiles)) for o in outputs], axis=1
            )
            found["pinball"] = float(self._pinball(outputs, labels).mean())
            if len(quantiles) > 1:
                inside = (apart[..., 0] >= 0.0) & (apart[..., -1] <= 0.0)
                found["coverage"] = float(inside.mean())
        return found

    def row_metrics(self, outputs: Outputs, labels: Floats) -> dict[str, Floats]:
        errors = self._errors(outputs, labels)
        return {
            self.metric: self.losses(outputs, labels),
            "mae": np.abs(errors).mean(axis=1),
            "bias": errors.mean(axis=1),
        }

    def row_ranges(self, outputs: Outputs) -> dict[str, tuple[float, float]]:
        """By the contract's range, where it has both ends."""
        del outputs
        ends = self.spec.low is not None and self.spec.high is not None
        most = self._high - self._low if ends else math.inf
        return {self.metric: (0.0, most), "mae": (0.0, most), "bias": (-most, most)}

    def explained(self, row: OutputRow) -> ExplainedNumber:
        """The first output: at the first horizon, its middle quantile."""
        del row
        name = self.outputs[0].name
        if self.spec.horizons:
            name = f"{name} {self.spec.horizons[0]}"
        if self.spec.quantiles:
            name = f"{name} {self.spec.quantiles[self._middle]:g}"
        return ExplainedNumber(name, index=self._middle)

    def quality(self, outputs: Outputs, labels: Floats, alpha: float) -> Quality:
        _, most = self.row_ranges(outputs)[self.metric]
        return Quality.of_losses(self.metric, self.losses(outputs, labels), alpha, most)

    def naive(self, labels: Floats) -> float:
        return float(self.naive_losses(labels).mean()) if len(labels) else 0.0

    def streams(self, outputs: Outputs) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for i, (spec, found) in enumerate(zip(self.outputs, outputs, strict=True)):
            central = found[..., self._middle] if self.spec.quantiles else found
            flat = by_row(central)
            out[OUTPUT if i == 0 else f"{OUTPUT}#{spec.name}"] = flat.mean(axis=1)
            if len(self.spec.quantiles) > 1:
                width = by_row(found[..., -1] - found[..., 0])
                out[f"{OUTPUT}#{spec.name}_width"] = width.mean(axis=1)
        return out

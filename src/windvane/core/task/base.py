"""What every kind of task answers for; nobody else asks which kind a model is of."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from windvane.core.signature import (
    MAX_MAGNITUDE,
    OutputMapping,
    OutputSpec,
    Transform,
    read_number,
    show,
)
from windvane.core.sketch import Axis, CategoryAxis, NumericAxis
from windvane.core.statistics import mean_bounds, unseen_reach, unseen_share, weighted_auc
from windvane.core.task.mapping import ModelOutputs, only_output
from windvane.core.task.spec import BadLabel, BadTask, TaskSpec

Floats = NDArray[np.float64]
Outputs = Sequence[Floats]
"""A task's outputs in its order, each (rows, *shape)."""
OutputRow = tuple[Any, ...]
"""One row's outputs in the task's order, as Python's own: floats, or lists of them."""

OUTPUT = "output"
Scalar = TypeVar("Scalar", bound=np.generic)
_LEAST_ROWS = 30  # fewer show neither how losses spread nor how skewed they are
_LEAST_UNSEEN_LEVEL = 0.01
_WHOLE_FLOAT = re.compile(r"-?[0-9]+\.0+")


def is_output_axis(name: str) -> bool:
    """Whether an axis of a layout counts outputs: on a version's own bins, a summary (``#``), or
    on the bins of another version (``@``)."""
    return name == OUTPUT or name.startswith((f"{OUTPUT}#", f"{OUTPUT}@"))


def metric_name(metric: str) -> str:
    """As people write it: AUC, MAE, accuracy."""
    return metric.upper() if len(metric) <= 4 else metric


@dataclass(frozen=True, slots=True)
class Quality:
    """How good outputs are by the task's own metric, with one-sided bounds at the level that
    was asked for. ``larger_is_better``; ``missing`` says what keeps it from being told.
    ``unseen`` is the part of ``upper`` that a mean of losses has for large ones that are too rare
    to be among the rows."""

    metric: str
    value: float
    lower: float
    upper: float
    rows: int
    larger_is_better: bool = True
    missing: str = ""
    unseen: float = 0.0

    def worse_than(self, floor: float) -> bool:
        """Beyond its sampling error."""
        return self.upper < floor if self.larger_is_better else self.lower > floor

    def at_least(self, floor: float) -> bool:
        """Beyond its sampling error."""
        return self.lower >= floor if self.larger_is_better else self.upper <= floor

    def widened(self, reach: float, *, skewed: bool = True) -> Quality:
        """With bounds that are at least so far from the value. Where larger is better it is a
        share, from 0 to 1, whose error is ``skewed``: there it is so on the scale of log-odds, too,
        unless the reach was measured around another value than this."""
        lower = min(self.lower, max(self.value - reach, 0.0))
        upper = max(self.upper, self.value + reach + self.unseen)
        if self.larger_is_better:
            spread = self.value * (1.0 - self.value)
            if spread > 0.0 and skewed:
                odds, far = math.log(self.value / (1.0 - self.value)), reach / spread
                lower = min(lower, _share_of(odds - far))
                upper = max(upper, _share_of(odds + far))
            upper = min(upper, 1.0)
        return replace(self, lower=lower, upper=upper)

    def by_seen(self) -> Quality:
        """With bounds for such losses only as are among the rows."""
        return replace(self, upper=self.upper - self.unseen, unseen=0.0)

    def by_units(self, units: int, alpha: float) -> Quality:
        """Where rows of one of so many ``units`` go wrong together: what is rare among units is in
        fewer of them than there are rows."""
        level = max(alpha, _LEAST_UNSEEN_LEVEL)
        if self.unseen <= 0.0 or units >= self.rows:
            return self
        unseen = self.unseen * unseen_share(units, level) / unseen_share(self.rows, level)
        return replace(self, upper=self.upper - self.unseen + unseen, unseen=unseen)

    @classmethod
    def of_losses(
        cls,
        metric: str,
        losses: Floats,
        alpha: float,
        most: float = math.inf,
        *,
        has_unit: bool = True,
    ) -> Quality:
        """The mean of losses (rows,), smaller is better, of which none exceeds ``most``. What was
        not seen is in the upper bound as `unseen_reach` has it, at a level of no less than 1%:
        only that answers are good enough hangs on it, and that pages nobody."""
        rows = len(losses)
        if rows < _LEAST_ROWS:
            value = float(losses.mean()) if rows else 0.0
            missing = f"{_LEAST_ROWS - rows} more rows with an outcome"
            return cls(metric, value, 0.0, 0.0, rows, False, missing)
        lower, upper = mean_bounds(losses, alpha)
        lower, mean = max(lower, min(0.0, float(losses.min()))), float(losses.mean())
        level = max(alpha, _LEAST_UNSEEN_LEVEL)
        unseen = unseen_reach(losses, mean, most, rows, level, has_unit=has_unit)
        return cls(metric, mean, lower, upper + unseen, rows, False, unseen=unseen)


def _share_of(log_odds: float) -> float:
    return 0.5 * (1.0 + math.tanh(log_odds / 2.0))


@dataclass(frozen=True, slots=True)
class ExplainedNumber:
    """The one number of a row's outputs that an explanation is about: ``name`` for people, the
    ``place`` of its output among the task's and its ``index`` in a row of that, flattened."""

    name: str
    place: int = 0
    index: int = 0
    probability: bool = False

    def of(self, row: OutputRow) -> float:
        """Its value in a row of the task's outputs."""
        return float(np.asarray(row[self.place], np.float64).flat[self.index])


class Task(ABC):
    """One kind of model. Stateless but for its spec; safe to share.

    A kind is one file with a class, and one line in ``KINDS``.
    """

    kind: ClassVar[str]
    metric: str
    larger_is_better: ClassVar[bool] = True
    loss_is_relative: ClassVar[bool] = False
    """Whether a margin of loss is a share of the champion's own, for it has a unit."""
    logits: ClassVar[Transform] = Transform.NONE
    """What makes probabilities of a model's log-odds."""
    outputs: tuple[OutputSpec, ...]
    flagged: bool = False
    """Whether ``flags`` may say anything: who has many rows to serve asks this first."""

    def __init__(self, spec: TaskSpec) -> None:
        """Raises BadTask."""
        self.spec = spec

    def mappings(self, found: ModelOutputs) -> tuple[OutputMapping, ...]:
        """Which of a model's own outputs are the task's. Raises BadOutputs."""
        if len(self.outputs) > 1:
            return tuple(OutputMapping(spec.name, spec.name) for spec in self.outputs)
        return only_output(self.kind, next(iter(self.outputs)), found)

    @abstractmethod
    def rows(self, outputs: Outputs) -> list[OutputRow | None]:
        """Each row's outputs; None where one is not what the task promises: not finite, no
        probability, out of range."""

    def wrong(self, outputs: Outputs, row: int) -> str:
        """What is wrong with a row that ``rows`` gives None for."""
        held = [show(np.asarray(found[row]).tolist()) for found in outputs]
        return f"{self.kind} outputs cannot be {', '.join(held)}"

    def flags(self, row: OutputRow) -> tuple[str, ...]:
        """What is odd about a row's outputs that are served all the same, in words for the answer
        and the event; nothing where the task is not ``flagged``."""
        del row
        return ()

    @abstractmethod
    def value(self, row: OutputRow) -> Any:
        """The one thing that a client looks at, as JSON has it."""

    def named(self, row: OutputRow) -> dict[str, Any]:
        """Every output by its name, as JSON has it."""
        return {spec.name: held for spec, held in zip(self.outputs, row, strict=True)}

    @property
    def part_names(self) -> tuple[tuple[str, ...], ...]:
        """What `named` calls the parts of an output, axis by axis; none where it shows lists."""
        return ()

    def unnamed(self, spec: OutputSpec, shown: Any) -> Any:
        """An output as `named` shows it, or as nested lists, as nested lists. Raises ValueError
        for parts that it has not."""
        return _in_order(spec.name, shown, self.part_names)

    @abstractmethod
    def constant(self, given: Any) -> OutputRow:
        """The outputs that a constant or a rule of the model's file gives. Raises BadTask."""

    @abstractmethod
    def label(self, given: Any) -> Any:
        """A label or outcome as ``losses`` and ``quality`` take it, and as the log keeps it: a
        number, or a list of numbers. Raises BadLabel."""

    def parse_label(self, text: str) -> Any:
        """What a cell of a table of texts says, for ``label``. Raises BadLabel."""
        try:
            return read_number(text)
        except ValueError as error:
            raise BadLabel(f"the label {error}") from error

    def outcome(self, given: Any) -> Any:
        """A label that comes by itself, without a table around it that shows which others there
        are: as `label`, and nothing is taken for what nobody named. Raises BadLabel."""
        return self.label(given)

    def could_be_label(self, kept: float | Sequence[float]) -> bool:
        """Whether the task can have a label that is kept as `label` gives it. One may be left from
        before the task changed."""
        try:
            self.label(kept)
        except BadLabel:
            return False
        return True

    def told_label(self, kept: Any) -> Any:
        """A label that is kept as `label` gives it, as people write it."""
        return kept

    def odd_labels(self, given: Iterable[Any]) -> str:
        """What is wrong with all labels of a table, as they stand there, that is not with one
        of them; "" for nothing."""
        del given
        return ""

    @abstractmethod
    def losses(self, outputs: Outputs, labels: Floats) -> Floats:
        """(rows,): what each row's outputs cost now that its label is known, 0 for perfect."""

    decides: ClassVar[bool] = False
    """Whether an answer is a decision that is right or wrong: ``accuracy`` is of `row_metrics`."""

    def right(
        self, outputs: Outputs, labels: Floats, most_loss: float | None = None
    ) -> NDArray[np.bool_]:
        """(rows,): whose decision was right; with ``most_loss``, which cost at most that. Only that
        can be asked of a task that does not ``decide``."""
        if most_loss is not None:
            return self.losses(outputs, labels) <= most_loss
        return self.row_metrics(outputs, labels)["accuracy"] > 0.5

    loss_bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    """What `excess_losses` cannot leave, where they have no unit."""

    def excess_losses(self, outputs: Outputs, labels: Floats) -> Floats:
        """(rows,): by how much each row costs more than its outputs themselves expect it to, so
        that harder rows are no loss of skill; what it costs where outputs expect nothing."""
        return self.losses(outputs, labels)

    def residuals(self, outputs: Outputs, labels: Floats) -> Floats | None:
        """(rows,): labels less what was said; None where they are not one number."""
        del outputs, labels
        return None

    def positives(self, labels: Floats) -> Floats | None:
        """(rows,): 1 where the label is the one that outputs are the probability of, else 0; None
        where there is no such one."""
        del labels
        return None

    @abstractmethod
    def metrics(self, outputs: Outputs, labels: Floats) -> dict[str, float]:
        """Point estimates for people, by the field's names."""

    @abstractmethod
    def quality(self, outputs: Outputs, labels: Floats, alpha: float) -> Quality:
        """By the task's metric, with bounds at level ``alpha``."""

    def parts(self, outputs: Outputs, labels: Floats) -> Floats:
        """(rows,): each row's part of the metric less the metric, in units of it, whose mean is
        zero; empty where the task has no metric. What blocks of rows add up to shows how rows go
        wrong together."""
        losses = self.losses(outputs, labels)
        return losses - losses.mean() if bool(np.isfinite(losses).all()) else np.empty(0)

    def row_metrics(self, outputs: Outputs, labels: Floats) -> dict[str, Floats]:
        """(rows,) by name: what each row has of the metrics that are means over rows, the task's
        own first where it is one."""
        return {self.metric: self.losses(outputs, labels)}

    def row_ranges(self, outputs: Outputs) -> dict[str, tuple[float, float]]:
        """(least, most) of what a row with such outputs can have of each of `row_metrics`,
        whatever its label is; infinite where nothing bounds it."""
        del outputs
        return {self.metric: (0.0, math.inf)}

    def ranked(self, labels: Floats) -> NDArray[np.bool_] | None:
        """(rows,): which rows the metric wants ranked above the others, by their first output;
        None where the metric is a mean over rows."""
        del labels
        return None

    def weighted(self, outputs: Outputs, labels: Floats, weights: Floats) -> tuple[float, Floats]:
        """The metric where each row stands for ``weights`` (rows,) rows, and ``parts`` of it so,
        whose weighted mean is zero."""
        above = self.ranked(labels)
        if above is not None:
            return weighted_auc(outputs[0], above, weights)
        values = self.row_metrics(outputs, labels)[self.metric]
        mean = float(np.average(values, weights=weights))
        return mean, values - mean

    estimated_by: ClassVar[str] = OUTPUT
    """The axis of ``streams`` by whose bins the metric is estimated while labels are missing."""

    @abstractmethod
    def naive(self, labels: Floats) -> float | None:
        """What the best constant answer has of the metric; None where nothing can be said."""

    def over_naive(self, outputs: Outputs, labels: Floats) -> Floats | None:
        """(rows,): by how much worse each row is than by the constant that is best for these very
        rows, in units of the metric; None where a constant's metric is known beforehand. Both are
        wrong about the same rows, so the mean of this is known better than either."""
        constant = self.naive_losses(labels)
        return None if constant is None else self.losses(outputs, labels) - constant

    def naive_losses(self, labels: Floats) -> Floats | None:
        """(rows,): what each row costs with the constant that is best for these very rows; None
        where the metric is no mean of losses."""
        del labels
        return None

    def constant_losses(self, labels: Floats) -> Floats:
        """(rows,): `losses` of the constant that is best for these very rows; NaN where none is."""
        naive = self.naive_losses(labels)
        return np.full(len(labels), np.nan) if naive is None else naive

    @abstractmethod
    def streams(self, outputs: Outputs) -> dict[str, Any]:
        """What sketches count of the outputs: columns (rows,) of numbers or names by axis."""

    compares_by_spread: ClassVar[bool] = True
    """Whether `disagreement` is in units of how widely answers are spread."""

    def disagreement(
        self, outputs: Outputs, others: Outputs, spread: float = 1.0
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """(rows,) from 0 to 1: how far apart two answers to each row are, and whether they are
        another decision (never, of a task that does not ``decide``). Of numbers it is the absolute
        difference of what `streams` has first, in units of ``spread``, where more than one counts
        as one: a single answer far off must not outweigh all others."""
        mine, theirs = (next(iter(self.streams(held).values())) for held in (outputs, others))
        apart = np.abs(np.asarray(mine, np.float64) - np.asarray(theirs, np.float64))
        return np.minimum(apart / spread, 1.0), np.zeros(len(apart), bool)

    def axes(self, outputs: Outputs) -> tuple[Axis, ...]:
        """Axes for ``streams``, with edges from these very outputs. A fixed grid is blind where
        all scores lie in one of its bins."""
        return tuple(
            CategoryAxis(name, self.spec.classes)
            if isinstance(column, list)
            else NumericAxis.fit(name, np.asarray(column, np.float64))
            for name, column in self.streams(outputs).items()
        )

    def suspicious(self, outputs: Outputs) -> str:
        """What outputs of many rows look like that are fine one by one; "" for nothing."""
        del outputs
        return ""

    def holdout_losses(self, outputs: Outputs, labels: Floats) -> Floats:
        """Losses of rows that are judged together, for a comparison of two models: NaN where the
        task has none."""
        return self.losses(outputs, labels)

    @property
    def has_confidence(self) -> bool:
        """Whether ``confidence`` says anything."""
        return type(self).confidence is not Task.confidence

    def confidence(self, row: OutputRow) -> float | None:
        """How sure the answer is, from 0 to 1; None where a task does not say."""
        del row
        return None

    def explained(self, row: OutputRow) -> ExplainedNumber | None:
        """The number that an explanation of this row is about; None where there is no such one."""
        del row
        first = self.outputs[0]
        return None if first.shape else ExplainedNumber(first.name)

    def label_spread(self, labels: Floats) -> str:
        """What keeps a model from being learnt or judged on these labels, "" for nothing."""
        if len(labels) == 0:
            return "no row has a label"
        if not bool(np.isfinite(labels).all()):
            return "labels must be finite"
        return "labels are all the same" if bool(np.all(labels == labels[0])) else ""


def ranges_between(
    one: Mapping[str, Floats],
    other: Mapping[str, Floats],
) -> dict[str, tuple[float, float]]:
    """The least and the most of two times the same `Task.row_metrics` of at least one row."""
    return {
        name: (
            float(min(values.min(), other[name].min())),
            float(max(values.max(), other[name].max())),
        )
        for name, values in one.items()
    }


def class_name(given: Any, known: Collection[str]) -> str:
    """A label as the model's file writes it: 1, 1.0, "1" and "1.0" are the class 1 (a column
    with gaps turns whole numbers into floats), true and "True" the class true."""
    text = show(given) if isinstance(given, list | tuple | dict) else str(given)
    if text in known:
        return text
    if isinstance(given, float) and given.is_integer():
        return str(int(given))
    if text in ("True", "False", "TRUE", "FALSE"):
        other = str(int(text.lower() == "true"))
        return other if isinstance(given, bool) and other in known else text.lower()
    if isinstance(given, str) and len(given) < 64 and _WHOLE_FLOAT.fullmatch(given):
        return given.partition(".")[0]
    return text


def finite_number(given: Any, what: str) -> float:
    """Raises BadLabel."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise BadLabel(f"{what} must be a number, got {show(given)}")
    try:
        value = float(given)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise BadLabel(f"{what} must be finite, got {show(given)}")
    if abs(value) > MAX_MAGNITUDE:
        raise BadLabel(f"{what} {value:g} is outside {-MAX_MAGNITUDE:g} to {MAX_MAGNITUDE:g}")
    return value


def in_bounds(found: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(rows,): whether each row's numbers can be squared and summed; NaN cannot."""
    return np.asarray((np.abs(by_row(found)) <= MAX_MAGNITUDE).all(axis=1))


def by_row(found: NDArray[Scalar]) -> NDArray[Scalar]:
    """(rows, numbers of a row), also where there are no rows."""
    return found.reshape(len(found), math.prod(found.shape[1:]))


def probabilities(found: Floats) -> list[OutputRow | None]:
    """Rows of (rows, classes); each must lie in [0, 1]."""
    good = np.asarray(((found >= 0.0) & (found <= 1.0)).all(axis=1))  # NaN is neither
    held: list[list[float]] = found.tolist()
    if bool(good.all()):
        return [(row,) for row in held]
    return [(row,) if good[i] else None for i, row in enumerate(held)]


def _in_order(name: str, shown: Any, axes: Sequence[Sequence[str]]) -> Any:
    by_part = as_mapping(shown)
    if by_part is None:
        if axes and isinstance(shown, list | tuple):
            parts = cast("Sequence[Any]", shown)
            return [_in_order(name, part, axes[1:]) for part in parts]
        return shown
    wanted = axes[0] if axes else ()
    if set(by_part) != set(wanted):
        known = ", ".join(wanted[:12]) or "it is one number"
        raise ValueError(f"{name} must name each of its parts: {known}")
    return [_in_order(name, by_part[part], axes[1:]) for part in wanted]


def as_mapping(given: Any) -> Mapping[str, Any] | None:
    return given if isinstance(given, Mapping) else None  # pyright: ignore[reportUnknownVariableType]


def as_probability(given: Any, name: str) -> float:
    """Raises BadTask."""
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0.0 <= given <= 1.0:
        raise BadTask(f"{name}: {show(given)} is no probability", hint="give a number from 0 to 1")
    return float(given)


def all_labels(found: Floats) -> str:
    """What is said where every probability of many is 0 or 1."""
    if found.size >= 100 and bool(np.isin(found, (0.0, 1.0)).all()):
        return "every probability is 0 or 1: these are labels, not probabilities"
    return ""

"""Rows of the log for people to label, drawn with known probabilities.

What was drawn is a recorded decision: by it each row's probability follows from the log, so that
whoever fills in labels cannot change it.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import msgspec
import numpy as np

from windvane.core.authorization import redact_row
from windvane.core.errors import WindvaneError, did_you_mean
from windvane.core.journal import Decision, fact_hash
from windvane.core.outcomes import (
    Design,
    draw_scale,
    inclusion_probability,
    is_drawn,
    uncertainty_size,
)
from windvane.core.signature import FeatureType
from windvane.core.task import Task, make_task
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore
from windvane.ports.event_log import EventLog, RowPlace
from windvane.usecases.explore_log import record_viewed
from windvane.usecases.read_model_file import ModelFile, parse_duration, read_model_file

MOST_DRAWN = 100_000
MOST_STRATA = 200
DRAWN = "labels_sample"
"""The action of the decision that records a sample."""
_MOST_PREDICTIONS = 2_000_000
_WITHIN_S = 60.0
_OF_A_ROW = ("tenant", "arm")
_STRATA = {FeatureType.CATEGORY, FeatureType.BOOLEAN, FeatureType.INTEGER}


class BadSample(WindvaneError):
    """No sample of labels can be drawn so."""

    code: ClassVar[str] = "OUT-101"
    hint = "`windvane labels sample --help` lists the designs"


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """About ``rows`` of what ``version`` ("" for the champion) answered in [since, until) (s, None
    for the last ``watch.drift_over``), by ``design``; ``column`` is what STRATUM goes by."""

    rows: int
    design: Design = Design.UNIFORM
    column: str = ""
    since: float | None = None
    until: float | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """What a sample's rows and their probabilities follow from, with the log: ``strata`` has the
    number of predictions by name."""

    model: str
    version: str
    start: float
    end: float
    design: Design
    column: str
    rows: int
    predictions: int
    drawn: int
    scale: float
    strata: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def id(self) -> str:
        return fact_hash(msgspec.to_builtins(self))

    def chance(self, task: Task, row: Mapping[str, Any]) -> float:
        """With which a row of the log was drawn."""
        return inclusion_probability(_size(self, task, row), self.scale)

    def has(self, place: RowPlace, chance: float) -> bool:
        """Whether the row is in it."""
        return is_drawn(self.model, (self.start, self.end), (place.id, place.row), chance)


@dataclass(frozen=True, slots=True)
class DrawnRow:
    """``row`` is as the log's reader has it, what is tagged pii hidden."""

    chance: float
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LabelSample:
    record: SampleRecord
    rows: Sequence[DrawnRow]


def sample_labels(
    store: ControlStore, log: EventLog, clock: Clock, model: str, asked: SampleRequest, actor: str
) -> LabelSample:
    """The same request of the same log draws the same rows. That ``actor`` is given values of
    requests goes on record. Raises BadSample, UnknownName, LogTooSlow, LogUnavailable."""
    with store.read() as tx:
        file = read_model_file(tx.model(model).text)
        live = tx.deployment(model)
        version = asked.version or (live.champion if live else "")
        if version:
            tx.version(model, version)
    if not version:
        raise BadSample(f"nothing of {model} is deployed", hint="name what answered: --version")
    now = clock.now()
    task, record = make_task(file.contract.task), _begin(file, asked, version, now)
    sizes, strata = _sizes(log, file, task, record)
    if not len(sizes):
        raise BadSample(
            f"version {version} of {model} answered nothing in that span",
            hint="give another --since and --until, or --version",
        )
    record = replace(record, predictions=len(sizes), strata=strata)
    if record.design is Design.STRATUM:
        sizes = np.array([1.0 / n for n in strata.values() for _ in range(n)])
    record = replace(record, scale=draw_scale(sizes, asked.rows))
    rows = [
        DrawnRow(chance, redact_row(row, file.pii, file.unit, values=True))
        for place, row in answered_rows(log, file, record)
        if record.has(place, chance := record.chance(task, row))
    ]
    record = replace(record, drawn=len(rows))
    record_viewed(store, clock, model, actor, [one.row for one in rows])
    sentence = (
        f"{len(rows):,} of {record.predictions:,} predictions of version {version} were drawn by "
        f"{record.design.value} to be labelled, {asked.rows:,} wanted"
    )
    with store.begin([model]) as tx:
        tx.decide(
            Decision(
                id=sample_decision(model, record.id), model=model, judge="",
                subject=f"sample {record.id}", action=DRAWN, at=now, policy={},
                facts=msgspec.to_builtins(record),
                verdict=Verdict(Outcome.PASS, "OUT-430", sentence), actor=actor,
            )
        )  # fmt: skip
    return LabelSample(record, rows)


def sample_decision(model: str, sample: str) -> str:
    """The id of the decision that records a sample."""
    return f"{model}/labels/{sample}"


def answered_rows(
    log: EventLog, file: ModelFile, record: SampleRecord
) -> Iterator[tuple[RowPlace, Mapping[str, Any]]]:
    """What the record's version answered in its span. Raises BadSample where that is too much."""
    found = log.rows(
        "predictions", file.model, file.contract, record.start, record.end, tenant="", after=None,
        limit=_MOST_PREDICTIONS + 1, within_s=_WITHIN_S,
    )  # fmt: skip
    for i, (place, row) in enumerate(found):
        if i == _MOST_PREDICTIONS:
            raise BadSample(
                f"the span has more than {_MOST_PREDICTIONS:,} predictions",
                hint="give a shorter one: --since and --until",
            )
        if row["answered"] == record.version:
            yield place, row


def _begin(file: ModelFile, asked: SampleRequest, version: str, now: float) -> SampleRecord:
    """Without what the log says. A span has whole windows, so that a repeat a little later draws
    the same. Raises BadSample."""
    if not 1 <= asked.rows <= MOST_DRAWN:
        raise BadSample(f"--rows is {asked.rows:,}, 1 to {MOST_DRAWN:,} can be drawn")
    if asked.until is not None and asked.until > now:
        raise BadSample("--until lies in the future", hint="what is not predicted cannot be drawn")
    window_s = parse_duration(file.watch.window)
    until = (now if asked.until is None else asked.until) // window_s * window_s
    since = until - parse_duration(file.watch.drift_over) if asked.since is None else asked.since
    since = since // window_s * window_s
    if not since < until:
        raise BadSample(
            "there is no whole window from --since to --until", hint="`--since 14d --until 7d`"
        )
    if (asked.design is Design.STRATUM) != bool(asked.column):
        raise BadSample(
            "a stratum goes by a column, and nothing else does", hint="--by stratum --column NAME"
        )
    if asked.design is Design.UNCERTAINTY and not make_task(file.contract.task).has_confidence:
        raise BadSample(
            f"a {file.contract.task.kind} model does not say how sure it is",
            hint="--by uniform, or --by stratum --column NAME",
        )
    if asked.column and asked.column not in _OF_A_ROW:
        _check_column(file, asked.column)
    return SampleRecord(
        file.model, version, since, until, asked.design, asked.column, asked.rows, 0, 0, 1.0
    )


def _check_column(file: ModelFile, column: str) -> None:
    types = {spec.name: spec.type for spec in file.schema}
    if column not in types:
        raise BadSample(
            f"--column: there is no {column!r}", hint=did_you_mean(column, [*types, *_OF_A_ROW])
        )
    if types[column] not in _STRATA:
        raise BadSample(f"--column: {column} is a {types[column].value}", hint="name a category")
    if column in file.pii:
        raise BadSample(f"--column: {column} is tagged pii, and a sample would tell its values")


def _sizes(
    log: EventLog, file: ModelFile, task: Task, record: SampleRecord
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], Mapping[str, int]]:
    """Of each row that can be drawn; and how many there are of each stratum, by name."""
    sizes, strata = array("d"), Counter[str]()
    for _, row in answered_rows(log, file, record):
        if record.design is Design.STRATUM:
            strata[stratum_of(record, row)] += 1
            sizes.append(1.0)
            if len(strata) > MOST_STRATA:
                raise BadSample(
                    f"{record.column} has more than {MOST_STRATA} values", hint="name another"
                )
        else:
            sizes.append(_size(record, task, row))
    return np.array(sizes, np.float64), dict(sorted(strata.items()))


def stratum_of(record: SampleRecord, row: Mapping[str, Any]) -> str:
    """The value that a row has of the column; "" for none."""
    held = row if record.column in _OF_A_ROW else row["features"]
    value = held.get(record.column)
    return "" if value is None else str(value)


def _size(record: SampleRecord, task: Task, row: Mapping[str, Any]) -> float:
    """How likely a row is to be drawn, beside others; of an unknown stratum as the whole."""
    if record.design is Design.STRATUM:
        return 1.0 / record.strata.get(stratum_of(record, row), record.predictions)
    if record.design is Design.UNCERTAINTY:
        said = tuple(row["outputs"].get(spec.name) for spec in task.outputs)
        sure = None if any(one is None for one in said) else task.confidence(said)
        return uncertainty_size(0.5 if sure is None else sure)
    return 1.0

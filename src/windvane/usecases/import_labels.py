"""What people said of a sample's rows, and what it tells about all rows that it was drawn from.

Sampled labels are kept beside the outcomes, never among them: there each row counts once, and
rows that were drawn because the model was unsure would count as if they were all. Where a label
is an answer of the world for that one prediction, it may be sent as an outcome, too.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from windvane.core.errors import WindvaneError, did_you_mean
from windvane.core.journal import Decision
from windvane.core.outcomes import (
    SampledFacts,
    SampledPolicy,
    judge_sampled_labels,
    sampled_metrics,
    sampled_quality,
)
from windvane.core.task import BadLabel, Task, make_task
from windvane.core.verdict import Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, UnknownName
from windvane.ports.event_log import EventLog
from windvane.usecases.measure_quality import ALPHA
from windvane.usecases.monitors.base import Judge
from windvane.usecases.monitors.outcomes import margin_of
from windvane.usecases.outcome_metric import task_floor
from windvane.usecases.read_model_file import ModelFile, read_model_file
from windvane.usecases.sample_labels import (
    DRAWN,
    SampleRecord,
    answered_rows,
    sample_decision,
)

IMPORTED = "labels_import"
"""The action of the decision that records an import."""
SAMPLED_LABELS = Judge("sampled_labels", SampledFacts, SampledPolicy, judge_sampled_labels)
_MOST_SHOWN = 5
_CLOSE = 1e-5  # of a probability that went through a spreadsheet
_MOST_NAME = 100


class BadLabels(WindvaneError):
    """A file of labels is not of a sample that was drawn here, or was changed beyond its labels."""

    code: ClassVar[str] = "OUT-102"
    hint = "fill in the column `label` of the file that `windvane labels sample` wrote"


@dataclass(frozen=True, slots=True)
class GivenLabel:
    """A row of the file; ``place`` is where people find it there: "line 5". ``label`` is "" or None
    where there is none yet."""

    place: str
    sample: str
    prediction_id: str
    row: int
    chance: float
    label: Any


@dataclass(frozen=True, slots=True)
class ImportedLabels:
    """``gone``: labelled rows that the log has no more. ``known``: the same labels were imported
    before."""

    decision: str
    facts: SampledFacts
    verdict: Verdict
    gone: int
    known: bool


def import_labels(
    store: ControlStore,
    log: EventLog,
    clock: Clock,
    model: str,
    given: Sequence[GivenLabel],
    *,
    labelled_by: str,
    simulated: bool,
    actor: str,
) -> ImportedLabels:
    """Estimate, judge and record; nothing acts on it. Raises BadLabels, UnknownName, LogTooSlow,
    LogUnavailable."""
    if not labelled_by.strip() or len(labelled_by) > _MOST_NAME:
        raise BadLabels(
            f"--labelled-by names who labelled, in 1 to {_MOST_NAME} characters",
            hint="--labelled-by ana",
        )
    with store.read() as tx:
        file = read_model_file(tx.model(model).text)
        name = _one_sample(given)
        try:
            decision = tx.decision(sample_decision(model, name))
        except UnknownName as error:
            drawn = [d.subject.split()[-1] for d in tx.decisions(model, 1_000) if d.action == DRAWN]
            hint = did_you_mean(name, drawn) if drawn else "`windvane labels sample` draws one"
            raise BadLabels(f"no sample {name!r} of {model} was drawn here", hint=hint) from error
        record = msgspec.convert(decision.facts, SampleRecord)
        holdout = tx.version(model, record.version).metrics
    task = make_task(file.contract.task)
    labels = _labels(task, given)
    outputs, truth, chances = _rows(log, file, task, record, given, labels)
    if labels and not len(chances):
        raise BadLabels(f"the log has none of the {len(labels):,} labelled rows any more", hint="")
    facts = SampledFacts(
        sample=name, version=record.version, start=record.start, end=record.end,
        predictions=record.predictions, drawn=record.drawn, labelled=len(chances),
        labelled_by=labelled_by.strip(), simulated=simulated, digest=_digest(labels),
        quality=sampled_quality(task, outputs, truth, chances, ALPHA),
        holdout=holdout.get(task.metric),
        metrics={
            name: one
            for name, one in sampled_metrics(task, outputs, truth, chances).items()
            if math.isfinite(one.lower) and math.isfinite(one.upper)
        },
    )  # fmt: skip
    policy = SampledPolicy(task_floor(file), ALPHA, margin=margin_of(file, task))
    now = clock.now()
    verdict = judge_sampled_labels(facts, policy, now)
    who = hashlib.sha256(f"{facts.digest}\0{simulated}\0{facts.labelled_by}".encode()).hexdigest()
    held = Decision(
        id=f"{sample_decision(model, name)}/{who[:16]}", model=model, judge=SAMPLED_LABELS.name,
        subject=f"sample {name}", action=IMPORTED, at=now, policy=msgspec.to_builtins(policy),
        facts=msgspec.to_builtins(facts), verdict=verdict, actor=actor,
    )  # fmt: skip
    with store.begin([model]) as tx:
        known = not tx.decide(held)
    return ImportedLabels(held.id, facts, verdict, len(labels) - len(chances), known)


def _one_sample(given: Sequence[GivenLabel]) -> str:
    names = sorted({one.sample for one in given})
    if len(names) != 1:
        listed = ", ".join(names[:_MOST_SHOWN]) or "none"
        raise BadLabels(f"the column `sample` must name one sample, it names {listed}")
    return names[0]


def _labels(task: Task, given: Sequence[GivenLabel]) -> Mapping[tuple[str, int], Any]:
    """As the task has them, by the row that they are of. Raises BadLabels for all that are not."""
    out: dict[tuple[str, int], Any] = {}
    wrong: list[str] = []
    for one in given:
        if one.label is None or (isinstance(one.label, str) and not one.label.strip()):
            continue
        try:
            plain = task.parse_label(one.label) if isinstance(one.label, str) else one.label
            label = task.outcome(plain)
        except BadLabel as error:
            wrong.append(f"{one.place}: {error.message}")
            continue
        if out.setdefault((one.prediction_id, one.row), label) != label:
            wrong.append(f"{one.place}: the row has another label before")
    _refuse(wrong)
    return out


def _rows(
    log: EventLog,
    file: ModelFile,
    task: Task,
    record: SampleRecord,
    given: Sequence[GivenLabel],
    labels: Mapping[tuple[str, int], Any],
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64], NDArray[np.float64]]:
    """Outputs and labels of the labelled rows that the log has, and the chances with which they
    were drawn. Raises BadLabels where the file has others, or rows that were not drawn."""
    lines = {(one.prediction_id, one.row): one for one in given}
    said: list[tuple[Any, ...]] = []
    truth: list[Any] = []
    chances: list[float] = []
    wrong: list[str] = []
    for place, row in answered_rows(log, file, record):
        key = (place.id, place.row)
        line = lines.get(key)
        outputs = tuple(row["outputs"].get(spec.name) for spec in task.outputs)
        if line is None or key not in labels or any(one is None for one in outputs):
            continue
        chance = record.chance(task, row)
        if not record.has(place, chance):
            wrong.append(f"{line.place}: row {place.row} of {place.id} was not drawn")
        elif not math.isclose(line.chance, chance, rel_tol=_CLOSE):
            wrong.append(
                f"{line.place}: inclusion_probability is {line.chance:g}, the row was drawn "
                f"with {chance:g}"
            )
        else:
            said.append(outputs)
            truth.append(labels[key])
            chances.append(chance)
    _refuse(wrong)
    columns = [np.array([one[i] for one in said], np.float64) for i in range(len(task.outputs))]
    return columns, np.array(truth, np.float64), np.array(chances, np.float64)


def _refuse(wrong: Sequence[str]) -> None:
    if wrong:
        more = len(wrong) - _MOST_SHOWN
        lines = [*wrong[:_MOST_SHOWN], *([f"and {more:,} more"] if more > 0 else [])]
        raise BadLabels("nothing was imported: " + "; ".join(lines))


def _digest(labels: Mapping[tuple[str, int], Any]) -> str:
    told = msgspec.json.encode(sorted((name, row, one) for (name, row), one in labels.items()))
    return hashlib.sha256(told).hexdigest()

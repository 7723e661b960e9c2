"""What every way to a version shares: check the data, judge the candidate, register it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from windvane.core.acceptance import (
    AcceptancePolicy,
    CandidateFacts,
    ParityReport,
    judge_candidate,
    over_time,
)
from windvane.core.conformance import check_value
from windvane.core.drift import Baseline, build_baseline, calibration_seconds, pack_text
from windvane.core.errors import WindvaneError
from windvane.core.execution import BACKGROUND_FILE, PARITY_FILE, Background
from windvane.core.explanation import PartialDependence
from windvane.core.journal import Decision
from windvane.core.signature import FeatureSpec, Violation, kind_of, show
from windvane.core.sketch import Axis, Layout
from windvane.core.task import Outputs, Quality, Task, is_output_axis, make_task
from windvane.core.verdict import Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, VersionRecord
from windvane.ports.learner import Columns, TrainingData
from windvane.ports.registry import Registry
from windvane.usecases.calibrate_answers import calibrate
from windvane.usecases.count_rows import Rows, count_rows, fit_layout
from windvane.usecases.measure_partial_dependence import (
    measure_partial_dependence,
    pack_partial_dependence,
)
from windvane.usecases.read_model_file import ModelFile, parse_duration, read_model_file

_BACKGROUND_ROWS = 64
_MOST_SPANS = 2_000
_WHOLE_SPANS = 6
_BACKGROUND_BYTES = 1 << 20
_UNEQUAL = "ACC-503"
_WORSE = "ACC-504"
_ACCEPT_WORSE = (
    "the holdout may hold rows that the champion was trained on, or the change may be meant: "
    "--accept REASON registers it all the same"
)
_ACCEPT_MEANT = (
    "where the change is meant, --accept REASON registers it all the same and is recorded with "
    "your name"
)
_ACCEPT = (
    "mend what the two sides disagree on, or register it all the same with --accept REASON, "
    "which is recorded with your name"
)


class BadTrainingData(WindvaneError):
    """The table breaks the model's own promise about its features."""

    code: ClassVar[str] = "TRA-102"
    hint = "mend the table, or the features in the model's file"


class CandidateRefused(WindvaneError):
    """The candidate failed acceptance; nothing was registered. ``check`` is the code of the
    check that failed, which stands for its own."""

    code: ClassVar[str] = "ACC-100"
    hint = "see docs/reference/codes.md for the check that failed"

    def __init__(self, message: str, *, check: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = check or type(self).code  # type: ignore[misc]


class Servable(Protocol):
    """A model that can answer, and be written as a version's files."""

    def predict(self, columns: Columns) -> Outputs:
        """The task's outputs in its order, each (rows, *shape)."""
        ...

    def write(self, folder: Path) -> None: ...


@dataclass(frozen=True, slots=True)
class Trained:
    """The registered version and the verdict that let it in."""

    version: VersionRecord
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Stores:
    """What judging and keeping versions needs. ``seal`` writes a folder's manifest."""

    store: ControlStore
    registry: Registry
    seal: Callable[[Path], str]
    clock: Clock


@dataclass(frozen=True, slots=True)
class Applied:
    """A model's file as applied, the layout of its newest version (None before one), and the
    champion, whether its files are trusted, and the axes of its outputs."""

    model: str
    file: ModelFile
    layout: Layout | None
    champion_record: VersionRecord | None = None
    champion_trusted: bool = False
    champion_axes: tuple[Axis, ...] = ()

    @property
    def champion(self) -> str:
        """Its version, "" for none."""
        return self.champion_record.version if self.champion_record else ""

    @property
    def policy(self) -> AcceptancePolicy:
        return AcceptancePolicy(self.file.train.min_rows, self.file.floor)


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """A candidate with what is known of it. ``parity`` is None where nothing was converted;
    ``tags`` are texts for the record, ``lineage`` whatever else belongs to the lineage.
    ``not_asked`` says why it must not be asked about rows that nobody sent, "" where it may be."""

    candidate: Servable
    used: Sequence[FeatureSpec]
    facts: CandidateFacts
    evaluation: Evaluation
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    lineage: Mapping[str, Any]
    not_asked: str = ""


def applied(store: ControlStore, model: str) -> Applied:
    """Raises UnknownName."""
    with store.read() as tx:
        file = read_model_file(tx.model(model).text)
        held = tx.versions(model)
        layout = tx.layout(held[-1].layout_id) if held else None
        live = tx.deployment(model)
        champion = next((v for v in held if live and v.version == live.champion), None)
        if champion is None:
            return Applied(model, file, layout)
        axes = tx.layout(champion.layout_id).axes
        trusted = any(trust.manifest == champion.manifest for trust in tx.trusted())
    own = tuple(a for a in axes if is_output_axis(a.name) and "@" not in a.name)
    return Applied(model, file, layout, champion, trusted, own)


def split_by_time(
    data: TrainingData, holdout_from: float | None, task: Task
) -> tuple[TrainingData, TrainingData]:
    """The earlier and the later part (a fifth by default): a random holdout would let a model
    peek at the hours that it is tested on. Raises BadTrainingData."""
    cut = float(np.quantile(data.times, 0.8) if holdout_from is None else holdout_from)
    past, holdout = data.take(data.times < cut), data.take(data.times >= cut)
    for name, part in (("before", past), ("after", holdout)):
        message = task.label_spread(part.labels)
        if message:
            raise BadTrainingData(
                f"{part.rows:,} rows lie {name} the holdout's start {cut:.0f}, and {message}",
                hint="give another --holdout-from, in seconds",
            )
    return past, holdout


def accept(
    stores: Stores,
    about: Applied,
    data: TrainingData,
    offered: Proposal,
    on_step: Callable[[str], None],
) -> Trained:
    """Judge, record, and register what passes; raises CandidateRefused, BadTrainingData."""
    check_present(data, offered.used)
    policy, facts = about.policy, offered.facts
    verdict = judge_candidate(facts, policy, stores.clock.now())

    def decision(name: str, subject: str, action: str, now: float) -> Decision:
        return Decision(
            id=f"{about.model}/{name}",
            model=about.model,
            judge="acceptance",
            subject=subject,
            action=action,
            at=now,
            policy=msgspec.to_builtins(policy),
            facts=msgspec.to_builtins(facts),
            verdict=verdict,
        )

    digest = data_version(data)
    seed = offered.tags.get("seed", "0")
    if verdict.failed:
        now = stores.clock.now()
        with stores.store.begin() as tx:
            name = f"refuse/{digest}/{seed}/{now:.3f}"
            tx.decide(decision(name, "candidate", "refuse", now))
        message = verdict.sentence
        if verdict.code == _UNEQUAL and facts.parity is not None:
            message += "".join(f"\n  {line}" for line in differences(facts.parity))
            meant = facts.parity.against != ParityReport.against
            raise CandidateRefused(
                message, check=verdict.code, hint=_ACCEPT_MEANT if meant else _ACCEPT
            )
        hint = _ACCEPT_WORSE if verdict.code == _WORSE else None
        raise CandidateRefused(message, check=verdict.code, hint=hint)
    on_step("sketch the baseline")
    outputs = offered.candidate.predict(data.columns)
    layout = _layout(about, outputs, data)
    baseline = _baseline(about.file, layout, outputs, data)
    on_step("measure what it answers as each feature moves")
    dependence = _partial_dependence(stores, about, offered, data)
    on_step("register")
    tags = {**offered.tags, "data_version": digest, "rows": str(data.rows)}
    lineage = {**offered.lineage, "parity": msgspec.to_builtins(facts.parity)}
    if about.champion:
        lineage["champion"] = {"version": about.champion, "said": champion_said(facts)}
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        offered.candidate.write(files)
        (files / PARITY_FILE).write_bytes(msgspec.json.encode(facts.parity))
        (files / BACKGROUND_FILE).write_bytes(msgspec.msgpack.encode(background_rows(data)))
        registered = stores.registry.register(
            about.model,
            files,
            signature={spec.name: spec.type.value for spec in offered.used},
            params=offered.params,
            metrics=offered.evaluation.metrics,
            tags=tags,
            seal=stores.seal,
        )
    record = VersionRecord(
        model=about.model,
        version=registered.version,
        artifact=registered.artifact,
        manifest=registered.manifest,
        layout_id=layout.id,
        views=tuple(dict.fromkeys(spec.view for spec in offered.used)),
        metrics=offered.evaluation.metrics,
        lineage={**tags, **lineage, "run_id": registered.run_id},
        baseline=baseline.to_bytes(),
        created_at=stores.clock.now(),
        features=tuple(spec.name for spec in offered.used),
        task=about.file.contract.task.kind,
        calibration=_calibration(about, layout, offered.evaluation),
        partial_dependence=pack_partial_dependence(dependence),
    )
    with stores.store.begin() as tx:
        tx.put_layout(layout)
        tx.add_version(record)
        name = f"register/{record.version}"
        tx.decide(decision(name, f"version {record.version}", "register", stores.clock.now()))
    return Trained(record, verdict)


def _calibration(about: Applied, layout: Layout, found: Evaluation) -> str:
    """What the holdout says of each bin of the version's answers, packed; "" for nothing."""
    made = calibrate(
        make_task(about.file.contract.task), layout, found.outputs, found.labels, found.times
    )
    return "" if made is None else pack_text(made.arrays())


def _partial_dependence(
    stores: Stores, about: Applied, offered: Proposal, data: TrainingData
) -> PartialDependence:
    if offered.not_asked:
        return PartialDependence("", 0, 0, (), offered.not_asked)
    return measure_partial_dependence(
        offered.candidate.predict, make_task(about.file.contract.task), offered.used,
        about.file.pii, data, stores.clock.wall,
    )  # fmt: skip


def champion_said(facts: CandidateFacts) -> str:
    """What came of the comparison with the champion, for people."""
    against = facts.against_champion
    if against is None:
        return f"not compared: {facts.no_champion}"
    if against.missing:
        return f"not compared: missing {against.missing}"
    return (
        f"a row costs {against.value:+.3g} ({against.lower:+.3g} to {against.upper:+.3g}) more, "
        f"n={against.rows:,}"
    )


def differences(parity: ParityReport) -> list[str]:
    """The rows that differ, as sentences."""
    return [
        f"{one.group}: {', '.join(f'{name}={show(value)}' for name, value in one.inputs.items())}: "
        f"{_numbers(one.library)} by {parity.against}, {_numbers(one.served)} here"
        for one in parity.examples
    ]


def _numbers(values: Sequence[float | None]) -> str:
    texts = ["nothing" if v is None else f"{v:.6g}" for v in values]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def check_data(file: ModelFile, data: TrainingData) -> None:
    """Raises BadTrainingData, naming the first row that breaks the model's contract. Features
    that the table lacks are not checked: `check_present` sees to it that no version uses them."""
    message = make_task(file.contract.task).label_spread(data.labels)
    if message:
        raise BadTrainingData(f"{message}: there is nothing to learn")
    for spec in file.schema:
        if spec.name in data.absent:
            continue
        column = data.columns[spec.name]
        kind = kind_of(spec)
        seen: dict[Any, Violation | None] = {}
        for row, value in enumerate(column):
            # Equal values are equally right, and a table has far fewer of them than rows.
            if not kind.hashable:
                found = check_value(spec, value)
            elif value in seen:
                found = seen[value]
            else:
                found = seen[value] = check_value(spec, value)
            if found is not None:
                number = row if data.numbers is None else int(data.numbers[row])
                raise BadTrainingData(f"row {number}: {found.message}")


def check_present(data: TrainingData, used: Sequence[FeatureSpec]) -> None:
    """Raises BadTrainingData where a version uses what the table lacks."""
    lacking = sorted(data.absent.intersection(spec.name for spec in used))
    if lacking:
        raise BadTrainingData(f"the table lacks {', '.join(lacking)}, which the model needs")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A candidate on the holdout: its outputs, point estimates for people, and what judges look
    at."""

    outputs: Outputs
    labels: NDArray[np.float64]
    times: NDArray[np.float64]
    metrics: Mapping[str, float]
    quality: Quality
    naive: float | None
    over_naive: Quality | None = None


def evaluate(candidate: Servable, holdout: TrainingData, task: Task, alpha: float) -> Evaluation:
    """By the task's metrics, on rows that the candidate has not learned from."""
    outputs = candidate.predict(holdout.columns)
    found = task.metrics(outputs, holdout.labels)
    # Of what has a unit nobody knows which digits count.
    digits = 6 if task.loss_is_relative else 4
    metrics = {
        name: float(f"{value:.{digits}g}") for name, value in found.items() if isfinite(value)
    }
    metrics["holdout_rows"] = float(holdout.rows)
    # A candidate that is not shown to be good enough is refused, and there is no waiting for more
    # rows of a holdout: what no row of it shows is left to the live guards.
    quality = over_time(
        task.quality(outputs, holdout.labels, alpha).by_seen(),
        task.parts(outputs, holdout.labels), holdout.times, alpha,
    )  # fmt: skip
    over = None
    gaps = task.over_naive(outputs, holdout.labels) if holdout.rows else None
    if gaps is not None:
        found_over = Quality.of_losses(task.metric, gaps, alpha).by_seen()
        over = over_time(found_over, gaps - gaps.mean(), holdout.times, alpha)
    return Evaluation(
        outputs, holdout.labels, holdout.times, metrics, quality, task.naive(holdout.labels), over
    )


def some_rows(data: TrainingData, rows: int) -> TrainingData:
    """About ``rows`` of them, spread evenly."""
    step = max(1, data.rows // rows)
    mask = np.zeros(data.rows, bool)
    mask[::step] = True
    return data.take(mask)


def background_rows(data: TrainingData) -> Background:
    """A few rows that lie evenly over the data, to explain others by; fewer where rows are big,
    and none where one alone is too big."""
    rows = _evenly(data, _BACKGROUND_ROWS)
    size = len(msgspec.msgpack.encode(rows))
    if size > _BACKGROUND_BYTES:
        rows = _evenly(data, len(rows) * _BACKGROUND_BYTES // size)
    return Background(tuple(data.columns), tuple(rows))


def _evenly(data: TrainingData, most: int) -> list[tuple[Any, ...]]:
    places = np.linspace(0, data.rows - 1, min(most, data.rows)).round().astype(int).tolist()
    columns = list(data.columns.values())
    return [tuple(column[place] for column in columns) for place in places]


def duplicates(data: TrainingData) -> int:
    """Rows that repeat an earlier one, time included."""
    columns = [_hashable(data.columns[name]) for name in sorted(data.columns)]
    keys = set(zip(*columns, data.times.tolist(), strict=True))
    return data.rows - len(keys)


def _hashable(column: Sequence[Any]) -> Sequence[Any]:
    return [tuple(value) if isinstance(value, list) else value for value in column]


def data_version(data: TrainingData) -> str:
    """Hash over every row, labels and times included."""
    digest = hashlib.sha256()
    for name in sorted(data.columns):
        digest.update(repr((name, data.columns[name])).encode())
    digest.update(data.labels.tobytes())
    digest.update(data.times.tobytes())
    return digest.hexdigest()[:16]


def _baseline(file: ModelFile, layout: Layout, outputs: Outputs, data: TrainingData) -> Baseline:
    window_s = parse_duration(file.watch.window)
    recent_s = parse_duration(file.watch.recent)
    contract, task = file.contract, make_task(file.contract.task)
    rows = Rows(
        list(zip(*(data.columns[name] for name in contract.names), strict=True)),
        list(zip(*(found.tolist() for found in outputs), strict=True)),
    )
    counts: NDArray[np.int64] = count_rows(layout, contract, task, rows)[0]
    late = data.times > data.times.max() - calibration_seconds(window_s, recent_s) - window_s
    starts, groups = np.unique(data.times[late] // window_s * window_s, return_inverse=True)
    kept = Rows(list(compress(rows.values, late)), list(compress(rows.outputs, late)))
    by_start: NDArray[np.int64] = count_rows(
        layout, contract, task, kept, groups.astype(np.int64), len(starts)
    )
    windows = {float(start): by_start[i] for i, start in enumerate(starts)}
    spans = _counts_by_span(file, layout, rows, data)
    return build_baseline(layout, windows, window_s, recent_s, file.watch.min_rows, counts, spans)


def _counts_by_span(
    file: ModelFile, layout: Layout, rows: Rows, data: TrainingData
) -> Mapping[float, NDArray[np.int64]]:
    """Counts of spans as long as a look at training drift, by their start; the first and the last
    may lack a part and are left out where there are enough without them."""
    span_s = parse_duration(file.watch.drift_over)
    starts, groups = np.unique(data.times // span_s * span_s, return_inverse=True)
    if len(starts) > _MOST_SPANS:
        return {}
    task = make_task(file.contract.task)
    counts: NDArray[np.int64] = count_rows(
        layout, file.contract, task, rows, groups.astype(np.int64), len(starts)
    )
    whole = range(1, len(starts) - 1) if len(starts) > _WHOLE_SPANS else range(len(starts))
    return {float(starts[i]): counts[i] for i in whole}


def _layout(about: Applied, outputs: Outputs, data: TrainingData) -> Layout:
    """The model's axes, the version's own outputs, and those on the champion's bins."""
    own = make_task(about.file.contract.task).axes(outputs)
    beside = [replace(axis, name=f"{axis.name}@{about.champion}") for axis in about.champion_axes]
    names = [name for name in about.file.contract.names if name not in data.absent]
    columns = {name: data.columns[name] for name in names}
    return fit_layout(
        about.file.contract, columns, (*own, *beside), about.layout, about.file.clocks
    )

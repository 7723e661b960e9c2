"""What every way to a version shares: check the data, judge the candidate, register it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any, ClassVar, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from windvane.core.acceptance import (
    AcceptancePolicy,
    CandidateFacts,
    judge_candidate,
)
from windvane.core.conformance import check_row
from windvane.core.drift import Baseline, build_baseline, calibration_seconds
from windvane.core.errors import WindvaneError
from windvane.core.execution import PARITY_FILE
from windvane.core.journal import Decision
from windvane.core.outcomes import ScoredCounts, auc, brier
from windvane.core.sketch import (
    CategoryAxis,
    FeatureSpec,
    FeatureType,
    Layout,
    NumericAxis,
)
from windvane.core.verdict import Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, VersionRecord
from windvane.ports.learner import Columns, TrainingData
from windvane.ports.registry import Registry
from windvane.usecases.read_model_file import ModelFile, parse_duration, read_model_file

OUTPUT = "output"
_OUTPUT_EDGES = tuple(round(0.05 * i, 2) for i in range(1, 20))
_SCORE_BINS = 1_000


class BadTrainingData(WindvaneError):
    """The table breaks the model's own promise about its features."""

    code: ClassVar[str] = "TRA-102"
    hint = "mend the table, or the features in the model's file"


class CandidateRefused(WindvaneError):
    """The candidate failed acceptance; nothing was registered."""

    code: ClassVar[str] = "ACC-100"
    hint = "see docs/reference/codes.md for the check that failed"


class Servable(Protocol):
    """A model that can answer, and be written as a version's files."""

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """Probabilities (rows,)."""
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
    """A model's file as applied, and the layout that its versions share (None before one)."""

    model: str
    file: ModelFile
    layout: Layout | None

    @property
    def policy(self) -> AcceptancePolicy:
        return AcceptancePolicy(self.file.train.min_rows, self.file.train.auc_floor)


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """A candidate with what is known of it. ``parity`` is None where nothing was converted;
    ``tags`` are texts for the record, ``told`` whatever else belongs to the lineage."""

    candidate: Servable
    used: Sequence[FeatureSpec]
    facts: CandidateFacts
    metrics: Mapping[str, float]
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    told: Mapping[str, Any]


def applied(store: ControlStore, model: str) -> Applied:
    """Raises UnknownName."""
    with store.read() as tx:
        file = read_model_file(tx.model(model).text)
        held = tx.versions(model)
        layout = tx.layout(held[-1].layout_id) if held else None
    return Applied(model, file, layout)


def split_by_time(
    data: TrainingData, holdout_from: float | None
) -> tuple[TrainingData, TrainingData]:
    """The earlier and the later part (a fifth by default): a random holdout would let a model
    peek at the hours that it is tested on. Raises BadTrainingData."""
    cut = float(np.quantile(data.times, 0.8) if holdout_from is None else holdout_from)
    past, holdout = data.take(data.times < cut), data.take(data.times >= cut)
    for name, part in (("before", past), ("after", holdout)):
        if part.rows == 0 or part.labels.min() == part.labels.max():
            raise BadTrainingData(
                f"{part.rows:,} rows with {len(np.unique(part.labels))} kinds of label lie {name} "
                f"the holdout's start {cut:.0f}; both parts need labels 0 and 1",
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
    """Judge, record, and register what passes; raises CandidateRefused."""
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
        raise CandidateRefused(f"{verdict.code}: {verdict.sentence}")
    on_step("sketch the baseline")
    layout = about.layout or _fit_layout(about.file.schema, data)
    baseline = _baseline(about.file, layout, offered.candidate, data)
    on_step("register")
    tags = {**offered.tags, "data_version": digest, "rows": str(data.rows)}
    told = {**offered.told, "parity": msgspec.to_builtins(facts.parity)}
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        offered.candidate.write(files)
        (files / PARITY_FILE).write_bytes(msgspec.json.encode(facts.parity))
        registered = stores.registry.register(
            about.model,
            files,
            signature={spec.name: spec.type.value for spec in offered.used},
            params=offered.params,
            metrics=offered.metrics,
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
        metrics=offered.metrics,
        lineage={**tags, **told, "run_id": registered.run_id},
        baseline=baseline.to_bytes(),
        created_at=stores.clock.now(),
    )
    with stores.store.begin() as tx:
        tx.put_layout(layout)
        tx.add_version(record)
        name = f"register/{record.version}"
        tx.decide(decision(name, f"version {record.version}", "register", stores.clock.now()))
    return Trained(record, verdict)


def check_data(file: ModelFile, data: TrainingData) -> None:
    """Raises BadTrainingData, naming the first row that breaks the file's promise."""
    if not np.isin(data.labels, (0.0, 1.0)).all():
        raise BadTrainingData("labels must be 0 or 1")
    if data.rows == 0 or data.labels.min() == data.labels.max():
        raise BadTrainingData("labels are all the same: there is nothing to learn")
    for spec in file.schema:
        column = data.columns[spec.name]
        # Equal values are equally right, and a table has far fewer of them than rows.
        wrong = {v: p[0] for v in set(column) if (p := check_row([spec], {spec.name: v}))}
        if wrong:
            row = next(i for i, value in enumerate(column) if value in wrong)
            raise BadTrainingData(f"row {row}: {wrong[column[row]].message}")


def evaluate(candidate: Servable, holdout: TrainingData) -> dict[str, float]:
    """AUC, Brier score, base rate and size of the holdout."""
    scores = candidate.predict(holdout.columns)
    bins = np.minimum((scores * _SCORE_BINS).astype(int), _SCORE_BINS - 1)
    late = holdout.labels > 0.5
    counts = ScoredCounts(
        np.bincount(bins[late], minlength=_SCORE_BINS).astype(np.int64),
        np.bincount(bins[~late], minlength=_SCORE_BINS).astype(np.int64),
    )
    loss = float(np.mean([brier(s, y) for s, y in zip(scores, holdout.labels, strict=True)]))
    return {
        "auc": round(auc(counts), 4),
        "brier": round(loss, 4),
        "base_rate": round(float(holdout.labels.mean()), 4),
        "holdout_rows": float(holdout.rows),
    }


def some_rows(data: TrainingData, rows: int) -> TrainingData:
    """About ``rows`` of them, spread evenly."""
    step = max(1, data.rows // rows)
    mask = np.zeros(data.rows, bool)
    mask[::step] = True
    return data.take(mask)


def duplicates(data: TrainingData) -> int:
    """Rows that repeat an earlier one, time included."""
    columns = [data.columns[name] for name in sorted(data.columns)]
    keys = set(zip(*columns, data.times.tolist(), strict=True))
    return data.rows - len(keys)


def data_version(data: TrainingData) -> str:
    """Hash over every row, labels and times included."""
    digest = hashlib.sha256()
    for name in sorted(data.columns):
        digest.update(repr((name, data.columns[name])).encode())
    digest.update(data.labels.tobytes())
    digest.update(data.times.tobytes())
    return digest.hexdigest()[:16]


def _fit_layout(schema: Sequence[FeatureSpec], data: TrainingData) -> Layout:
    axes: list[NumericAxis | CategoryAxis] = []
    for spec in schema:
        column = data.columns[spec.name]
        if spec.type is FeatureType.CATEGORY:
            names = spec.known or tuple(sorted({v for v in column if v is not None}))
            axes.append(CategoryAxis(spec.name, tuple(names)))
        else:
            values = np.array([np.nan if v is None else v for v in column], np.float64)
            axes.append(NumericAxis.fit(spec.name, values))
    return Layout((*axes, NumericAxis(OUTPUT, _OUTPUT_EDGES)))


def _baseline(file: ModelFile, layout: Layout, candidate: Servable, data: TrainingData) -> Baseline:
    window_s = parse_duration(file.watch.window)
    recent_s = parse_duration(file.watch.recent)
    columns: dict[str, Any] = {**data.columns, OUTPUT: candidate.predict(data.columns)}
    counts: NDArray[np.int64] = layout.count(columns)[0]
    late = data.times > data.times.max() - calibration_seconds(window_s, recent_s) - window_s
    starts, groups = np.unique(data.times[late] // window_s * window_s, return_inverse=True)
    kept = {name: list(compress(column, late)) for name, column in columns.items()}
    by_start: NDArray[np.int64] = layout.count(kept, groups.astype(np.int64), len(starts))
    windows = {float(start): by_start[i] for i, start in enumerate(starts)}
    return build_baseline(layout, windows, window_s, recent_s, file.watch.min_rows, counts)

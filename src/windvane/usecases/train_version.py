"""From a table to a registered version: check, train, evaluate, convert, accept, register."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from windvane.core.acceptance import AcceptancePolicy, CandidateFacts, judge_candidate
from windvane.core.conformance import check_row
from windvane.core.drift import Baseline, build_baseline, calibration_seconds
from windvane.core.errors import WindvaneError, did_you_mean
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
from windvane.ports.learner import Candidate, Learner, TrainingData
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


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train: the views to leave out, where the holdout begins, the seed, and what an
    unseen category does. ``lineage`` goes on the record (git sha, file name)."""

    without: tuple[str, ...] = ()
    holdout_from: float | None = None
    seed: int = 0
    unknown: str = "null"
    lineage: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    version: VersionRecord
    verdict: Verdict


def train_version(
    store: ControlStore,
    registry: Registry,
    learner: Learner,
    seal: Callable[[Path], str],
    clock: Clock,
    model: str,
    data: TrainingData,
    recipe: Recipe,
    on_step: Callable[[str], None] = lambda _: None,
) -> Trained:
    """The registered version and the verdict that let it in.

    The holdout is the latest part of the data by time (a fifth by default): a random one
    would let a model peek at the hours it is tested on.
    """
    with store.read() as tx:
        file = read_model_file(tx.model(model).text)
        held = tx.versions(model)
        layout = tx.layout(held[-1].layout_id) if held else None
    on_step("check the data")
    _check_data(file, data)
    for view in recipe.without:
        if view not in file.features:
            hint = did_you_mean(view, file.features)
            raise BadTrainingData(f"there is no view {view!r} to leave out", hint=hint)
    used = [spec for spec in file.schema if spec.view not in recipe.without]
    cut = float(
        np.quantile(data.times, 0.8) if recipe.holdout_from is None else recipe.holdout_from
    )
    past, holdout = data.take(data.times < cut), data.take(data.times >= cut)
    for name, part in (("before", past), ("after", holdout)):
        if part.rows == 0 or part.labels.min() == part.labels.max():
            raise BadTrainingData(
                f"{part.rows:,} rows with {len(np.unique(part.labels))} kinds of label lie {name} "
                f"the holdout's start {cut:.0f}; both parts need labels 0 and 1",
                hint="give another --holdout-from, in seconds",
            )
    on_step(f"train on {past.rows:,} rows")
    candidate = learner.fit(
        used, past.columns, past.labels, unknown=recipe.unknown, seed=recipe.seed
    )
    on_step(f"evaluate on {holdout.rows:,} later rows")
    metrics = _evaluate(candidate, holdout)
    on_step("convert and check parity")
    policy = AcceptancePolicy(file.train.min_rows, file.train.auc_floor)
    parity = candidate.parity(_head(holdout, 2_000).columns, policy.parity_tolerance)
    facts = CandidateFacts(past.rows, _duplicates(data), metrics["auc"], parity)
    verdict = judge_candidate(facts, policy, clock.now())
    if verdict.failed:
        now = clock.now()
        refused = f"{model}/refuse/{_data_version(data)}/{recipe.seed}/{now:.3f}"
        with store.begin() as tx:
            decision = Decision(
                id=refused,
                model=model,
                judge="acceptance",
                subject="candidate",
                action="refuse",
                at=now,
                policy=msgspec.to_builtins(policy),
                facts=msgspec.to_builtins(facts),
                verdict=verdict,
            )
            tx.decide(decision)
        raise CandidateRefused(f"{verdict.code}: {verdict.sentence}")
    on_step("sketch the baseline")
    layout = layout or _fit_layout(file.schema, data)
    baseline = _baseline(file, layout, candidate, data)
    on_step("register")
    lineage = {
        **(recipe.lineage or {}),
        "data_version": _data_version(data),
        "seed": str(recipe.seed),
        "without": ",".join(recipe.without),
        "rows": str(data.rows),
    }
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        candidate.write(files)
        (files / "parity.json").write_bytes(msgspec.json.encode(parity))
        registered = registry.register(
            model,
            files,
            signature={spec.name: spec.type.value for spec in used},
            params=learner.params,
            metrics=metrics,
            tags=lineage,
            seal=seal,
        )
    record = VersionRecord(
        model=model,
        version=registered.version,
        artifact=registered.artifact,
        manifest=registered.manifest,
        layout_id=layout.id,
        views=tuple(dict.fromkeys(spec.view for spec in used)),
        metrics=metrics,
        lineage={**lineage, "run_id": registered.run_id, "parity": msgspec.to_builtins(parity)},
        baseline=baseline.to_bytes(),
        created_at=clock.now(),
    )
    with store.begin() as tx:
        tx.put_layout(layout)
        tx.add_version(record)
        tx.decide(
            Decision(
                id=f"{model}/register/{record.version}",
                model=model,
                judge="acceptance",
                subject=f"version {record.version}",
                action="register",
                at=clock.now(),
                policy=msgspec.to_builtins(policy),
                facts=msgspec.to_builtins(facts),
                verdict=verdict,
            )
        )
    return Trained(record, verdict)


def _check_data(file: ModelFile, data: TrainingData) -> None:
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


def _evaluate(candidate: Candidate, holdout: TrainingData) -> dict[str, float]:
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


def _head(data: TrainingData, rows: int) -> TrainingData:
    step = max(1, data.rows // rows)
    mask = np.zeros(data.rows, bool)
    mask[::step] = True
    return data.take(mask)


def _duplicates(data: TrainingData) -> int:
    columns = [data.columns[name] for name in sorted(data.columns)]
    keys = set(zip(*columns, data.times.tolist(), strict=True))
    return data.rows - len(keys)


def _data_version(data: TrainingData) -> str:
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


def _baseline(
    file: ModelFile, layout: Layout, candidate: Candidate, data: TrainingData
) -> Baseline:
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

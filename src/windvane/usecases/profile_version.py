"""Where a version's requests spend their time, and what other ways to serve it cost and buy."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from windvane.core.acceptance import Tolerance, largest, row_differences
from windvane.core.conformance import check_value
from windvane.core.errors import WindvaneError
from windvane.core.execution import (
    RUNTIMES,
    SANDBOXED,
    Latency,
    Optimization,
    Option,
    Score,
    best_option,
    latency_of,
    relative_loss,
    trade,
)
from windvane.core.task import Outputs, Task, by_row
from windvane.ports.control_store import ControlStore
from windvane.ports.event_log import EventLog
from windvane.ports.learner import TrainingData
from windvane.ports.measuring import MeasureOrder, Measuring, MeasuringProcess
from windvane.ports.optimizer import CannotOptimize
from windvane.ports.runtime import UnencodableRow
from windvane.usecases.accept_candidate import (
    Applied,
    applied,
    check_data,
    some_rows,
    split_by_time,
)
from windvane.usecases.load_candidate import LoadedCandidate
from windvane.usecases.make_variant import (
    Variants,
    VariantServices,
    halves,
    open_variants,
    score_of,
)
from windvane.usecases.optimization_options import ProfileOptions

AS_SERVED = "as served"
_ROWS = 1_000
_LOG_S = 30 * 86_400.0
_BATCHES = (1, 8, 64, 512)
_COMPARED = (1, 64)
_STEPS_SHARE = 0.25
_ROUNDS = 10
_LEAST_ROUNDS = 3
_LEAST_ROUND_S = 0.005


class NoRowsToMeasure(WindvaneError):
    """There is no row to run the model on."""

    code: ClassVar[str] = "PRF-102"
    hint = "give a table with --data, --label and --time; or send the model requests first"


@dataclass(frozen=True, slots=True)
class ProfileServices:
    """``monotonic`` is seconds of a clock that only grows, ``now`` those since the epoch."""

    variants: VariantServices
    store: ControlStore
    log: EventLog
    measuring: Measuring
    monotonic: Callable[[], float]
    now: Callable[[], float]


@dataclass(frozen=True, slots=True)
class StepShare:
    """A step of a request: its median in seconds, and its part of all steps' medians."""

    name: str
    median_s: float
    share: float


@dataclass(frozen=True, slots=True)
class VersionProfile:
    """``steps`` of requests of one row, one at a time, which take ``request`` as a whole.
    ``options`` begin with the version as it is served; ``missing`` says why there are no others,
    by name. ``trades`` are sentences, one for each other option of one row; ``best`` names the
    option to take. ``rows`` were measured on, from ``source``."""

    model: str
    version: str
    runtime: str
    rows: int
    source: str
    request: Latency
    steps: tuple[StepShare, ...]
    options: tuple[Option, ...]
    missing: Mapping[str, str]
    trades: tuple[str, ...]
    best: str


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """A version to be measured, with what is known of its answers."""

    name: str
    loaded: LoadedCandidate
    trusted: bool
    compared: int = 0
    difference: float = 0.0
    moved: int = 0
    score: Score | None = None
    loss: float | None = None


def profile_version(
    services: ProfileServices,
    model: str,
    version: str | None,
    data: TrainingData | None,
    options: ProfileOptions,
    on_step: Callable[[str], None] = lambda _: None,
) -> VersionProfile:
    """Of ``version``, else of the champion, else of the latest; on the later rows of ``data``,
    or where there is none on rows of the log, which have no labels.

    Raises UnknownName, BadTrainingData, NoRowsToMeasure, MeasuringFailed, Untrusted, CannotLoad.
    """
    about = applied(services.store, model)
    with ExitStack() as opened:
        variants, *beside = [
            opened.enter_context(open_variants(services.variants, services.store, about, one))
            for one in (version, *options.beside)
        ]
        holdout = None
        if data is not None:
            check_data(about.file, data)
            _, holdout = split_by_time(data, options.holdout_from, variants.task)
        rows = _rows(services, about, variants, holdout)
        ways, missing = _ways(about, variants, beside, rows, holdout, options, on_step)
        base = ways[0].loaded
        on_step("measure requests through the engine")
        steps = _steps(services, about, variants, rows, options.seconds * _STEPS_SHARE)
        left = options.seconds * (1.0 - _STEPS_SHARE)
        found = _measure(services, about, variants, ways, rows, left, options, on_step)
        single = [one for one in found if one.batch == 1 and one.threads == 1]
        others = single[1:]
        total = sum(steps[1].values())
        return VersionProfile(
            model=model,
            version=variants.record.version,
            runtime=base.served.runtime.value,
            rows=len(rows),
            source="the table" if holdout is not None else "the log of the last 30 days",
            request=steps[0],
            steps=tuple(StepShare(n, s, s / total if total else 0.0) for n, s in steps[1].items()),
            options=tuple(found),
            missing=missing,
            trades=tuple(trade(single[0], one) for one in others),
            best=best_option(single[0], others, options.allowed).name,
        )


def _rows(
    services: ProfileServices, about: Applied, variants: Variants, holdout: TrainingData | None
) -> list[list[Any]]:
    """In the contract's order, those that the version takes. Raises NoRowsToMeasure."""
    contract = about.file.contract
    if holdout is not None:
        sample = some_rows(holdout, _ROWS)
        given = [list(r) for r in zip(*(sample.columns[n] for n in contract.names), strict=True)]
        problem = f"none of {len(given):,} rows of the table"
    else:
        now = services.now()
        kept = services.log.samples(about.model, contract, now - _LOG_S, now + 1.0, {}, _ROWS)
        held = [one["features"] for one in kept]
        given = [[_plain(row.get(name)) for name in contract.names] for row in held]
        given = [
            row
            for row in given
            if all(check_value(s, v) is None for s, v in zip(contract.features, row, strict=True))
        ]
        problem = f"none of {len(held):,} logged rows of the last 30 days"
    rows = [row for row in given[: 2 * _ROWS] if _takes(variants.original, row)]
    if not rows:
        raise NoRowsToMeasure(
            f"{problem} can be given to version {variants.record.version} of {about.model}"
        )
    return rows[:_ROWS]


def _plain(value: Any) -> Any:
    """A value of the log as a row has it: a time is seconds."""
    return value.timestamp() if isinstance(value, dt.datetime) else value


def _takes(original: LoadedCandidate, row: Sequence[Any]) -> bool:
    try:
        original.predictor.encode(row)
    except UnencodableRow:
        return False
    return True


def _ways(
    about: Applied,
    variants: Variants,
    beside: Sequence[Variants],
    rows: Sequence[Sequence[Any]],
    holdout: TrainingData | None,
    options: ProfileOptions,
    on_step: Callable[[str], None],
) -> tuple[list[_Way], dict[str, str]]:
    """The version as it is served first, then all that can be made of it and those ``beside`` it;
    why not the rest."""
    missing: dict[str, str] = {}
    alpha, tolerance = about.policy.alpha, about.policy.parity_tolerance
    choosing: TrainingData | None = None
    measured: TrainingData | None = None
    score: Score | None = None
    if holdout is None:
        missing["loss"] = "rows of the log have no labels: give --data"
    else:
        choosing, measured = halves(holdout)
        try:
            score = score_of(variants.original, measured, variants.task, alpha)
        except CannotOptimize as error:
            missing["loss"] = error.message
            choosing = measured = None
    answers = variants.original.predict_rows(rows)
    ways = [_Way(AS_SERVED, variants.original, variants.trusted, len(rows), score=score)]

    def add(name: str, loaded: LoadedCandidate, *, trusted: bool = False) -> None:
        gaps, moved = _apart(variants.task, answers, loaded.predict_rows(rows), tolerance)
        after = loss = None
        if score is not None and measured is not None:
            after = score_of(loaded, measured, variants.task, alpha)
            loss = relative_loss(score, after)
        ways.append(_Way(name, loaded, trusted, len(rows), gaps, moved, after, loss))

    for how in Optimization:
        on_step(f"make it with {how.value}")
        try:
            if how is not Optimization.PRUNE:
                add(how.value, variants.make(how))
                continue
            total = variants.rounds()
            if choosing is None:
                raise CannotOptimize("which trees can go is told by rows with labels: --data")
            fewest = variants.fewest_rounds(choosing, alpha, options.allowed, on_step)
            add(f"prune to {fewest:,} of {total:,} rounds", variants.make(how, fewest))
        except CannotOptimize as error:
            missing[how.value] = error.message
    for one in beside:
        name = f"version {one.record.version}"
        on_step(f"ask {name}")
        try:
            add(name, one.original, trusted=one.trusted)
        except (CannotOptimize, UnencodableRow) as error:
            missing[name] = error.message
    # Other runtimes for the same model, which a version's files do not hold.
    other, reason = RUNTIMES[variants.original.served.runtime].not_measured
    missing[other] = reason
    return ways, missing


def _apart(task: Task, one: Outputs, other: Outputs, tolerance: float) -> tuple[float, int]:
    """The largest difference of an output, and how many rows differ beyond the tolerance."""
    before, after = (_flat(found) for found in (one, other))
    gaps = row_differences(before, after)
    allowed = Tolerance.of(tolerance, before, has_unit=task.loss_is_relative)
    return largest(gaps), int(allowed.beyond(before, after).sum())


def _flat(found: Outputs) -> NDArray[np.float64]:
    return np.concatenate([by_row(one) for one in found], axis=1)


def _order(
    about: Applied,
    variants: Variants,
    loaded: LoadedCandidate,
    rows: Sequence[Sequence[Any]],
    **how: Any,
) -> MeasureOrder:
    return MeasureOrder(
        about.model, variants.record.version, str(loaded.folder), loaded.manifest,
        about.file.contract, rows, **how,
    )  # fmt: skip


def _steps(
    services: ProfileServices,
    about: Applied,
    variants: Variants,
    rows: Sequence[Sequence[Any]],
    within_s: float,
) -> tuple[Latency, Mapping[str, float]]:
    order = _order(
        about, variants, variants.original, rows, trusted=variants.trusted, requests=True
    )
    process = services.measuring.start(order)
    try:
        found = process.steps(within_s)
    finally:
        process.close()
    return found.total, found.steps


def _measure(
    services: ProfileServices,
    about: Applied,
    variants: Variants,
    ways: Sequence[_Way],
    rows: Sequence[Sequence[Any]],
    seconds: float,
    options: ProfileOptions,
    on_step: Callable[[str], None],
) -> list[Option]:
    """Every way in a process of its own, by rounds in turn: what the machine does meanwhile
    strikes all alike."""
    began = services.monotonic()
    cells: list[tuple[_Way, int, int, MeasuringProcess, list[Sequence[float]]]] = []
    with ExitStack() as opened:

        def start(way: _Way, threads: int, batches: Sequence[int]) -> None:
            on_step(f"start {way.name} on {threads} thread{'s' if threads > 1 else ''}")
            order = _order(about, variants, way.loaded, rows, trusted=way.trusted, threads=threads)
            process = services.measuring.start(order)
            opened.callback(process.close)
            cells.extend((way, threads, batch, process, []) for batch in batches)

        start(ways[0], 1, _BATCHES)
        for way in ways[1:]:
            start(way, 1, _COMPARED)
        if options.threads > 1 and ways[0].loaded.served.runtime not in SANDBOXED:
            start(ways[0], options.threads, _COMPARED)
        left = seconds - (services.monotonic() - began)
        each_s = max(_LEAST_ROUND_S, left / (len(cells) * _ROUNDS))
        on_step(f"measure {len(cells)} options by turns")
        for i in range(_ROUNDS):
            if i >= _LEAST_ROUNDS and services.monotonic() - began > seconds:
                break
            for _, _, batch, process, samples in cells:
                samples.append(process.round(batch, each_s))
        return [
            Option(
                name=way.name, batch=batch, threads=threads, latency=latency_of(samples),
                memory=process.memory, compared=way.compared, difference=way.difference,
                moved=way.moved, score=way.score, loss=way.loss,
            )
            for way, threads, batch, process, samples in cells
        ]  # fmt: skip

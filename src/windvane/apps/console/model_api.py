"""The control API of one model's pages that read the log: quality, the log itself, comparison."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict

from windvane.apps.console.access import GuardedRoute, needs, visit_of
from windvane.apps.console.answering import NoSuchPage, ReadService, TooManyReaders
from windvane.apps.console.api import ErrorOut
from windvane.apps.console.asking import Word, load_model
from windvane.apps.console.comparison import (
    Acceptance,
    Comparison,
    Live,
    compare,
    default_pair,
    live_facts,
    load_comparison,
)
from windvane.apps.console.log_explorer import LogExplorer, LogQuery
from windvane.apps.console.log_reads import LogAnswer
from windvane.apps.console.memory import Memory
from windvane.apps.console.quality import QualityReader, quality_view
from windvane.apps.console.reading import load_model_record
from windvane.apps.console.views import range_of
from windvane.core.authorization import Action
from windvane.ports.clock import Clock
from windvane.usecases.explore_log import MOST_ROWS
from windvane.usecases.measure_quality import SpanQuality
from windvane.usecases.read_model_file import read_model_file


class SpanOut(BaseModel):
    """A version's metric over the predictions of [start, end) (s) that it answered and whose
    outcome is known, with its 95% interval; null where ``missing`` says what is. ``version`` is
    "" for what a rule or a constant answered, ``of`` the tenant or the
    segment, "" for all rows. The interval holds where ``independent`` are:
    "units", or "rows" where not every row has a unit; rows near in time may go wrong together."""

    start: float
    end: float
    version: str
    value: float | None
    lower: float | None
    upper: float | None
    outcomes: int
    missing: str
    independent: Literal["units", "rows"]
    of: str = ""


class OutcomesOut(BaseModel):
    """What became of the outcomes that a tenant sent."""

    tenant: str
    joined: int
    late: int
    unknown: int
    ambiguous: int
    out_of_range: int
    revised: int
    refused: int


class LookOut(BaseModel):
    """A look of the judge at the predictions of [start, end) (s). ``lower`` and ``upper`` are of
    an interval at ``level``, by the budget of false alarms; null of looks that kept none."""

    start: float
    end: float
    outcome: str
    code: str
    sentence: str
    value: float | None
    lower: float | None
    upper: float | None
    scored: int | None
    level: float | None


class QualityOut(BaseModel):
    """``whole`` is of all of [start, end) (s), a version each, ``spans`` of its spans, ``parts`` of
    each tenant and each value of a declared feature. ``cut``:
    only the newest rows were read. ``next_look`` (s) is null where nothing is judged."""

    metric: str
    larger_is_better: bool
    floor: float | None
    start: float
    end: float
    cut: bool
    whole: list[SpanOut]
    spans: list[SpanOut]
    parts: list[SpanOut]
    outcomes: list[OutcomesOut]
    looks: list[LookOut]
    next_look: float | None


class LogRowOut(BaseModel):
    """A row of the log: which fields it has goes by its kind and by what the caller may see.
    ``outcome`` is the latest that is known of a prediction, ``value`` that of an outcome. Bytes
    are ``{"base64": …}``; features that are tagged pii are ``hidden``."""

    model_config = ConfigDict(extra="forbid")
    ts: float
    tenant: str
    prediction_id: str
    request_id: str | None = None
    event_id: str | None = None
    row: int | None = None
    unit: str | None = None
    routed: str | None = None
    answered: str | None = None
    arm: str | None = None
    rollout: str | None = None
    latency_us: int | None = None
    flags: list[str] | None = None
    key: str | None = None
    features: dict[str, Any] | None = None
    outputs: dict[str, Any] | None = None
    outcome: list[float] | None = None
    outcome_ts: float | None = None
    code: str | None = None
    message: str | None = None
    sample: str | None = None
    value: list[float] | None = None


class LogPageOut(BaseModel):
    """``next`` is the ``before`` of the page with older rows, "" where there are none. All from
    ``searched_to`` (s) on was looked at. ``values``: whether those of requests are shown."""

    rows: list[LogRowOut]
    next: str
    searched_to: float
    values: bool


class LineOut(BaseModel):
    """One fact of both versions; null where one has none."""

    name: str
    a: Any
    b: Any


class FeatureChangeOut(BaseModel):
    """``change`` is added, removed, changed or same; ``psi`` how far the training data moved."""

    name: str
    view: str
    type: str
    change: str
    what: str
    psi: float | None


class AcceptedOut(BaseModel):
    """The metric on the holdout with which a version was accepted, and the decision."""

    metric: str
    value: float | None
    lower: float | None
    upper: float | None
    rows: int | None
    decision: str


class LiveOut(BaseModel):
    """How a version did over ``windows`` windows; rates and latencies are null without rows."""

    version: str
    windows: int
    rows: int
    requests: int
    p50_ms: float | None
    p99_ms: float | None
    error_rate: float | None
    fell_back_rate: float | None
    unanswered: int
    unanswered_rate: float | None


class ComparisonOut(BaseModel):
    """``together``: in the windows in which both served; ``apart``: in all that were asked for.
    ``quality`` holds what outcomes say of each, and is empty where there are none. Windows before
    ``summed_until`` (s), if any, are kept as sums of hours or days: nobody knows who served in
    which, and they are in ``apart`` alone."""

    a: str
    b: str
    lineage: list[LineOut]
    features: list[FeatureChangeOut]
    metrics: list[LineOut]
    accepted: list[AcceptedOut | None]
    together: list[LiveOut]
    apart: list[LiveOut]
    quality: list[SpanOut]
    summed_until: float | None


def model_api_router(
    reads: ReadService,
    clock: Clock,
    memory: Memory,
    quality: QualityReader,
    explorer: LogExplorer,
) -> APIRouter:
    """Reads only; errors are ``ErrorOut``."""
    problems = {status: {"model": ErrorOut} for status in (401, 403, 404, 422, 503)}
    router = APIRouter(
        prefix="/api/models", tags=["models"], responses={**problems}, route_class=GuardedRoute
    )

    @router.get("/{model}/quality", summary="The metric by span and version, from outcomes")
    @needs(Action.VIEW, "model")
    async def quality_of(model: str, windows: Word = "") -> QualityOut:
        page = await load_model(reads, clock, memory, model, range_of(windows))
        report = await quality.wait_for(page, clock.now())
        view = quality_view(page, LogAnswer(report))
        return QualityOut(
            metric=report.metric,
            larger_is_better=report.larger_is_better,
            floor=report.floor,
            start=report.start,
            end=report.end,
            cut=report.cut,
            whole=[_span(one) for one in report.whole],
            spans=[_span(one) for one in report.spans],
            parts=[_span(one) for one in report.parts],
            outcomes=[
                OutcomesOut(**{name: getattr(one, name) for name in OutcomesOut.model_fields})
                for one in report.counts
            ],
            looks=[
                LookOut(
                    start=one.start, end=one.end, outcome=one.verdict.outcome,
                    code=one.verdict.code, sentence=one.verdict.sentence, value=one.value,
                    lower=one.lower, upper=one.upper, scored=one.scored, level=one.level,
                )
                for one in view.looks
            ],
            next_look=view.next_look,
        )  # fmt: skip

    @router.get(
        "/{model}/log",
        summary="Rows of the log, newest first; values for who may see them",
        response_model_exclude_unset=True,
    )
    @needs(Action.VIEW, "model")
    async def log(
        request: Request,
        model: str,
        asked: LogQuery,
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 100,
    ) -> LogPageOut:
        record, _ = await reads.ask(lambda tx: load_model_record(tx, model))
        who = visit_of(request).principal
        found = await explorer.page(read_model_file(record.text), asked, who, limit)
        if found.problem is not None:
            raise found.problem
        if found.value is None:
            raise TooManyReaders("the log was not read in time, for others read it")
        page = found.value
        return LogPageOut(
            rows=[LogRowOut(**_plain(row)) for row in page.rows],
            next=page.next,
            searched_to=page.searched_to,
            values=page.values,
        )

    @router.get("/{model}/compare", summary="Two versions side by side")
    @needs(Action.VIEW, "model")
    async def compared(model: str, a: Word = "", b: Word = "", windows: Word = "") -> ComparisonOut:
        page = await load_model(reads, clock, memory, model, range_of(windows))
        if not page.versions:
            raise NoSuchPage(f"{model} has no version yet")
        first, second = default_pair(page)
        loaded = await reads.ask(lambda tx: load_comparison(tx, page, a or first, b or second))
        report = None
        if page.glance.live:
            report = await quality.wait_for(page, clock.now())
        return _comparison(compare(page, loaded, report))

    del quality_of, log, compared
    return router


def _span(one: SpanQuality) -> SpanOut:
    q = one.quality
    told = not one.short_of
    return SpanOut(
        start=one.start, end=one.end, version=one.version, value=q.value if told else None,
        lower=q.lower if told else None, upper=q.upper if told else None, outcomes=q.rows,
        missing=one.short_of, independent=one.independent, of=one.of,
    )  # fmt: skip


def _comparison(found: Comparison) -> ComparisonOut:
    return ComparisonOut(
        a=found.a,
        b=found.b,
        lineage=[LineOut(name=one.name, a=one.a, b=one.b) for one in found.lineage],
        features=[
            FeatureChangeOut(**{name: getattr(one, name) for name in FeatureChangeOut.model_fields})
            for one in found.features
        ],
        metrics=[LineOut(name=one.name, a=one.a, b=one.b) for one in found.metrics],
        accepted=[_accepted(one) for one in found.accepted],
        together=[_live(found.a, found.together[0]), _live(found.b, found.together[1])],
        apart=[_live(found.a, found.apart[0]), _live(found.b, found.apart[1])],
        quality=[_span(one.quality) for one in found.apart if one.quality],
        summed_until=found.summed_until,
    )


def _accepted(one: Acceptance | None) -> AcceptedOut | None:
    if one is None:
        return None
    return AcceptedOut(**{name: getattr(one, name) for name in AcceptedOut.model_fields})


def _live(version: str, one: Live) -> LiveOut:
    return LiveOut(version=version, windows=one.windows, **live_facts(one))


def _plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        held = cast("Mapping[str, Any]", value)
        return {name: _plain(one) for name, one in held.items()}
    if isinstance(value, list):
        return [_plain(one) for one in cast("list[Any]", value)]
    return value

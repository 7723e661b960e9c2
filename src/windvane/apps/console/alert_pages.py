"""How good alerts are and how fast people answer them: on a page, as files and by the API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from windvane.apps.console.access import GuardedRoute, needs, sees, subject_of, visit_of
from windvane.apps.console.access import require as require_permission
from windvane.apps.console.answering import ReadService
from windvane.apps.console.api import ErrorOut
from windvane.apps.console.asking import Word
from windvane.apps.console.csv_files import Sheet, csv_response, moment
from windvane.apps.console.reading import find_model, shown_file
from windvane.apps.console.rendering import Pages, begin
from windvane.apps.console.views import Chart
from windvane.core.alerting.grading import AlertPrecision
from windvane.core.alerting.response_times import Delay, ResponseTimes
from windvane.core.authorization import Action, Principal
from windvane.ports.clock import Clock
from windvane.ports.control_store import Tx
from windvane.usecases.measure_alerts import AlertReport, measure_alerts

ALERTS = "/alerts"
_MINUTE = 60.0


class PrecisionOut(BaseModel):
    """The alerts of one monitor on ``model`` ("" for all). ``precision`` is the share of true ones
    among those graded, null where none is; ``lower`` and ``upper`` bound it by 95%. ``retire`` says
    why to retire the monitor, "" for no reason: nothing is retired by itself."""

    monitor: str
    model: str
    alerts: int
    graded: int
    true: int
    harmless: int
    false: int
    precision: float | None
    lower: float
    upper: float
    latest: float
    retire: str


class DelayOut(BaseModel):
    """The median in seconds of ``count`` delays, null of none."""

    median_s: float | None
    count: int


class TimesOut(BaseModel):
    """Of the incidents of a model that opened in the week from ``week`` on (a Monday, seconds
    since the epoch), or (null) of all of them."""

    model: str
    week: float | None
    incidents: int
    detect: DelayOut
    acknowledge: DelayOut
    resolve: DelayOut


class AlertsOut(BaseModel):
    """Of incidents that opened since ``since``. ``cut``: there were more than 10,000, and the
    oldest are left out."""

    since: float
    incidents: int
    ungraded: int
    cut: bool
    monitors: list[PrecisionOut]
    rules: list[PrecisionOut]
    times: list[TimesOut]


def alert_router(reads: ReadService, clock: Clock, pages: Pages) -> APIRouter:
    """Of the models that one may see."""
    router = APIRouter(route_class=GuardedRoute)

    async def load(who: Principal, model: str) -> AlertReport:
        now = clock.now()
        return await reads.ask(lambda tx: _load(tx, who, model, now))

    @router.get(ALERTS, include_in_schema=False, dependencies=[Depends(begin)])
    @needs(Action.VIEW)
    async def alerts(request: Request, model: Word = "") -> Response:
        found = await load(visit_of(request).principal, model)
        return pages.page(
            request, "alerts.html", title="Alert quality", now=clock.now(), model=model,
            found=found, chart=response_chart(found.times) if model else None,
        )  # fmt: skip

    @router.get("/csv/alerts/precision", include_in_schema=False)
    @needs(Action.VIEW)
    async def precision_file(request: Request, model: Word = "") -> Response:
        found = await load(visit_of(request).principal, model)
        return csv_response(precision_sheet(found), model or "windvane")

    @router.get("/csv/alerts/times", include_in_schema=False)
    @needs(Action.VIEW)
    async def times_file(request: Request, model: Word = "") -> Response:
        found = await load(visit_of(request).principal, model)
        return csv_response(times_sheet(found.times), model or "windvane")

    @router.get(
        "/api/alerts", tags=["models"],
        summary="Precision of each monitor's alerts; times to detect, acknowledge, resolve",
        responses={status: {"model": ErrorOut} for status in (401, 403, 404, 422, 503)},
    )  # fmt: skip
    @needs(Action.VIEW)
    async def alerts_api(request: Request, model: Word = "") -> AlertsOut:
        found = await load(visit_of(request).principal, model)
        return AlertsOut(
            since=found.since, incidents=found.incidents, ungraded=found.ungraded, cut=found.cut,
            monitors=[_precision(*rule) for rule in found.everywhere],
            rules=[_precision(*rule) for rule in found.rules],
            times=[_times(one) for one in found.times],
        )  # fmt: skip

    del alerts, precision_file, times_file, alerts_api
    return router


def _load(tx: Tx, who: Principal, model: str, now: float) -> AlertReport:
    """Raises NoSuchName, NotAllowed for a ``model`` by name."""
    if model:
        file = shown_file(find_model(tx, model))
        require_permission(who, Action.VIEW, subject_of(file))
    seen = {record.name for record in tx.models() if sees(who, shown_file(record))}
    return measure_alerts(tx, now, model=model, visible=seen.__contains__)


def response_chart(times: Sequence[ResponseTimes]) -> Chart | None:
    """The medians week by week, in minutes; None where there are no two weeks to compare."""
    weeks = [one for one in times if one.week is not None]
    if len(weeks) < 2:
        return None
    named = (("detect", "ink"), ("acknowledge", "busy"), ("resolve", "warn"))
    series = [
        {
            "label": name,
            "colour": colour,
            "values": [_minutes(getattr(one, name).median_s) for one in weeks],
        }
        for name, colour in named
    ]
    data: dict[str, Any] = {
        "t": [one.week for one in weeks], "unit": "min", "series": series, "marks": [],
    }  # fmt: skip
    last = weeks[-1]
    words = "; ".join(
        f"{name}: {_words(getattr(last, name))} in the last week that had incidents"
        for name, _ in named
    )
    return Chart("response", "Median times", "minutes, by the week of the opening", words, data)


def _minutes(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds / _MINUTE, 2)


def _words(delay: Delay) -> str:
    return "none" if delay.median_s is None else f"{delay.median_s / _MINUTE:,.0f} min"


def precision_sheet(found: AlertReport) -> Sheet:
    columns = ("monitor", "model", "alerts", "graded", "true", "harmless", "false", "precision",
               "lower", "upper", "latest", "retire")  # fmt: skip
    rows = [
        (
            one.monitor, name, one.alerts, one.graded, one.true, one.harmless, one.false,
            one.precision, one.lower, one.upper, moment(one.latest), one.retire,
        )
        for name, one in (*found.everywhere, *found.rules)
    ]  # fmt: skip
    return Sheet("precision", columns, rows)


def times_sheet(times: Iterable[ResponseTimes]) -> Sheet:
    columns = ("model", "week", "incidents", "detect_median_s", "detect_count",
               "acknowledge_median_s", "acknowledge_count", "resolve_median_s",
               "resolve_count")  # fmt: skip
    rows = [
        (
            one.model, moment(one.week), one.incidents, one.detect.median_s, one.detect.count,
            one.acknowledge.median_s, one.acknowledge.count, one.resolve.median_s,
            one.resolve.count,
        )
        for one in times
    ]  # fmt: skip
    return Sheet("times", columns, rows)


def _precision(model: str, one: AlertPrecision) -> PrecisionOut:
    return PrecisionOut(
        monitor=one.monitor, model=model, alerts=one.alerts, graded=one.graded, true=one.true,
        harmless=one.harmless, false=one.false, precision=one.precision, lower=one.lower,
        upper=one.upper, latest=one.latest, retire=one.retire,
    )  # fmt: skip


def _times(one: ResponseTimes) -> TimesOut:
    return TimesOut(
        model=one.model, week=one.week, incidents=one.incidents, detect=_delay(one.detect),
        acknowledge=_delay(one.acknowledge), resolve=_delay(one.resolve),
    )  # fmt: skip


def _delay(one: Delay) -> DelayOut:
    return DelayOut(median_s=one.median_s, count=one.count)

"""Planned maintenance: listed, declared and cancelled, on pages and by the API."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode

import anyio.to_thread
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from windvane.apps.console.access import (
    EVERYTHING,
    GuardedRoute,
    find_model_subject,
    needs,
    require,
    visit_of,
)
from windvane.apps.console.answering import ReadService
from windvane.apps.console.api import ErrorOut
from windvane.apps.console.asking import PER_PAGE_API, Number, PerPage, note_paging
from windvane.apps.console.forms import Form, FormRoute, Forms, Input, seconds_of, text_of
from windvane.apps.console.installation import Who
from windvane.apps.console.rendering import Pages, begin
from windvane.apps.console.tables import PER_PAGE, paged
from windvane.apps.console.times import utc
from windvane.core.authorization import Action, Principal, authorize
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, Silence, Tx, UnknownName
from windvane.usecases.plan_maintenance import (
    LONGEST_S,
    BadMaintenance,
    cancel_maintenance,
    find_maintenance,
    maintenance_named,
    plan_maintenance,
    scope_of,
)
from windvane.usecases.read_model_file import parse_moment

MAINTENANCE = "/maintenance"


class MaintenanceOut(BaseModel):
    """Nobody is paged from ``begins`` to ``until`` (wall, seconds since the epoch), of ``model``
    ("" of all) and ``tenant`` ("" of all)."""

    id: str
    model: str
    tenant: str
    begins: float
    until: float
    by: str
    reason: str


class MaintenanceWanted(BaseModel):
    """``begins`` null: now. ``until`` is at most 7 days later."""

    model_config = ConfigDict(extra="forbid")
    model: str = Field("", max_length=64)
    tenant: str = Field("", max_length=128)
    begins: float | None = Field(None, ge=0.0, le=1e11, allow_inf_nan=False)
    until: float = Field(ge=0.0, le=1e11, allow_inf_nan=False)
    reason: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class MaintenanceLine:
    """One as a line of the table; ``cancel`` leads to its form, "" where who looks may not."""

    planned: Silence
    scope: str
    cancel: str


def may_plan(tx: Tx, who: Principal, model: str) -> bool:
    """Whether they may silence the model, or ("") every model. Raises UnknownName."""
    subject = find_model_subject(tx, model) if model else EVERYTHING
    return authorize(who, Action.SILENCE, subject).allowed


def _sees(tx: Tx, who: Principal, one: Silence) -> bool:
    """What is of all models concerns everybody."""
    if not one.model:
        return True
    return authorize(who, Action.VIEW, find_model_subject(tx, one.model)).allowed


def _visible(tx: Tx, who: Principal, wall: float) -> list[MaintenanceLine]:
    return [
        MaintenanceLine(
            one, scope_of(one),
            f"{MAINTENANCE}/cancel?{urlencode({'id': one.id})}"
            if may_plan(tx, who, one.model)
            else "",
        )
        for one in find_maintenance(tx, wall)
        if _sees(tx, who, one)
    ]  # fmt: skip


def maintenance_router(
    store: ControlStore, reads: ReadService, clock: Clock, pages: Pages
) -> APIRouter:
    """Of the models that one may see; declared and cancelled by operators of the model, of all
    models by operators of everything."""
    router = APIRouter(route_class=GuardedRoute)
    forms = Forms(pages, clock)
    problems: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorOut} for status in (400, 401, 403, 404, 422, 503)
    }

    def plan(who: Principal, given: MaintenanceWanted) -> Silence:
        """Raises NotAllowed, BadMaintenance, BadTenant, UnknownName."""
        with store.read() as tx:
            try:
                subject = find_model_subject(tx, given.model) if given.model else EVERYTHING
            except UnknownName:  # is told to who may see everything
                require(who, Action.SILENCE, EVERYTHING)
                raise
        require(who, Action.SILENCE, subject)
        return plan_maintenance(
            store, clock, begins=clock.wall() if given.begins is None else given.begins,
            until=given.until, by=who.actor, reason=given.reason, model=given.model,
            tenant=given.tenant,
        )  # fmt: skip

    def cancel(who: Principal, name: str, reason: str) -> Silence:
        """Raises NotAllowed, UnknownName."""
        with store.read() as tx:
            held = maintenance_named(tx, clock.wall(), name)
            subject = find_model_subject(tx, held.model) if held.model else EVERYTHING
        require(who, Action.SILENCE, subject)
        return cancel_maintenance(store, clock, name, by=who.actor, reason=reason)

    @router.get(MAINTENANCE, include_in_schema=False, dependencies=[Depends(begin)])
    @needs(Action.VIEW)
    async def maintenance(request: Request, page: Number = "") -> Response:
        who, wall = visit_of(request).principal, clock.wall()
        found = await reads.ask(lambda tx: _visible(tx, who, wall))
        return pages.page(
            request, "maintenance.html", title="Planned maintenance", now=clock.now(), wall=wall,
            lines=paged(found, page, MAINTENANCE, {}, PER_PAGE),
            may_plan=authorize(who, Action.SILENCE, None).allowed,
        )  # fmt: skip

    @router.get(
        "/api/maintenance", tags=["acting"], summary="Planned maintenance, now and to come",
        responses={k: v for k, v in problems.items() if k not in (400, 404)},
    )  # fmt: skip
    @needs(Action.VIEW)
    async def maintenance_api(
        request: Request, response: Response, page: Number = "", per_page: PerPage = PER_PAGE_API
    ) -> list[MaintenanceOut]:
        who, wall = visit_of(request).principal, clock.wall()
        found = await reads.ask(lambda tx: _visible(tx, who, wall))
        shown = paged(found, page, "/api/maintenance", {}, per_page)
        note_paging(response, shown, per_page)
        return [_out(line.planned) for line in shown.rows]

    @router.post(
        "/api/maintenance", tags=["acting"], summary="Declare planned maintenance",
        responses=problems,
    )  # fmt: skip
    @needs(Action.SILENCE)
    def plan_api(request: Request, given: MaintenanceWanted) -> MaintenanceOut:
        who = visit_of(request).principal
        return _out(plan(who, given))

    @router.delete(
        "/api/maintenance/{name}", tags=["acting"], summary="Cancel planned maintenance",
        responses=problems,
    )  # fmt: skip
    @needs(Action.SILENCE)
    def cancel_api(request: Request, name: str) -> MaintenanceOut:
        return _out(cancel(visit_of(request).principal, name, ""))

    async def show_plan(request: Request) -> Form:
        model = request.query_params.get("model", "")[:64]
        return _plan_form(model, clock.wall())

    async def submit_plan(request: Request, sent: Mapping[str, str], who: Who) -> Response:
        begins = _moment_of(text_of(sent, "begins", 32), clock.wall())
        lasts = seconds_of(sent, "lasts", LONGEST_S, positive=True) or 0.0
        if not who.reason:
            raise BadMaintenance("reason is missing")
        given = MaintenanceWanted(
            model=text_of(sent, "model", 64), tenant=text_of(sent, "tenant"), begins=begins,
            until=begins + lasts, reason=who.reason,
        )  # fmt: skip
        principal = visit_of(request).principal
        await anyio.to_thread.run_sync(partial(plan, principal, given))
        return RedirectResponse(MAINTENANCE, 303)

    async def show_cancel(request: Request) -> Form:
        name = request.query_params.get("id", "")[:64]
        held = await reads.ask(lambda tx: maintenance_named(tx, clock.wall(), name))
        return Form(
            title=f"Cancel the maintenance of {scope_of(held)}", verb="Cancel it",
            path=f"{MAINTENANCE}/cancel?{urlencode({'id': held.id})}", back=MAINTENANCE,
            about=[
                f"It is planned until {utc(held.until)}: {held.reason}.",
                "People are told of what is open within a minute.",
            ],
        )  # fmt: skip

    async def submit_cancel(request: Request, sent: Mapping[str, str], who: Who) -> Response:
        del sent
        principal = visit_of(request).principal
        name = request.query_params.get("id", "")[:64]
        await anyio.to_thread.run_sync(partial(cancel, principal, name, who.reason))
        return RedirectResponse(MAINTENANCE, 303)

    for path, show, submit in (
        ("plan", show_plan, submit_plan), ("cancel", show_cancel, submit_cancel),
    ):  # fmt: skip
        forms.add(router, FormRoute(f"{MAINTENANCE}/{path}", Action.SILENCE, show, submit))

    del maintenance, maintenance_api, plan_api, cancel_api
    return router


def _out(one: Silence) -> MaintenanceOut:
    return MaintenanceOut(**{name: getattr(one, name) for name in MaintenanceOut.model_fields})


def _moment_of(text: str, wall: float) -> float:
    """A time in UTC such as 2026-12-01T22:00, as the form's field has it; now for none. Raises
    BadMaintenance."""
    if not text:
        return wall
    try:
        return parse_moment(text)
    except ValueError:
        hint = "a time in UTC such as 2026-12-01T22:00"
        raise BadMaintenance(f"from is {text!r}, which is no time", hint=hint) from None


def _plan_form(model: str, wall: float) -> Form:
    now = dt.datetime.fromtimestamp(wall, dt.UTC).strftime("%Y-%m-%dT%H:%M")
    return Form(
        title="Plan maintenance", verb="Plan it", path=f"{MAINTENANCE}/plan", back=MAINTENANCE,
        about=[
            "Monitors go on judging and recording meanwhile, and nobody is paged.",
            "What begins in it is marked so, and told after its end if it still goes on.",
        ],
        inputs=[
            Input("model", "Model", value=model, longest=64, hint="empty: all models"),
            Input("tenant", "Tenant", hint="empty: all; else only incidents of that tenant"),
            Input("begins", "From, in UTC", kind="datetime-local", value=now, longest=32),
            Input("lasts", "For how long", value="2h", longest=32, required=True,
                  hint="such as 30m or 2h; 7d at most"),
        ],
    )  # fmt: skip

"""What a person does to a model: close an incident, roll a version back. Each with a reason."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, StringConstraints

from windvane.apps.console.access import GuardedRoute, needs, visit_of
from windvane.apps.console.answering import ReadService
from windvane.apps.console.api import ErrorOut
from windvane.apps.console.reading import load_incident, load_model_record
from windvane.apps.console.rendering import Pages, link
from windvane.apps.console.visiting import BadForm, field, read_form
from windvane.core.authorization import Action
from windvane.core.errors import WindvaneError
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore
from windvane.ports.routing_feed import RoutingFeed
from windvane.usecases.dismiss_incident import CannotDismiss, dismiss_incident
from windvane.usecases.publish_routing import publish_latest
from windvane.usecases.roll_back_version import CannotRollBack, roll_back_version

_LONGEST_REASON = 500
ReasonText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=_LONGEST_REASON)
]


class ReasonGiven(BaseModel):
    """Why: it goes on record."""

    model_config = ConfigDict(extra="forbid")
    reason: ReasonText


class DismissedOut(BaseModel):
    """The incident that was closed, and when."""

    incident: str
    closed_at: float


class RolledBackOut(BaseModel):
    """Who answers now; ``rolled_back`` will not stand in for another version either."""

    model: str
    champion: str
    rolled_back: list[str]


def acting_router(store: ControlStore, clock: Clock, feed: RoutingFeed | None) -> APIRouter:
    """The same by the API. ``feed`` hears of a change at once; None leaves it to the steward."""
    problems: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorOut} for status in (400, 401, 403, 404, 409, 413, 422, 503)
    }
    router = APIRouter(prefix="/api", tags=["acting"], responses=problems, route_class=GuardedRoute)

    @router.post("/incidents/{incident:path}/dismiss", summary="Close an incident by hand")
    @needs(Action.DISMISS_INCIDENT, "incident")
    def dismiss(request: Request, incident: str, given: ReasonGiven) -> DismissedOut:
        closed = dismiss_incident(
            store, clock, incident, given.reason, by=visit_of(request).principal.actor
        )
        return DismissedOut(incident=closed.id, closed_at=closed.closed_at or clock.now())

    @router.post("/models/{model}/roll-back", summary="Return to the version before")
    @needs(Action.ROLL_BACK, "model")
    def roll_back(request: Request, model: str, given: ReasonGiven) -> RolledBackOut:
        live = roll_back_version(
            store, clock, model, by=visit_of(request).principal.actor, reason=given.reason
        )
        if feed is not None:
            publish_latest(store, feed)
        return RolledBackOut(
            model=model, champion=live.champion, rolled_back=list(live.rolled_back)
        )

    del dismiss, roll_back
    return router


def acting_pages(
    store: ControlStore, reads: ReadService, clock: Clock, pages: Pages, feed: RoutingFeed | None
) -> APIRouter:
    """A page for each, which says what follows and asks for the reason."""
    router = APIRouter(include_in_schema=False, route_class=GuardedRoute)

    def ask(
        request: Request, title: str, about: str, back: str, verb: str, error: WindvaneError | None
    ) -> Response:
        status = HTTPStatus.OK if error is None else HTTPStatus.UNPROCESSABLE_ENTITY
        return pages.page(
            request, "act.html", title=title, now=clock.now(), status=status, follows=False,
            problem=error, about=about, back=back, verb=verb, longest=_LONGEST_REASON,
        )  # fmt: skip

    async def dismiss_page(
        request: Request, incident: str, error: WindvaneError | None = None
    ) -> Response:
        page = await reads.ask(lambda tx: load_incident(tx, incident, values=False))
        return ask(
            request, f"Close: {page.incident.title}",
            "The incident is closed, and the detector that opened it begins anew: if it still "
            "finds the cause, it opens another.",
            link("incidents", incident), "Close the incident", error,
        )  # fmt: skip

    async def roll_back_page(
        request: Request, model: str, error: WindvaneError | None = None
    ) -> Response:
        _, live = await reads.ask(lambda tx: load_model_record(tx, model))
        if live is None:
            error = error or CannotRollBack(f"no version of {model} is live")
            about = "Nothing is live."
        elif live.challenger:
            about = (
                f"The rollout of version {live.challenger} ends, and version {live.champion} "
                "answers everyone."
            )
        elif live.previous is None:
            about = f"There is no version before {live.champion} to return to."
        else:
            about = f"Version {live.previous} answers in place of version {live.champion}."
        return ask(request, f"Roll back {model}", about, link("models", model), "Roll back", error)

    @router.get("/close/{incident:path}")
    @needs(Action.DISMISS_INCIDENT, "incident")
    async def ask_dismiss(request: Request, incident: str) -> Response:
        return await dismiss_page(request, incident)

    @router.post("/close/{incident:path}")
    @needs(Action.DISMISS_INCIDENT, "incident")
    async def dismiss(request: Request, incident: str) -> Response:
        actor = visit_of(request).principal.actor
        try:
            why = field(await read_form(request), "reason", _LONGEST_REASON).strip()
            act = partial(dismiss_incident, store, clock, incident, why, by=actor)
            await anyio.to_thread.run_sync(act)
        except (BadForm, CannotDismiss) as error:
            return await dismiss_page(request, incident, error)
        return RedirectResponse(link("incidents", incident), HTTPStatus.SEE_OTHER)

    @router.get("/roll-back/{model}")
    @needs(Action.ROLL_BACK, "model")
    async def ask_roll_back(request: Request, model: str) -> Response:
        return await roll_back_page(request, model)

    @router.post("/roll-back/{model}")
    @needs(Action.ROLL_BACK, "model")
    async def roll_back(request: Request, model: str) -> Response:
        actor = visit_of(request).principal.actor
        try:
            why = field(await read_form(request), "reason", _LONGEST_REASON).strip()

            def act() -> None:
                roll_back_version(store, clock, model, by=actor, reason=why)
                if feed is not None:
                    publish_latest(store, feed)

            await anyio.to_thread.run_sync(act)
        except (BadForm, CannotRollBack) as error:
            return await roll_back_page(request, model, error)
        return RedirectResponse(link("models", model), HTTPStatus.SEE_OTHER)

    del ask_dismiss, dismiss, ask_roll_back, roll_back
    return router

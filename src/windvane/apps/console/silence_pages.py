"""What nobody is told of now, of all models: on a page, as a file and by the API."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from windvane.apps.console.access import GuardedRoute, needs, visit_of
from windvane.apps.console.acting import page_of
from windvane.apps.console.answering import ReadService
from windvane.apps.console.api import ErrorOut
from windvane.apps.console.asking import PER_PAGE_API, PerPage, note_paging
from windvane.apps.console.csv_files import csv_response
from windvane.apps.console.installation_lists import (
    ListAsked,
    SilenceLine,
    WordsQuery,
    find_silences,
    silences_sheet,
)
from windvane.apps.console.rendering import Pages, begin
from windvane.apps.console.tables import PER_PAGE, Paged, paged
from windvane.core.authorization import Action, Principal
from windvane.ports.clock import Clock
from windvane.usecases.actions import About, action_named

SILENCES = "/silences"


class SilenceOut(BaseModel):
    """Nobody is told of ``cause`` ("" for every incident) of the model ``until`` then, seconds
    since the epoch by the wall's clock."""

    model: str
    cause: str
    until: float
    by: str
    reason: str


def silence_router(reads: ReadService, clock: Clock, pages: Pages) -> APIRouter:
    """The silences that last, of the models that one may see."""
    router = APIRouter(route_class=GuardedRoute)
    lift = action_named("lift-silence", About.MODEL)

    async def load(
        who: Principal, asked: ListAsked, per_page: int | None = None
    ) -> Paged[SilenceLine]:
        wall = clock.wall()
        found = await reads.ask(lambda tx: find_silences(tx, asked, wall, who))
        most = per_page or max(1, len(found))
        return paged(found, asked.page, SILENCES, {"q": asked.q}, most)

    @router.get(SILENCES, include_in_schema=False, dependencies=[Depends(begin)])
    @needs(Action.VIEW)
    async def silences(request: Request, asked: WordsQuery) -> Response:
        shown = await load(visit_of(request).principal, asked, PER_PAGE)
        counts: dict[str, int] = {}
        for line in shown.rows:
            counts[line.silence.model] = counts.get(line.silence.model, 0) + 1
        return pages.page(
            request, "silences.html", title="Silences", now=clock.now(), wall=clock.wall(),
            asked=asked, silences=shown, counts=counts, lift=lambda model: page_of(lift, model),
        )  # fmt: skip

    @router.get("/csv/silences", include_in_schema=False)
    @needs(Action.VIEW)
    async def silences_file(request: Request, asked: WordsQuery) -> Response:
        whole = await load(visit_of(request).principal, replace(asked, page=""))
        return csv_response(silences_sheet(whole.rows), "windvane")

    @router.get(
        "/api/silences", tags=["acting"], summary="What nobody is told of now",
        responses={status: {"model": ErrorOut} for status in (401, 403, 422, 503)},
    )  # fmt: skip
    @needs(Action.VIEW)
    async def silences_api(
        request: Request, response: Response, asked: WordsQuery, per_page: PerPage = PER_PAGE_API
    ) -> list[SilenceOut]:
        shown = await load(visit_of(request).principal, asked, per_page)
        note_paging(response, replace(shown, path="/api/silences"), per_page)
        return [
            SilenceOut(
                model=one.model, cause=one.cause, until=one.until, by=one.by, reason=one.reason
            )
            for one in (line.silence for line in shown.rows)
        ]

    del silences, silences_file, silences_api
    return router

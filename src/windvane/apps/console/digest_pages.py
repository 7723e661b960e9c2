"""The digest of the week before now: on a page and by the API."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from windvane.apps.console.access import GuardedRoute, needs, sees, visit_of
from windvane.apps.console.answering import ReadService
from windvane.apps.console.api import ErrorOut
from windvane.apps.console.asking import Word
from windvane.apps.console.rendering import Pages, begin
from windvane.core.alerting.digest import Digest, digest_title
from windvane.core.authorization import Action, Principal
from windvane.ports.clock import Clock
from windvane.usecases.write_digest import write_digest


class DigestLineOut(BaseModel):
    """``path`` is of the console's page about it; ``grave``: it asks for somebody."""

    text: str
    path: str
    grave: bool


class DigestSectionOut(BaseModel):
    """``quiet`` is said where there is no line; ``more`` lines are left out."""

    title: str
    quiet: str
    lines: list[DigestLineOut]
    more: int


class DigestOut(BaseModel):
    """From ``since`` to ``until``, seconds since the epoch, about so many models."""

    title: str
    since: float
    until: float
    models: int
    team: str
    sections: list[DigestSectionOut]


def digest_router(
    reads: ReadService, clock: Clock, pages: Pages, expire_after_s: float
) -> APIRouter:
    """Of the models that one may see."""
    router = APIRouter(route_class=GuardedRoute)

    async def load(who: Principal, team: str) -> Digest:
        now, wall = clock.now(), clock.wall()
        return await reads.ask(
            lambda tx: write_digest(
                tx, now, wall, expire_after_s, team=team, visible=lambda file: sees(who, file)
            )
        )

    @router.get("/digest", include_in_schema=False, dependencies=[Depends(begin)])
    @needs(Action.VIEW)
    async def digest(request: Request, team: Word = "") -> Response:
        found = await load(visit_of(request).principal, team)
        return pages.page(
            request, "digest.html", title="Digest of the week", now=clock.now(), found=found,
            team=team,
        )  # fmt: skip

    @router.get(
        "/api/digest", tags=["models"], summary="The digest of the week before now",
        responses={status: {"model": ErrorOut} for status in (401, 403, 422, 503)},
    )  # fmt: skip
    @needs(Action.VIEW)
    async def digest_api(request: Request, team: Word = "") -> DigestOut:
        found = await load(visit_of(request).principal, team)
        return DigestOut(
            title=digest_title(found), since=found.since, until=found.until, models=found.models,
            team=found.team,
            sections=[
                DigestSectionOut(
                    title=one.title, quiet=one.quiet, more=one.more,
                    lines=[
                        DigestLineOut(text=line.text, path=line.path, grave=line.grave)
                        for line in one.lines
                    ],
                )
                for one in found.sections
            ],
        )  # fmt: skip

    del digest, digest_api
    return router

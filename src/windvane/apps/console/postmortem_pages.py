"""Postmortems and their action items: on pages, as files and by the API."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from windvane.apps.console.access import GuardedRoute, may, needs, sees, visit_of
from windvane.apps.console.acting import page_of
from windvane.apps.console.answering import ReadService
from windvane.apps.console.api import ErrorOut
from windvane.apps.console.asking import PER_PAGE_API, Number, PerPage, Word, note_paging
from windvane.apps.console.csv_files import Sheet, csv_response, moment
from windvane.apps.console.reading import naming_closest, shown_file
from windvane.apps.console.rendering import Pages, begin
from windvane.apps.console.tables import PER_PAGE, Paged, paged, search
from windvane.apps.console.times import utc
from windvane.core.alerting.postmortem import Postmortem, write_markdown
from windvane.core.authorization import Action, Principal
from windvane.ports.clock import Clock
from windvane.ports.control_store import Tx
from windvane.ports.incidents import ActionItem, ItemState
from windvane.usecases.actions import About, action_named
from windvane.usecases.read_model_file import ModelFile
from windvane.usecases.write_postmortem import write_postmortem

ITEMS, POSTMORTEMS = "/action-items", "/postmortems"
OVERDUE = "overdue"
STATES = (OVERDUE, *(state.value for state in ItemState))
MOST_ITEMS = 5_000


class ActionItemOut(BaseModel):
    """What is to be done after an incident, by whom, until ``due`` (the end of that day, seconds
    since the epoch). ``state`` is open, done or verified."""

    id: str
    model: str
    incident: str
    what: str
    owner: str
    due: float
    acceptance: str
    state: str
    overdue: bool
    created_by: str
    created_at: float
    changed_by: str
    changed_at: float | None


@dataclass(frozen=True, slots=True)
class ItemRow:
    """An action item as a line of a table; ``moves`` lead from it: their words and paths, none
    where who looks may not."""

    item: ActionItem
    overdue: bool
    moves: tuple[tuple[str, str], ...] = ()


def postmortem_router(reads: ReadService, clock: Clock, pages: Pages) -> APIRouter:
    """Of the models that one may see."""
    router = APIRouter(route_class=GuardedRoute)
    problems: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorOut} for status in (401, 403, 404, 422, 503)
    }

    async def items_of(
        who: Principal, q: str, model: str, state: str, page: str, per_page: int | None = None
    ) -> Paged[ItemRow]:
        now = clock.now()
        found = await reads.ask(lambda tx: find_items(tx, who, now, q, model, state))
        asked = {"q": q, "model": model, "state": state}
        return paged(found, page, ITEMS, asked, per_page or max(1, len(found)))

    @router.get(ITEMS, include_in_schema=False, dependencies=[Depends(begin)])
    @needs(Action.VIEW)
    async def items(
        request: Request, q: Word = "", model: Word = "", state: Word = "", page: Number = ""
    ) -> Response:
        found = await items_of(visit_of(request).principal, q, model, state, page, PER_PAGE)
        return pages.page(
            request, "action_items.html", title="Action items", now=clock.now(), items=found,
            asked=found.query, states=STATES,
        )  # fmt: skip

    @router.get("/csv/action-items", include_in_schema=False)
    @needs(Action.VIEW)
    async def items_file(
        request: Request, q: Word = "", model: Word = "", state: Word = ""
    ) -> Response:
        found = await items_of(visit_of(request).principal, q, model, state, "")
        return csv_response(items_sheet(found.rows), model or "windvane")

    @router.get(
        "/api/action-items", tags=["models"], summary="What is to be done after incidents",
        responses={k: v for k, v in problems.items() if k != 404},
    )  # fmt: skip
    @needs(Action.VIEW)
    async def items_api(
        request: Request, response: Response, q: Word = "", model: Word = "", state: Word = "",
        page: Number = "", per_page: PerPage = PER_PAGE_API,
    ) -> list[ActionItemOut]:  # fmt: skip
        found = await items_of(visit_of(request).principal, q, model, state, page, per_page)
        path = f"/api{ITEMS}"
        note_paging(response, Paged(found.rows, found.page, found.total, per_page, path,
                                    found.query), per_page)  # fmt: skip
        return [_item(row) for row in found.rows]

    async def markdown_of(incident: str) -> str:
        now = clock.now()

        def written(tx: Tx) -> Postmortem:
            with naming_closest(tx, incident):
                return write_postmortem(tx, incident, now)

        return write_markdown(await reads.ask(written), utc)

    @router.get(POSTMORTEMS + "/{incident:path}", include_in_schema=False,
                dependencies=[Depends(begin)])  # fmt: skip
    @needs(Action.VIEW, "incident")
    async def postmortem(request: Request, incident: str) -> Response:
        return pages.page(
            request, "postmortem.html", title="Postmortem", now=clock.now(), incident=incident,
            markdown=await markdown_of(incident), follows=False,
        )  # fmt: skip

    @router.get(
        "/api" + POSTMORTEMS + "/{incident:path}", tags=["models"],
        summary="An incident's postmortem, from what is on record", responses=problems,
        response_class=_Markdown,
    )  # fmt: skip
    @needs(Action.VIEW, "incident")
    async def postmortem_file(incident: str) -> Response:
        name = re.sub(r"[^\w.-]+", "-", incident, flags=re.ASCII).strip("-")[:100]
        headers = {"Content-Disposition": f'attachment; filename="postmortem-{name}.md"'}
        return _Markdown(await markdown_of(incident), headers=headers)

    del items, items_file, items_api, postmortem, postmortem_file
    return router


def find_items(tx: Tx, who: Principal, now: float, q: str, model: str, state: str) -> list[ItemRow]:
    """Those of models that ``who`` may see: overdue ones first, then as they are due."""
    held = tx.action_items(MOST_ITEMS, model=model)
    names = sorted({item.model for item in held})
    files = {r.name: shown_file(r) for r in (tx.model_records(names) if names else ())}
    rows = [
        item_row(item, now, who, files[item.model])
        for item in held
        if item.model in files and sees(who, files[item.model])
    ]
    kept = [
        row for row in rows if state in ("", row.item.state) or (state == OVERDUE and row.overdue)
    ]
    kept.sort(key=lambda row: (not row.overdue, row.item.state != ItemState.OPEN, row.item.due))
    return search(kept, q, _words)


def item_row(item: ActionItem, now: float, who: Principal, file: ModelFile) -> ItemRow:
    move = action_named("set-action-item", About.INCIDENT)
    moves: tuple[tuple[str, str], ...] = ()
    if may(who, move.permission, file):
        following = {
            ItemState.OPEN: (ItemState.DONE,),
            ItemState.DONE: (ItemState.VERIFIED, ItemState.OPEN),
            ItemState.VERIFIED: (ItemState.OPEN,),
        }[ItemState(item.state)]
        moves = tuple(
            (
                _MOVES[state],
                f"{page_of(move, item.incident)}?{urlencode({'item': item.id, 'state': state})}",
            )
            for state in following
        )
    return ItemRow(item, item.overdue(now), moves)


_MOVES: Mapping[ItemState, str] = {
    ItemState.DONE: "It is done", ItemState.VERIFIED: "Verified", ItemState.OPEN: "Open again",
}  # fmt: skip


def _words(row: ItemRow) -> tuple[str, ...]:
    item = row.item
    return item.id, item.model, item.incident, item.what, item.owner, item.acceptance


def items_sheet(rows: Iterable[ItemRow]) -> Sheet:
    columns = ("id", "model", "incident", "what", "owner", "due", "acceptance", "state", "overdue",
               "created_by", "created_at", "changed_by", "changed_at")  # fmt: skip
    cells = [
        (
            i.id, i.model, i.incident, i.what, i.owner, moment(i.due), i.acceptance, i.state,
            row.overdue, i.created_by, moment(i.created_at), i.changed_by, moment(i.changed_at),
        )
        for row in rows
        for i in (row.item,)
    ]  # fmt: skip
    return Sheet("action-items", columns, cells)


class _Markdown(PlainTextResponse):
    media_type = "text/markdown"


def postmortem_path(incident: str) -> str:
    return f"{POSTMORTEMS}/{quote(incident)}"


def _item(row: ItemRow) -> ActionItemOut:
    names = (name for name in ActionItemOut.model_fields if name != OVERDUE)
    return ActionItemOut(overdue=row.overdue, **{name: getattr(row.item, name) for name in names})

"""What could not be processed: looked at, put back or forgotten, on pages and by the API."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode

import anyio.to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from windvane.apps.console.access import (
    GuardedRoute,
    items_to_put_back,
    needs,
    visible_items,
    visit_of,
)
from windvane.apps.console.acting import ReasonText
from windvane.apps.console.answering import NotAllowed, ReadService
from windvane.apps.console.api import ErrorOut
from windvane.apps.console.asking import Number, Word
from windvane.apps.console.csv_files import Sheet, csv_response, moment
from windvane.apps.console.forms import Form, FormRoute, Forms
from windvane.apps.console.installation import Who
from windvane.apps.console.rendering import Pages, begin
from windvane.apps.console.tables import LONGEST, paged, search
from windvane.apps.console.visiting import BadForm
from windvane.core.authorization import HIDDEN, Action, Principal
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, Tx, UnknownName
from windvane.ports.quarantine import MAX_ITEMS, ItemKind, ItemStatus, Quarantined
from windvane.usecases.put_back import forget, put_back
from windvane.usecases.set_aside import content_of_item

QUARANTINE = "/quarantine"
_MOST_IN_A_CALL = 1_000
_UNKNOWN = "of a kind that this release does not know: left as it is"
_THEN: Mapping[str, str] = {
    ItemKind.EVENT: "counted and logged by a recorder within seconds, once",
    ItemKind.WINDOW: "judged again by the steward for the record; nobody acts on it",
    ItemKind.NOTIFICATION: "sent again",
    ItemKind.FILE: "read again; set aside until this release can read it",
}
Change = Callable[..., int]


class QuarantinedOut(BaseModel):
    """What could not be processed, and why; ``status`` is held, or retry until it is processed
    again. ``size`` in bytes."""

    id: str
    kind: str
    model: str
    tenant: str
    at: float
    reason: str
    message: str
    size: int
    source: str
    status: str


class ItemsNamed(BaseModel):
    """Items by their ids, and why: it goes on record."""

    model_config = ConfigDict(extra="forbid")
    items: list[Annotated[str, StringConstraints(max_length=LONGEST)]] = Field(
        min_length=1, max_length=_MOST_IN_A_CALL
    )
    reason: ReasonText


class ItemsOut(BaseModel):
    """How many items are put back, or forgotten. One that is not whole is never put back."""

    items: int


@dataclass(frozen=True, slots=True)
class ItemsAsked:
    """Which items, each "" for all: words in them, one's id, its model, its kind."""

    q: str = ""
    item: str = ""
    model: str = ""
    kind: str = ""
    page: str = ""

    def query(self) -> dict[str, str]:
        return {"q": self.q, "item": self.item, "model": self.model, "kind": self.kind}

    def link(self, path: str) -> str:
        kept = {name: value for name, value in self.query().items() if value}
        return f"{path}?{urlencode(kept)}" if kept else path

    @property
    def narrowed(self) -> bool:
        return any(self.query().values())


def _asked(
    q: Word = "", item: Word = "", model: Word = "", kind: Word = "", page: Number = ""
) -> ItemsAsked:
    return ItemsAsked(q, item, model, kind, page)


ItemsQuery = Annotated[ItemsAsked, Depends(_asked)]


def quarantine_router(
    store: ControlStore, reads: ReadService, clock: Clock, pages: Pages
) -> APIRouter:
    """A list, a page for each item, and two changes, by form and by API."""
    router = APIRouter(route_class=GuardedRoute)
    forms = Forms(pages, clock)

    @router.get(QUARANTINE, include_in_schema=False, dependencies=[Depends(begin)])
    @needs(Action.VIEW)
    async def items(request: Request, asked: ItemsQuery) -> Response:
        who = visit_of(request).principal

        def read(tx: Tx) -> tuple[list[Quarantined], set[str]]:
            found = _find(tx, asked, who)
            return found, {one.id for one in items_to_put_back(tx, who, found)}

        found, changeable = await reads.ask(read)
        return pages.page(
            request, "quarantine.html", title="Set aside", now=clock.now(), asked=asked,
            items=paged(found, asked.page, QUARANTINE, asked.query()), kinds=list(ItemKind),
            changeable=changeable, quote=lambda item: ItemsAsked(item=item.id),
            retry=ItemStatus.RETRY,
        )  # fmt: skip

    @router.get("/csv/quarantine", include_in_schema=False)
    @needs(Action.VIEW)
    async def items_file(request: Request, asked: ItemsQuery) -> Response:
        who = visit_of(request).principal
        found = await reads.ask(lambda tx: _find(tx, asked, who))
        return csv_response(_sheet(found), "windvane")

    @router.get("/api/quarantine", tags=["control"], responses=_problems(401, 403, 422, 503),
                summary="What was set aside, newest first, without its bodies")  # fmt: skip
    @needs(Action.VIEW)
    async def items_api(
        request: Request,
        model: str = "",
        kind: str = "",
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    ) -> list[QuarantinedOut]:
        who = visit_of(request).principal
        found = await reads.ask(
            lambda tx: visible_items(tx, who, tx.quarantined(model, kind, MAX_ITEMS))[:limit]
        )
        names = QuarantinedOut.model_fields
        return [QuarantinedOut(**{name: getattr(one, name) for name in names}) for one in found]

    def named(change: Change, request: Request, given: ItemsNamed) -> ItemsOut:
        who = visit_of(request).principal
        with store.begin([]) as tx:
            found = [tx.quarantined_item(item) for item in dict.fromkeys(given.items)]
            may_change = {one.id for one in items_to_put_back(tx, who, found)}
            if refused := [one for one in found if one.id not in may_change]:
                model = refused[0].model or "no known model"
                raise NotAllowed(f"{who.actor} may not put back or forget items of {model}")
            changed = change(tx, clock, given.items, by=who.actor, reason=given.reason)
        return ItemsOut(items=changed)

    problems = _problems(400, 401, 403, 404, 413, 422, 503)

    @router.post("/api/quarantine/put-back", tags=["acting"], responses=problems,
                 summary="Process again what was set aside")  # fmt: skip
    @needs(Action.PUT_BACK)
    def put_back_named(request: Request, given: ItemsNamed) -> ItemsOut:
        return named(put_back, request, given)

    @router.post("/api/quarantine/forget", tags=["acting"], responses=problems,
                 summary="Never process what was set aside")  # fmt: skip
    @needs(Action.PUT_BACK)
    def forget_named(request: Request, given: ItemsNamed) -> ItemsOut:
        return named(forget, request, given)

    async def chosen(request: Request) -> tuple[ItemsAsked, list[Quarantined]]:
        """What the form is about, as things are now. Raises UnknownName for nothing at all."""
        given = request.query_params
        asked = ItemsAsked(*(given.get(n, "")[:LONGEST] for n in ("q", "item", "model", "kind")))
        who = visit_of(request).principal
        found = await reads.ask(lambda tx: items_to_put_back(tx, who, _find(tx, asked, who)))
        if not found:
            raise UnknownName("nothing that is set aside fits, of what you may put back or forget")
        return asked, found

    def change_all(change: Change, chosen_ones: Sequence[Quarantined], who: Who) -> None:
        with store.begin([]) as tx:
            still = tx.held_of([one.id for one in chosen_ones])
            ids = [one.id for one in chosen_ones if one.id in still]
            change(tx, clock, ids, by=who.by, reason=who.reason)

    def add(
        name: str, change: Change, form: Callable[[ItemsAsked, list[Quarantined]], Form]
    ) -> None:
        async def show(request: Request) -> Form:
            return form(*await chosen(request))

        async def submit(request: Request, sent: Mapping[str, str], who: Who) -> Response:
            _, found = await chosen(request)
            if sent.get("confirmed") != _named(found):
                message = f"what fits is not what it was: {len(found):,} items by now"
                raise BadForm(message, hint="look at it again")
            await anyio.to_thread.run_sync(partial(change_all, change, found, who))
            return RedirectResponse(QUARANTINE, 303)

        forms.add(router, FormRoute(f"{QUARANTINE}/{name}", Action.PUT_BACK, show, submit))

    add("put-back", put_back, _put_back_form)
    add("forget", forget, _forget_form)

    @router.get(f"{QUARANTINE}/{{item}}", include_in_schema=False, dependencies=[Depends(begin)])
    @needs(Action.VIEW)
    async def one_item(request: Request, item: str) -> Response:
        who = visit_of(request).principal

        def read(tx: Tx) -> tuple[Quarantined, bool]:
            found = tx.quarantined_item(item)
            for shown in visible_items(tx, who, [found]):
                return shown, bool(items_to_put_back(tx, who, [found]))
            raise UnknownName(f"no item {item[:LONGEST]!r} is set aside, of what you may see")

        found, changeable = await reads.ask(read)
        hidden = found.message == HIDDEN
        return pages.page(
            request, "quarantined.html", title=f"Set aside: {found.kind} {found.id}",
            now=clock.now(), item=found, changeable=changeable, hidden=hidden,
            content=None if hidden else content_of_item(found), asked=ItemsAsked(item=found.id),
            then=_THEN.get(found.kind, _UNKNOWN), retry=ItemStatus.RETRY,
        )  # fmt: skip

    del items, items_file, items_api, put_back_named, forget_named, one_item
    return router


def _find(tx: Tx, asked: ItemsAsked, who: Principal) -> list[Quarantined]:
    """Without bodies, newest first."""
    held = tx.quarantined(asked.model, asked.kind, MAX_ITEMS)
    if asked.item:
        held = [one for one in held if one.id == asked.item]
    return search(visible_items(tx, who, held), asked.q, _words)


def _words(item: Quarantined) -> Sequence[str]:
    return (item.id, item.kind, item.model, item.tenant, item.reason, item.message, item.source)


def _sheet(items: Sequence[Quarantined]) -> Sheet:
    columns = ("id", "kind", "model", "tenant", "at", "reason", "message", "size", "source",
               "status")  # fmt: skip
    rows = [
        (one.id, one.kind, one.model, one.tenant, moment(one.at), one.reason, one.message,
         one.size, one.source, one.status)
        for one in items
    ]  # fmt: skip
    return Sheet("quarantine", columns, rows)


def _put_back_form(asked: ItemsAsked, items: Sequence[Quarantined]) -> Form:
    kinds = Counter(one.kind for one in items)
    about = [f"{_counted(n, kind)}: {_THEN.get(kind, _UNKNOWN)}." for kind, n in kinds.items()]
    if cut := sum(not one.whole for one in items):
        about.append(
            f"{cut:,} of them {'is' if cut == 1 else 'are'} not whole, and cannot be processed."
        )
    about.append("Mend the reason first: what is still bad is set aside again.")
    return Form(
        title=_title("Process", items, "again"), verb="Process again",
        path=asked.link(f"{QUARANTINE}/put-back"), back=QUARANTINE, about=about,
        confirmed=_named(items),
    )  # fmt: skip


def _forget_form(asked: ItemsAsked, items: Sequence[Quarantined]) -> Form:
    kinds = Counter(one.kind for one in items)
    told = ", ".join(_counted(n, kind) for kind, n in kinds.items())
    return Form(
        title=_title("Forget", items, ""), verb="Forget for good", destructive=True,
        path=asked.link(f"{QUARANTINE}/forget"), back=QUARANTINE,
        confirmed=_named(items),
        about=[f"{told} will never be processed, and cannot be looked at any more.",
               "What was counted of them stays counted."],
    )  # fmt: skip


def _named(items: Sequence[Quarantined]) -> str:
    """Just these items, whatever order they have."""
    return hashlib.sha256(" ".join(sorted(one.id for one in items)).encode()).hexdigest()


def _title(verb: str, items: Sequence[Quarantined], after: str) -> str:
    what = f"{items[0].kind} {items[0].id}" if len(items) == 1 else f"{len(items):,} items"
    return f"{verb} {what} {after}".strip()


def _counted(n: int, kind: str) -> str:
    return f"{n:,} {kind}{'' if n == 1 else 's'}"


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorOut} for status in statuses}

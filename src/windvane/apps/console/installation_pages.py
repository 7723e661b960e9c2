"""The pages of keys and limits: lists, and a form for each change."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from urllib.parse import urlencode

import anyio.to_thread
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from windvane.apps.console.access import GuardedRoute, needs
from windvane.apps.console.answering import ReadService
from windvane.apps.console.csv_files import csv_response
from windvane.apps.console.forms import (
    Check,
    Form,
    FormRoute,
    Forms,
    Input,
    lines_of,
    number_of,
    seconds_of,
    text_of,
)
from windvane.apps.console.installation import Installation, KeyOrder, Who, find_limit
from windvane.apps.console.installation_lists import (
    KEY_TONES,
    KeysQuery,
    WordsQuery,
    find_keys,
    find_limits,
    key_state,
    keys_sheet,
    limit_words,
    limits_sheet,
)
from windvane.apps.console.rendering import Pages, begin
from windvane.apps.console.tables import LONGEST, paged
from windvane.apps.console.times import ago
from windvane.apps.console.visiting import field
from windvane.core.authorization import Action
from windvane.core.routing import CLIENT_SCOPES, EVERYONE, ApiVersion, Scope, TenantLimit
from windvane.ports.clock import Clock
from windvane.ports.control_store import KeyRecord, Tx
from windvane.usecases.limit_tenant import BadLimit
from windvane.usecases.read_model_file import as_duration
from windvane.usecases.revoke_key import living_key

KEYS, LIMITS = "/keys", "/limits"
_DAY_S = 86_400.0
_MOST = 10_000_000
_LOOKED_BACK_S, _LINES = 30 * _DAY_S, 2_000
ROLES_HINT = "one a line, such as viewer, operator@team:ops or approver@model:flight-delay"
_SCOPES = {
    Scope.PREDICT: "predict",
    Scope.OUTCOMES: "send outcomes",
    Scope.EVENTS: "tell of predictions made elsewhere",
    Scope.READ: "list models; read the tenant's own audit",
    Scope.ADMIN: "admin: keys, limits, users, of every tenant",
}


def key_pages(
    installation: Installation, reads: ReadService, clock: Clock, pages: Pages
) -> APIRouter:
    """Issue, rotate and revoke; a key is shown once, on the answer to its form."""
    router = APIRouter(
        include_in_schema=False, dependencies=[Depends(begin)], route_class=GuardedRoute
    )
    forms = Forms(pages, clock)

    async def find(key: str) -> tuple[KeyRecord, str]:
        """The key if it still works, and how it was used lately. Raises UnknownKey."""

        def read(tx: Tx) -> tuple[KeyRecord, str]:
            record = living_key(tx, clock, key)
            now = clock.now()
            lines = tx.access(record.entry.tenant, now - _LOOKED_BACK_S, _LINES)
            used = [line for line in lines if line.key == key]
            if used:
                calls, last = sum(line.calls for line in used), max(line.last for line in used)
                return record, f"It was used {ago(last, now)} ({calls:,} calls in 30 days)."
            unknown = len(lines) == _LINES
            return record, "" if unknown else "It was not used in the last 30 days."

        return await reads.ask(read)

    @router.get(KEYS)
    @needs(Action.MANAGE_KEYS)
    async def keys(request: Request, asked: KeysQuery) -> Response:
        wall = clock.wall()

        def read(tx: Tx) -> tuple[list[KeyRecord], int]:
            return find_keys(tx, asked, wall), len(tx.key_records())

        found, known = await reads.ask(read)
        shown = paged(found, asked.page, KEYS, asked.query())
        return pages.page(
            request, "keys.html", title="Keys", now=clock.now(), asked=asked, keys=shown,
            known=known, states=list(KEY_TONES), wall=wall,
            rows=[(key, state := key_state(key, wall), KEY_TONES[state]) for key in shown.rows],
        )  # fmt: skip

    async def show_issue(request: Request) -> Form:
        del request
        return _issue_form()

    async def issue(request: Request, sent: Mapping[str, str], who: Who) -> Response:
        order = KeyOrder(
            field(sent, "tenant", 128).strip(), text_of(sent, "name") or "console",
            [scope.value for scope in Scope if f"scope-{scope}" in sent],
            seconds_of(sent, "expires", 3_650 * _DAY_S, positive=True),
            text_of(sent, "api_version", 32), lines_of(sent, "roles"),
        )  # fmt: skip
        made, record = await anyio.to_thread.run_sync(installation.issue_key, order, who)
        title = f"A key of {record.entry.tenant}"
        return forms.show_secret(request, title, made, _about_key(record), KEYS)

    async def show_rotate(request: Request) -> Form:
        return _rotate_form(*await find(request.path_params["key"]))

    async def rotate(request: Request, sent: Mapping[str, str], who: Who) -> Response:
        key = request.path_params["key"]
        grace_s = seconds_of(sent, "grace", 365 * _DAY_S) or 0.0
        change = partial(installation.rotate_key, key, grace_s, who)
        made, record = await anyio.to_thread.run_sync(change)
        about = [f"It takes the place of key {key}, which works for {as_duration(grace_s)} more."]
        title = f"The successor of key {key}"
        return forms.show_secret(request, title, made, [*about, *_about_key(record)], KEYS)

    async def show_revoke(request: Request) -> Form:
        return _revoke_form(*await find(request.path_params["key"]))

    async def revoke(request: Request, sent: Mapping[str, str], who: Who) -> Response:
        del sent
        key = request.path_params["key"]
        await anyio.to_thread.run_sync(installation.revoke_key, key, who)
        return RedirectResponse(KEYS, 303)

    for path, show, submit in (
        ("issue", show_issue, issue),
        ("{key}/rotate", show_rotate, rotate),
        ("{key}/revoke", show_revoke, revoke),
    ):
        forms.add(router, FormRoute(f"{KEYS}/{path}", Action.MANAGE_KEYS, show, submit))

    @router.get("/csv/keys")
    @needs(Action.MANAGE_KEYS)
    async def keys_file(asked: KeysQuery) -> Response:
        wall = clock.wall()
        found = await reads.ask(lambda tx: find_keys(tx, asked, wall))
        return csv_response(keys_sheet(found, wall), "windvane")

    del keys, keys_file
    return router


def _issue_form() -> Form:
    versions = [("", "the newest"), *((one.value, one.value) for one in ApiVersion)]
    return Form(
        title="Issue a key", verb="Issue it", path=f"{KEYS}/issue", back=KEYS,
        about=["The key is shown once, on the next page. Only its hash is kept."],
        inputs=[
            Input("tenant", "Tenant", required=True, hint="whose requests and data it is"),
            Input("name", "What is it for?", hint="its name in lists, such as checkout"),
            Input("expires", "Works for", longest=32, hint="such as 90d; empty: until revoked"),
            Input("api_version", "API version of its callers", kind="choice", options=versions),
            Input("roles", "Roles in the console's API", kind="area", hint=f"if any, {ROLES_HINT}"),
        ],
        legend="The tenant's requests: it may",
        checks=[
            Check(f"scope-{scope}", words, scope.value in CLIENT_SCOPES)
            for scope, words in _SCOPES.items()
        ],
    )  # fmt: skip


def _rotate_form(record: KeyRecord, used: str) -> Form:
    entry = record.entry
    return Form(
        title=f"Rotate key {entry.id}", verb="Issue its successor",
        path=f"{KEYS}/{entry.id}/rotate", back=KEYS,
        about=[
            f"Another key of {entry.tenant} ({record.name}) with its scopes and roles is made.",
            "It is shown once, on the next page. The old one works until the grace is over.", used,
        ],
        inputs=[Input("grace", "How long does the old one work?", value="1d", longest=32,
                      hint="such as 7d; 0s: it ends now")],
    )  # fmt: skip


def _revoke_form(record: KeyRecord, used: str) -> Form:
    entry = record.entry
    return Form(
        title=f"Revoke key {entry.id}", verb="Revoke it", path=f"{KEYS}/{entry.id}/revoke",
        back=KEYS, destructive=True,
        about=[
            f"It is a key of {entry.tenant} ({record.name}).",
            "Whoever calls with it is refused: every gateway knows within two seconds.",
            "It cannot be taken back.", used,
        ],
    )  # fmt: skip


def _about_key(record: KeyRecord) -> list[str]:
    return [
        f"Copy it now: it is not shown again. Its id, which is no secret, is {record.entry.id}.",
        f"It may {', '.join(record.entry.scopes)}"
        + (f", and has the roles {', '.join(map(str, record.grants))}." if record.grants else "."),
    ]


def limit_pages(
    installation: Installation, reads: ReadService, clock: Clock, pages: Pages
) -> APIRouter:
    """Set, change and remove what bounds a tenant, or ("*") all that have no line of their own."""
    router = APIRouter(
        include_in_schema=False, dependencies=[Depends(begin)], route_class=GuardedRoute
    )
    forms = Forms(pages, clock)

    @router.get(LIMITS)
    @needs(Action.MANAGE_LIMITS)
    async def limits(request: Request, asked: WordsQuery) -> Response:
        def read(tx: Tx) -> tuple[list[TenantLimit], int]:
            return find_limits(tx, asked), len(tx.limits())

        found, known = await reads.ask(read)
        shown = paged(found, asked.page, LIMITS, {"q": asked.q})
        rows = [
            (one, as_duration(one.per_s), urlencode({"tenant": one.tenant, "model": one.model}))
            for one in shown.rows
        ]
        return pages.page(
            request, "limits.html", title="Limits", now=clock.now(), asked=asked, limits=shown,
            known=known, rows=rows, everyone=EVERYONE,
        )  # fmt: skip

    def asked_for(request: Request) -> tuple[str, str]:
        """The tenant and the model, "" for neither."""
        given = request.query_params
        return given.get("tenant", "")[:LONGEST], given.get("model", "")[:LONGEST]

    async def show_set(request: Request) -> Form:
        tenant, model = asked_for(request)
        held = await reads.ask(lambda tx: tx.limits())
        line = next((x for x in held if (x.tenant, x.model) == (tenant, model)), None)
        return _set_form(line or TenantLimit(tenant, model))

    async def set_limit(request: Request, sent: Mapping[str, str], who: Who) -> Response:
        del request
        limit = TenantLimit(
            field(sent, "tenant", 128).strip(), text_of(sent, "model", 64),
            number_of(sent, "rate", _MOST), seconds_of(sent, "per", positive=True) or 60.0,
            number_of(sent, "concurrent", _MOST),
        )  # fmt: skip
        if not limit.rate and not limit.concurrent:
            hint = "fill in one of them; the list has a button that removes a limit"
            raise BadLimit("neither bound is given", hint=hint)
        await anyio.to_thread.run_sync(installation.set_limit, limit, who)
        return RedirectResponse(LIMITS, 303)

    async def show_remove(request: Request) -> Form:
        tenant, model = asked_for(request)
        limits = await reads.ask(lambda tx: tx.limits())
        return _remove_form(find_limit(limits, tenant, model), limits)

    async def remove(request: Request, sent: Mapping[str, str], who: Who) -> Response:
        del sent
        change = partial(installation.remove_limit, *asked_for(request), who)
        await anyio.to_thread.run_sync(change)
        return RedirectResponse(LIMITS, 303)

    for path, show, submit in (("set", show_set, set_limit), ("remove", show_remove, remove)):
        forms.add(router, FormRoute(f"{LIMITS}/{path}", Action.MANAGE_LIMITS, show, submit))

    @router.get("/csv/limits")
    @needs(Action.MANAGE_LIMITS)
    async def limits_file(asked: WordsQuery) -> Response:
        found = await reads.ask(lambda tx: find_limits(tx, asked))
        return csv_response(limits_sheet(found), "windvane")

    del limits, limits_file
    return router


def _set_form(line: TenantLimit) -> Form:
    given = bool(line.rate or line.concurrent)
    return Form(
        title=f"Change the limit of {line.tenant}" if given else "Set a limit", verb="Set it",
        path=f"{LIMITS}/set", back=LIMITS,
        about=[
            "It holds on every worker within two seconds.",
            "A changed rate begins with an empty window.",
        ],
        inputs=[
            Input("tenant", "Tenant", value=line.tenant, required=True,
                  hint=f"{EVERYONE} for all that have no line of their own"),
            Input("model", "Model", value=line.model, longest=64, hint="empty: over all models"),
            Input("rate", "Requests", kind="number", value=str(line.rate or ""), longest=8,
                  hint="empty: any number"),
            Input("per", "In any", value=as_duration(line.per_s), longest=32,
                  hint="such as 10s, 1m or 1h"),
            Input("concurrent", "Requests under way at one time", kind="number",
                  value=str(line.concurrent or ""), longest=8, hint="empty: any number"),
        ],
    )  # fmt: skip


def _remove_form(line: TenantLimit, limits: list[TenantLimit]) -> Form:
    on = f" on {line.model}" if line.model else " over all models"
    shared = next((x for x in limits if (x.tenant, x.model) == (EVERYONE, line.model)), None)
    if line.tenant == EVERYONE:
        then = f"Tenants without a line of their own are then not bounded{on}."
    elif shared is not None:
        then = f"{line.tenant} is then bounded{on} as everyone is: {limit_words(shared)}."
    else:
        then = f"{line.tenant} is then not bounded{on}."
    query = urlencode({"tenant": line.tenant, "model": line.model})
    return Form(
        title=f"Remove the limit of {line.tenant}{f' on {line.model}' if line.model else ''}",
        verb="Remove it", path=f"{LIMITS}/remove?{query}", back=LIMITS, destructive=True,
        about=[f"It is {limit_words(line)}{on}. {then} It holds within two seconds."],
    )  # fmt: skip

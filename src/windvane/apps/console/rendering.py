"""Templates, links, and the difference between a page and its live part."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import windvane
from windvane.apps.console import times
from windvane.apps.console.colours import colour_of
from windvane.apps.console.csv_files import Moment
from windvane.apps.console.health import sign_of
from windvane.apps.console.tables import csv_link
from windvane.core.authorization import Action, Principal, authorize
from windvane.core.task import metric_name
from windvane.core.verdict import Outcome
from windvane.ports.control_store import WindowVerdict
from windvane.usecases.monitors import about
from windvane.usecases.monitors.refusals import Refusals

FOLDER = Path(__file__).parent
SEEN = "X-Windvane-Seen"
BEGAN = "windvane_began"
_LONGEST_TEXT, _MOST_NUMBERS = 400, 8
_POLL_S, _POLL_MOST_S, _POLL_BY_COST = 2, 10, 3


def link(kind: str, name: str) -> str:
    """The page of a model, an incident or a decision."""
    return f"/{kind}/{quote(name, safe='/' if kind == 'decisions' else '')}"


def link_path(path: str) -> str:
    """A path that holds a name, quoted."""
    return quote(path, safe="/")


def quoted(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")


def csv_of(asked: Any, path: str) -> str:
    """The address of the same rows as a file."""
    return csv_link(path, asked if isinstance(asked, Mapping) else asked.query())


def short_value(value: Any) -> Any:
    """A value of a request with a bounded length: a page is no place for an embedding."""
    match value:
        case bytes():
            return f"{len(value):,} bytes"
        case str() if len(value) > _LONGEST_TEXT:
            return f"{value[:_LONGEST_TEXT]}… of {len(value):,} characters"
        case list():
            held = cast("list[Any]", value)
            more = [f"… of {len(held):,}"] if len(held) > _MOST_NUMBERS else []
            return [short_value(one) for one in held[:_MOST_NUMBERS]] + more
        case float():
            return float(f"{value:.6g}")
        case _:
            return value


def told_value(value: Any) -> str:
    """A fact of a version's lineage as a text."""
    if value is None:
        return "–"
    if isinstance(value, Moment):
        return times.utc(value)
    return f"{value:,.6g}" if isinstance(value, float) else str(value)[:_LONGEST_TEXT]


def pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def quiet_tenant(verdict: WindowVerdict) -> bool:
    """A tenant's verdict that nobody needs to read first."""
    return verdict.monitor == Refusals.name and verdict.outcome in (Outcome.PASS, Outcome.HOLD)


def verdict_about(verdict: WindowVerdict) -> str:
    """What a verdict is about."""
    return about(verdict.monitor, verdict.subject)


def environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "verdict_about": verdict_about,
        "sign": sign_of,
        "utc": times.utc,
        "short": times.short,
        "axis": times.axis,
        "about": times.about,
        "machine": times.machine,
        "share": times.share,
        "millis": times.millis,
        "count": times.count,
        "span": times.span,
        "pretty": pretty,
        "metric": metric_name,
        "colour": colour_of,
        "quoted": quoted,
        "quoted_path": link_path,
        "csv_of": csv_of,
        "seconds": times.seconds,
        "short_value": short_value,
        "told_value": told_value,
        "capfirst": lambda text: f"{text[:1].upper()}{text[1:]}",
    }
    env.tests["quiet_tenant"] = quiet_tenant  # pyright: ignore[reportArgumentType]
    words: dict[str, Any] = {
        "link": link,
        "link_path": link_path,
        "ago": times.ago,
        "due": times.due,
        "release": windvane.__version__,
    }
    env.globals.update(words)
    return env


_MANAGED = (
    ("/keys", "Keys", Action.MANAGE_KEYS),
    ("/limits", "Limits", Action.MANAGE_LIMITS),
    ("/users", "Users", Action.MANAGE_USERS),
)


def managed_by(who: Principal) -> list[tuple[str, str]]:
    """The pages of the installation that ``who`` may open: their paths and names."""
    return [(path, name) for path, name, a in _MANAGED if authorize(who, a, None).allowed]


async def begin(request: Request) -> None:
    """A dependency of every page: notes when its making began."""
    setattr(request.state, BEGAN, time.perf_counter())


def poll_s(took: float) -> int:
    """Seconds between two polls: pages that are slow to make are asked for less often."""
    return max(_POLL_S, min(_POLL_MOST_S, math.ceil(took * _POLL_BY_COST)))


class Pages:
    """Renders pages; a poll gets only the live part, and 204 where nothing changed. A page with a
    form to fill in ``follows`` nothing: it would lose what was typed."""

    def __init__(self) -> None:
        self._env = environment()

    def page(
        self,
        request: Request,
        template: str,
        *,
        title: str,
        now: float | None,
        status: HTTPStatus = HTTPStatus.OK,
        follows: bool = True,
        **shown: Any,
    ) -> Response:
        path = quote(request.url.path)
        url = f"{path}?{request.url.query}" if request.url.query else path
        visit = getattr(request.state, "visit", None)
        managed = [] if visit is None else managed_by(visit.principal)
        given = {"csrf": "" if visit is None else visit.csrf, "managed": managed, **shown}
        body = self._env.get_template(template).render(
            **given, now=now, title=title, path=request.url.path, visit=visit
        )
        seen = hashlib.blake2b(body.encode(), digest_size=8).hexdigest()
        headers = {"Cache-Control": "no-store", "Vary": "HX-Request, Cookie, Authorization"}
        polled = request.headers.get("HX-Request") == "true"
        if polled and status == HTTPStatus.OK and request.headers.get(SEEN) == seen:
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
        now_s = time.perf_counter()
        name = "live.html" if polled else "page.html"
        text = self._env.get_template(name).render(
            body=Markup(body),
            title=title,
            url=url,
            headers=json.dumps({SEEN: seen}),
            poll_s=poll_s(now_s - getattr(request.state, BEGAN, now_s)),
            follows=follows and status in (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE),
        )
        return HTMLResponse(text, status_code=status, headers=headers)

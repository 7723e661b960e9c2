"""How a browser shows who it is: cookies, the token that every form carries, bounded bodies."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from windvane.core.authorization import Principal
from windvane.core.errors import WindvaneError, did_you_mean

CSRF_FIELD, CSRF_HEADER = "csrf", "X-CSRF-Token"
MAX_BODY = 64 << 10
BODY_S = 30.0
_MOST_FIELDS = 16
_FORM_S = 3_600
_LONGEST_PATH = 1_000
_ESCAPES = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)")
_FROM_HERE = frozenset({"", "same-origin", "none"})


class ForgedForm(WindvaneError):
    """A change came without the token of the page that it should have come from."""

    code: ClassVar[str] = "CSL-106"
    hint = "load the page again and send the form from there; scripts use an API key"


class BodyTooLarge(WindvaneError):
    """A request's body is larger than anything that the console takes."""

    code: ClassVar[str] = "CSL-107"


class SlowBody(WindvaneError):
    """A request's body did not come within the time that there is for one."""

    code: ClassVar[str] = "CSL-122"


class BadForm(WindvaneError):
    """A form's body cannot be read, or lacks a field."""

    code: ClassVar[str] = "CSL-108"
    hint = "fill in every field of the form"


class BadText(WindvaneError):
    """A query, form or JSON string has a character that is no text: NUL, or half of a pair."""

    code: ClassVar[str] = "CSL-121"
    hint = "leave the character out"


async def check_text(request: Request) -> None:
    """No name or reason has such characters, and no database takes them alike. Raises BadText."""
    if any(_no_text(f"{name}{value}") for name, value in request.query_params.multi_items()):
        raise BadText("the query has a character that is no text")
    if request.method in ("POST", "PUT", "PATCH"):
        body = await request.body()
        form = "json" not in request.headers.get("content-type", "").lower()
        if b"\0" in body or (b"%00" in body if form else _has_no_text(body)):
            raise BadText("the body has a character that is no text")


class UnknownParameter(WindvaneError):
    """The query of a call has a parameter that the route does not read: what was meant by it would
    be ignored."""

    code: ClassVar[str] = "CSL-123"
    hint = "docs/reference/http.md says what each route is asked with"


def check_query(request: Request, known: Sequence[str]) -> None:
    """Raises UnknownParameter, which names the first that is not ``known`` and what is close."""
    for name in request.query_params:
        if name not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            near = did_you_mean(name, known) if known else ""
            message = f"{request.url.path}: no query parameter {name[:64]!r}"
            raise UnknownParameter(message, hint=near or takes)


def _has_no_text(body: bytes) -> bool:
    """Whether JSON has an escaped NUL, or half of a pair of UTF-16 without the other."""
    waits_at = -1  # where the second half has to be
    for match in _ESCAPES.finditer(body):
        unit = int(match[1], 16) if match[1] else -1
        if unit == 0 or (0xDC00 <= unit < 0xE000) != (waits_at == match.start()):
            return True
        waits_at = match.end() if 0xD800 <= unit < 0xDC00 else -1
    return waits_at >= 0


def _no_text(text: str) -> bool:
    return any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text)


@dataclass(frozen=True, slots=True)
class Visit:
    """Who asks, and the token that a form on the page has to carry ("" for a key)."""

    principal: Principal
    csrf: str = ""


@dataclass(frozen=True, slots=True)
class Cookies:
    """The session's cookie, and the one that a sign-in begins with. ``secure``: the browser sends
    them by TLS only, and no other host of the domain can have set them (``__Host-``). ``name``
    tells consoles on one host apart: cookies do not know ports."""

    name: str = "windvane"
    secure: bool = False

    def _full(self, word: str) -> str:
        return f"{'__Host-' if self.secure else ''}{self.name}{word}"

    def session(self, request: Request) -> str:
        return request.cookies.get(self._full(""), "")[:256]

    def set_session(self, response: Response, token: str, lifetime_s: float) -> None:
        self._set(response, "", token, int(lifetime_s))
        self._clear(response, "-sign-in")

    def clear_session(self, response: Response) -> None:
        self._clear(response, "")

    def attempt(self, request: Request) -> SignInAttempt | None:
        """None where the browser has none, or one that cannot be read."""
        secret, dot, path = request.cookies.get(self._full("-sign-in"), "").partition(".")
        if not dot or len(secret) < 32:
            return None
        try:
            return SignInAttempt(secret, local_path(base64.urlsafe_b64decode(path).decode()))
        except ValueError:
            return None

    def set_attempt(self, response: Response, attempt: SignInAttempt) -> None:
        path = base64.urlsafe_b64encode(attempt.path.encode()).decode()
        self._set(response, "-sign-in", f"{attempt.secret}.{path}", _FORM_S)

    def _set(self, response: Response, word: str, value: str, max_age: int) -> None:
        response.set_cookie(
            self._full(word), value, max_age=max_age, path="/", secure=self.secure,
            httponly=True, samesite="lax",
        )  # fmt: skip

    def _clear(self, response: Response, word: str) -> None:
        response.delete_cookie(
            self._full(word), path="/", secure=self.secure, httponly=True, samesite="lax"
        )


@dataclass(frozen=True, slots=True)
class SignInAttempt:
    """A sign-in under way in one browser: a secret that only it holds, and where it wants to go.

    All that has to match later follows from the secret, so that the server keeps nothing.
    """

    secret: str
    path: str

    @classmethod
    def fresh(cls, path: str) -> SignInAttempt:
        return cls(secrets.token_urlsafe(32), local_path(path))

    def derive(self, purpose: str) -> str:
        """43 characters that nobody can tell without the secret."""
        digest = hmac.digest(self.secret.encode(), purpose.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def csrf_of(session_token: str) -> str:
    """The token of every form of a session."""
    return hmac.new(session_token.encode(), b"csrf", hashlib.sha256).hexdigest()


def check_csrf(request: Request, sent: str, wanted: str) -> None:
    """Raises ForgedForm, also for what the browser says comes from another site."""
    if request.headers.get("Sec-Fetch-Site", "") not in _FROM_HERE:
        raise ForgedForm("the form was sent from another site")
    if not wanted or not same(sent, wanted):
        raise ForgedForm("the form does not carry the token of this session")


def same(sent: str, wanted: str) -> bool:
    """In a time that does not tell how much of it is right."""
    return hmac.compare_digest(sent.encode(errors="replace"), wanted.encode())


def local_path(path: str) -> str:
    """A path of this console, to go to after the sign-in; "/" for anything that could lead
    elsewhere."""
    parts = urlsplit(path) if path.isprintable() and len(path) <= _LONGEST_PATH else None
    here = parts is not None and not parts.scheme and not parts.netloc
    fits = here and path.startswith("/") and not path.startswith(("//", "/\\", "/sign-"))
    return path if fits and "\\" not in path else "/"


async def read_form(request: Request) -> Mapping[str, str]:
    """The fields of an URL-encoded form; raises BadForm."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise BadForm(f"a form is needed, not {kind[:80] or 'nothing'}")
    body = await request.body()
    try:
        given = parse_qs(
            body.decode(), keep_blank_values=True, strict_parsing=bool(body),
            errors="strict", max_num_fields=_MOST_FIELDS,
        )  # fmt: skip
    except ValueError as error:
        raise BadForm("the form's body cannot be read") from error
    return {name: values[-1] for name, values in given.items()}


def field(form: Mapping[str, str], name: str, longest: int = 1_024) -> str:
    """Raises BadForm where it is missing, blank or too long."""
    value = form.get(name, "")
    if not value.strip() or len(value) > longest:
        raise BadForm(f"{name} has {len(value):,} characters, 1 to {longest:,} are needed")
    return value


class BoundedBodies:
    """Refuses bodies beyond ``MAX_BODY`` before anybody is asked who they are, and those that are
    not here within ``within_s`` seconds."""

    def __init__(self, app: ASGIApp, within_s: float = BODY_S) -> None:
        self._app = app
        self._within_s = within_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > MAX_BODY:
            await self._refuse(_too_large(), scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._within_s
        seen, whole, began = 0, False, False
        refused: WindvaneError | None = None

        async def bounded() -> Message:
            nonlocal seen, whole, refused
            if whole:  # what comes now is that the client leaves
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, deadline - loop.time()))
            except TimeoutError:
                message = {"type": "http.disconnect"}
                allowed = f"{self._within_s:g} s"
                refused = SlowBody(f"{seen:,} bytes of the body came within the {allowed} allowed")
            seen += len(message.get("body", b""))
            if seen > MAX_BODY:
                refused = _too_large()
                return {"type": "http.disconnect"}
            whole = not message.get("more_body", False)
            return message

        async def sending(message: Message) -> None:
            nonlocal began
            if refused is not None and not began:
                return  # what is said of a body that was cut off
            began = True
            await send(message)

        try:
            await self._app(scope, bounded, sending)
        except Exception:
            if refused is None or began:
                raise
        if refused is not None and not began:
            await self._refuse(refused, scope, receive, send)

    async def _refuse(
        self, error: WindvaneError, scope: Scope, receive: Receive, send: Send
    ) -> None:
        problem = {
            "code": error.code, "message": error.message, "hint": error.advice, "docs": error.docs,
        }  # fmt: skip
        headers = {"Connection": "close", "Cache-Control": "no-store"}
        slow = isinstance(error, SlowBody)
        status = HTTPStatus.REQUEST_TIMEOUT if slow else HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        await JSONResponse(problem, status, headers)(scope, receive, send)


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"the body is beyond the {MAX_BODY:,} bytes that are allowed")

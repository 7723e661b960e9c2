"""Signing in and out: by a password, or by the identity provider. And one's own account."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import ClassVar
from urllib.parse import quote

import anyio.to_thread
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from windvane.apps.console import visiting
from windvane.apps.console.access import GuardedRoute, needs_sign_in, public, visit_of
from windvane.apps.console.answering import ReadService
from windvane.apps.console.hashing import HashingThreads, TooManyAttempts
from windvane.apps.console.rendering import Pages
from windvane.apps.console.visiting import Cookies, SignInAttempt, check_csrf, csrf_of, read_form
from windvane.core.authorization import (
    AttemptLimit,
    AttemptLimiter,
    BadGrant,
    Grant,
    PrincipalKind,
    parse_grants,
)
from windvane.core.errors import WindvaneError
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore
from windvane.ports.identity import BadToken
from windvane.ports.openid import OpenIdProvider, ProviderUnavailable
from windvane.ports.passwords import PasswordHasher
from windvane.usecases.manage_users import BadPassword, BadUser, check_user_name, set_password
from windvane.usecases.sign_in import (
    SessionLimits,
    WrongCredentials,
    begin_oidc_session,
    sign_in,
    sign_out,
)

_log = logging.getLogger(__name__)
SIGN_IN = "/sign-in"
BY_OIDC = "/sign-in/oidc"
CALLBACK = "/sign-in/oidc/callback"
_PER_USER = AttemptLimit(burst=10, per_s=60.0)
_PER_ADDRESS = AttemptLimit(burst=30, per_s=6.0)
_NAMES, _ADDRESSES = 10_000, 10_000


class NoWayIn(WindvaneError):
    """The way to sign in that was asked for is not set up here."""

    code: ClassVar[str] = "CSL-110"
    hint = "docs/howto/sign-in-and-roles.md shows how to set it up"


class SignInFailed(WindvaneError):
    """The identity provider did not vouch for somebody who has a role here."""

    code: ClassVar[str] = "CSL-111"
    hint = "begin again; who has no role needs a group that `sign_in.oidc.roles` names"


@dataclass(frozen=True, slots=True)
class SignInWays:
    """How people may sign in. ``roles`` are those of the provider's groups; ``redirect_uri`` ""
    follows from the name that the console was asked under. ``ticks`` in seconds, never back."""

    hasher: PasswordHasher | None = None
    provider: OpenIdProvider | None = None
    roles: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    redirect_uri: str = ""
    limits: SessionLimits = field(default_factory=SessionLimits)
    cookies: Cookies = field(default_factory=Cookies)
    per_user: AttemptLimit = _PER_USER
    per_address: AttemptLimit = _PER_ADDRESS
    ticks: Callable[[], float] = time.monotonic


class _Attempts:
    """Bounds what passwords may be tried, by user and by address."""

    def __init__(self, ways: SignInWays) -> None:
        self._ticks = ways.ticks
        self._users = AttemptLimiter(ways.per_user, _NAMES)
        self._addresses = AttemptLimiter(ways.per_address, _ADDRESSES)

    def admit(self, user: str, address: str) -> None:
        """Counts an attempt before it is made, so that none can be made at the same time
        uncounted. ``user`` "" where it is not known yet. Raises TooManyAttempts."""
        now = self._ticks()
        wait = self._addresses.wait_s(address, now)
        if user:
            wait = max(wait, self._users.wait_s(user, now))
        if wait > 0.0:
            _log.warning("sign-in refused for %.0f s: too many attempts", wait)
            raise TooManyAttempts(f"too many attempts: the next is allowed in {wait:,.0f} s", wait)
        if user:
            self._users.count(user, now)
        self._addresses.count(address, now)

    def succeeded(self, user: str) -> None:
        self._users.forget(user)


def sign_in_router(
    store: ControlStore,
    reads: ReadService,
    clock: Clock,
    pages: Pages,
    ways: SignInWays,
    hashing: HashingThreads,
) -> APIRouter:
    """The pages of signing in, for strangers; those of one's account, for whoever came in."""
    router = APIRouter(include_in_schema=False, route_class=GuardedRoute)
    attempts, cookies = _Attempts(ways), ways.cookies

    def form_page(
        request: Request, attempt: SignInAttempt, error: WindvaneError | None = None, user: str = ""
    ) -> Response:
        status = HTTPStatus.OK if error is None else _STATUS.get(type(error), HTTPStatus.OK)
        response = pages.page(
            request, "sign_in.html", title="Sign in", now=None, status=status, follows=False,
            problem=error, user=user, csrf=attempt.derive("form"), by_oidc=BY_OIDC,
            has_passwords=ways.hasher is not None, has_oidc=ways.provider is not None,
        )  # fmt: skip
        if isinstance(error, TooManyAttempts):
            response.headers["Retry-After"] = str(max(1, round(error.wait_s)))
        cookies.set_attempt(response, attempt)
        return response

    @router.get(SIGN_IN)
    @public
    async def show(request: Request, next: str = "/") -> Response:  # noqa: A002
        held = cookies.attempt(request)
        secret = SignInAttempt.fresh("/").secret if held is None else held.secret
        return form_page(request, SignInAttempt(secret, visiting.local_path(next)))

    @router.post(SIGN_IN)
    @public
    async def enter(request: Request) -> Response:
        form = await read_form(request)
        attempt = cookies.attempt(request)
        if attempt is None:
            error = visiting.ForgedForm("this browser began no sign-in, or takes no cookies")
            return form_page(request, SignInAttempt.fresh("/"), error)
        check_csrf(request, form.get(visiting.CSRF_FIELD, ""), attempt.derive("form"))
        hasher = ways.hasher
        if hasher is None:
            raise NoWayIn("passwords are not taken here")
        user = form.get("user", "").strip()[:64]
        try:
            visiting.field(form, "user", 64)
            password = visiting.field(form, "password")
            attempts.admit(user, _network(request))
            known = user if _is_user_name(user) else ""  # "" is nobody's name
            token = await hashing.work(
                partial(sign_in, store, clock, hasher, ways.limits, known, password)
            )
        except (WrongCredentials, TooManyAttempts, visiting.BadForm) as error:
            return form_page(request, attempt, error, user)
        attempts.succeeded(user)
        return entered(attempt.path, token)

    def entered(path: str, token: str) -> Response:
        """A session of its own, whatever cookie the browser came with."""
        response = RedirectResponse(path, HTTPStatus.SEE_OTHER)
        cookies.set_session(response, token, ways.limits.lifetime_s)
        return response

    @router.get(BY_OIDC)
    @public
    async def leave(request: Request) -> Response:
        provider = ways.provider
        if provider is None:
            raise NoWayIn("no identity provider is set up")
        attempts.admit("", _network(request))
        held = cookies.attempt(request)
        attempt = SignInAttempt.fresh("/" if held is None else held.path)
        digest = hashlib.sha256(attempt.derive("verifier").encode()).digest()
        challenge = urlsafe_b64encode(digest).rstrip(b"=").decode()
        url = await anyio.to_thread.run_sync(
            partial(
                provider.authorize_url, redirect_uri=_callback(request, ways), challenge=challenge,
                state=attempt.derive("state"), nonce=attempt.derive("nonce"),
            )
        )  # fmt: skip
        response = RedirectResponse(url, HTTPStatus.SEE_OTHER)
        cookies.set_attempt(response, attempt)
        return response

    @router.get(CALLBACK)
    @public
    async def come_back(
        request: Request, code: str = "", state: str = "", error: str = ""
    ) -> Response:
        provider, attempt = ways.provider, cookies.attempt(request)
        if provider is None:
            raise NoWayIn("no identity provider is set up")
        if attempt is None:
            raise SignInFailed("this browser began no sign-in, or too long ago")
        if not visiting.same(state, attempt.derive("state")):
            raise SignInFailed("the answer of the identity provider is to another sign-in")
        if error or not code:
            raise SignInFailed("the identity provider did not let you in")
        attempts.admit("", _network(request))
        try:
            proven = await anyio.to_thread.run_sync(
                partial(
                    provider.redeem, code, redirect_uri=_callback(request, ways),
                    verifier=attempt.derive("verifier"), nonce=attempt.derive("nonce"),
                    now=clock.wall(),
                )
            )  # fmt: skip
        except BadToken as problem:
            _log.warning("sign-in by OpenID Connect refused: %s", problem.message)
            raise SignInFailed(problem.message) from problem
        grants = _grants(ways.roles, proven.groups)
        if not grants:
            raise SignInFailed(f"{proven.name} is in no group that has a role here")
        token = await anyio.to_thread.run_sync(
            begin_oidc_session, store, clock, ways.limits, proven.name, grants
        )
        return entered(attempt.path, token)

    @router.post("/sign-out")
    @needs_sign_in
    async def leave_for_good(request: Request) -> Response:
        await anyio.to_thread.run_sync(sign_out, store, cookies.session(request))
        response = RedirectResponse(SIGN_IN, HTTPStatus.SEE_OTHER)
        cookies.clear_session(response)
        return response

    async def account_page(
        request: Request, error: WindvaneError | None = None, *, changed: bool = False
    ) -> Response:
        who = visit_of(request).principal
        held = await reads.ask(lambda tx: tx.sessions(who.kind, who.name))
        status = HTTPStatus.OK if error is None else HTTPStatus.UNPROCESSABLE_ENTITY
        return pages.page(
            request, "account.html", title="Your account", now=None, follows=False,
            status=status, problem=error, changed=changed, sessions=held,
            has_password=who.kind is PrincipalKind.USER and ways.hasher is not None,
        )  # fmt: skip

    @router.get("/account")
    @needs_sign_in
    async def account(request: Request) -> Response:
        return await account_page(request)

    @router.post("/account")
    @needs_sign_in
    async def change_password(request: Request) -> Response:
        who, hasher = visit_of(request).principal, ways.hasher
        if who.kind is not PrincipalKind.USER or hasher is None:
            raise NoWayIn("only local users have a password here")
        form = await read_form(request)
        try:
            old, new = (visiting.field(form, name) for name in ("old", "new"))
            if new != visiting.field(form, "again"):
                raise visiting.BadForm("the new password was typed in two ways")
            attempts.admit(who.name, _network(request))

            def change() -> str:
                proof = sign_in(store, clock, hasher, ways.limits, who.name, old)
                sign_out(store, proof)
                reason = "changed by the user"
                set_password(store, clock, hasher, who.name, new, by=who.actor, reason=reason)
                return sign_in(store, clock, hasher, ways.limits, who.name, new)

            token = await hashing.work(change)
        except (WrongCredentials, TooManyAttempts, BadPassword, visiting.BadForm) as error:
            return await account_page(request, error)
        attempts.succeeded(who.name)
        request.state.visit = visiting.Visit(who, csrf_of(token))
        response = await account_page(request, changed=True)
        cookies.set_session(response, token, ways.limits.lifetime_s)
        return response

    del show, enter, leave, come_back, leave_for_good, account, change_password
    return router


_STATUS: Mapping[type[WindvaneError], HTTPStatus] = {
    TooManyAttempts: HTTPStatus.TOO_MANY_REQUESTS,
    WrongCredentials: HTTPStatus.UNAUTHORIZED,
    visiting.BadForm: HTTPStatus.UNPROCESSABLE_ENTITY,
    visiting.ForgedForm: HTTPStatus.FORBIDDEN,
}
STATUSES: Sequence[tuple[type[WindvaneError], HTTPStatus]] = (
    *_STATUS.items(),
    (NoWayIn, HTTPStatus.NOT_FOUND),
    (SignInFailed, HTTPStatus.FORBIDDEN),
    (ProviderUnavailable, HTTPStatus.BAD_GATEWAY),
)


def sign_in_path(path: str) -> str:
    """Where to sign in, and then go on to ``path``."""
    return SIGN_IN if path == "/" else f"{SIGN_IN}?next={quote(path, safe='')}"


def _is_user_name(name: str) -> bool:
    try:
        check_user_name(name)
    except BadUser:
        return False
    return True


def _network(request: Request) -> str:
    """Whose attempts these are: an address, or the network of one of IPv6, of which one holder
    has all."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host[:64]
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, 64), strict=False))


def _callback(request: Request, ways: SignInWays) -> str:
    """The name that the browser used was checked before: it is the console's own."""
    return ways.redirect_uri or f"{request.url.scheme}://{request.url.netloc}{CALLBACK}"


def _grants(roles: Mapping[str, Sequence[str]], groups: Sequence[str]) -> tuple[Grant, ...]:
    given = [role for group in groups for role in roles.get(group, ())]
    try:
        return parse_grants(given) if given else ()
    except BadGrant as error:
        raise SignInFailed(error.message) from error

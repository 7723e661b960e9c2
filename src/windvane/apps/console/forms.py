"""Forms that change the installation: what they ask for, how that is read, what is said of a
mistake."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Protocol

from fastapi import APIRouter, Request, Response

from windvane.apps.console.access import needs, visit_of
from windvane.apps.console.answering import BadLasts
from windvane.apps.console.hashing import TooManyAttempts
from windvane.apps.console.installation import Who
from windvane.apps.console.rendering import Pages
from windvane.apps.console.visiting import BadForm, field, read_form
from windvane.core.authorization import Action, BadGrant
from windvane.core.errors import WindvaneError
from windvane.ports.clock import Clock
from windvane.ports.control_store import UnknownName
from windvane.usecases.issue_key import BadApiVersion, BadScope, BadTenant
from windvane.usecases.limit_tenant import BadLimit
from windvane.usecases.manage_users import BadPassword, BadUser, LastAdmin
from windvane.usecases.plan_maintenance import BadMaintenance
from windvane.usecases.read_model_file import parse_duration

LONGEST_REASON, LONGEST_ROLES = 500, 4_000
MISTAKES = (
    BadForm, BadLasts, BadTenant, BadScope, BadApiVersion, BadGrant, BadLimit, BadUser,
    BadPassword, LastAdmin, UnknownName, TooManyAttempts, BadMaintenance,
)  # fmt: skip
"""What the form is shown again for, with a sentence on it."""


@dataclass(frozen=True, slots=True)
class Input:
    """One thing that is asked for. ``kind`` is that of an HTML input, or ``area``, or ``choice``
    among ``options`` (a value and its words). A secret is not shown again."""

    name: str
    label: str
    kind: str = "text"
    value: str = ""
    required: bool = False
    hint: str = ""
    longest: int = 128
    options: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """A box to tick, in the group ``Form.checks``."""

    name: str
    label: str
    on: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """``about`` are sentences on what will happen; ``path`` takes the form, ``back`` is where to go
    without sending it. ``confirmed`` names the state of things that they are true of."""

    title: str
    verb: str
    path: str
    back: str
    about: Sequence[str] = ()
    inputs: Sequence[Input] = ()
    legend: str = ""
    checks: Sequence[Check] = ()
    reason: str = ""
    destructive: bool = False
    confirmed: str = ""

    def filled(self, sent: Mapping[str, str]) -> Form:
        """With what was typed, but for passwords."""
        return replace(
            self,
            inputs=[
                one if one.kind == "password" else replace(one, value=sent.get(one.name, ""))
                for one in self.inputs
            ],
            checks=[replace(one, on=one.name in sent) for one in self.checks],
            reason=sent.get("reason", ""),
        )


class ShowForm(Protocol):
    """The form as things are now. Raises UnknownName where what it is about is gone."""

    def __call__(self, request: Request, /) -> Awaitable[Form]: ...


class SubmitForm(Protocol):
    """Does what was sent, and says where to go on. Raises one of MISTAKES for what is to be said
    on the form, which is then shown again."""

    def __call__(
        self, request: Request, sent: Mapping[str, str], who: Who, /
    ) -> Awaitable[Response]: ...


@dataclass(frozen=True, slots=True)
class FormRoute:
    """A form at ``path``, for who may do ``action``."""

    path: str
    action: Action
    show: ShowForm
    submit: SubmitForm


class Forms:
    """Shows forms, and what was made by one."""

    def __init__(self, pages: Pages, clock: Clock) -> None:
        self._pages, self._clock = pages, clock

    def add(self, router: APIRouter, route: FormRoute) -> None:
        """To ask for it, and to send it."""

        @needs(route.action)
        async def ask(request: Request) -> Response:
            return self.ask(request, await route.show(request))

        @needs(route.action)
        async def submit(request: Request) -> Response:
            sent = await read_form(request)
            try:
                who = Who(visit_of(request).principal.actor, reason_of(sent))
                return await route.submit(request, sent, who)
            except MISTAKES as error:
                return self.ask(request, await route.show(request), sent, error)

        router.add_api_route(route.path, ask, methods=["GET"], include_in_schema=False)
        router.add_api_route(route.path, submit, methods=["POST"], include_in_schema=False)

    def ask(
        self,
        request: Request,
        form: Form,
        sent: Mapping[str, str] | None = None,
        error: WindvaneError | None = None,
    ) -> Response:
        status = HTTPStatus.OK if error is None else HTTPStatus.UNPROCESSABLE_ENTITY
        shown = form if sent is None else form.filled(sent)
        return self._pages.page(
            request, "form.html", title=form.title, now=self._clock.now(), status=status,
            follows=False, problem=error, form=shown, longest=LONGEST_REASON,
        )  # fmt: skip

    def show_secret(
        self, request: Request, title: str, secret: str, about: Sequence[str], back: str
    ) -> Response:
        """The only time that it is shown: on the answer itself, which nothing stores."""
        return self._pages.page(
            request, "secret.html", title=title, now=self._clock.now(), follows=False,
            secret=secret, about=about, back=back,
        )  # fmt: skip


def reason_of(sent: Mapping[str, str]) -> str:
    """Raises BadForm."""
    return field(sent, "reason", LONGEST_REASON).strip()


def text_of(sent: Mapping[str, str], name: str, longest: int = 128) -> str:
    """ "" where nothing was typed; raises BadForm where it is too long."""
    return field(sent, name, longest).strip() if sent.get(name, "").strip() else ""


def lines_of(sent: Mapping[str, str], name: str) -> list[str]:
    """What was typed, one a line. Raises BadForm."""
    lines = text_of(sent, name, LONGEST_ROLES).splitlines()
    return [line.strip() for line in lines if line.strip()]


def number_of(sent: Mapping[str, str], name: str, most: int) -> int:
    """0 where nothing was typed. Raises BadForm."""
    text = text_of(sent, name, 12)
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or int(text) > most:
        raise BadForm(f"{name} is {text!r}, a whole number from 0 to {most:,} is needed")
    return int(text)


def seconds_of(
    sent: Mapping[str, str], name: str, most: float = math.inf, *, positive: bool = False
) -> float | None:
    """None where nothing was typed. Raises BadLasts, BadForm."""
    text = text_of(sent, name, 32)
    if not text:
        return None
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise BadLasts(str(error)) from error
    if seconds > most or (positive and seconds == 0.0):
        bounds = "more than none is needed" if seconds <= most else f"{most:,.0f} s are the most"
        raise BadLasts(f"{name} is {text!r}, {bounds}")
    return seconds

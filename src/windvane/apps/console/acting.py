"""What people do to models and incidents, by the API and by forms: a route for every action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

import anyio.to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model

from windvane.apps.console.access import GuardedRoute, may, needs, visit_of
from windvane.apps.console.answering import BadLasts, ReadService
from windvane.apps.console.api import ErrorOut
from windvane.apps.console.reading import shown_file
from windvane.apps.console.rendering import Pages, link
from windvane.apps.console.visiting import BadForm, read_form
from windvane.apps.console.visiting import field as form_field
from windvane.core.authorization import Principal
from windvane.core.errors import WindvaneError
from windvane.core.journal import Decision
from windvane.ports.clock import Clock
from windvane.ports.control_store import (
    ControlStore,
    Deployment,
    Incident,
    Tx,
    VersionRecord,
)
from windvane.ports.routing_feed import RoutingFeed
from windvane.ports.trial import TooManyTrials
from windvane.usecases.actions import (
    ACTIONS,
    About,
    ActionRefused,
    Asked,
    FilesNotTrusted,
    ModelAction,
    ModelState,
    Question,
    ServingChecks,
    action_named,
    perform,
)
from windvane.usecases.publish_routing import PUBLISH, publish_latest
from windvane.usecases.read_model_file import ModelFile, parse_duration

_LONGEST_REASON, _LONGEST_NAME = 500, 128
_LONGEST_TYPED = 4_096  # of what is too long: shown again, to be cut by who typed it
ReasonText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=_LONGEST_REASON)
]
VersionText = Annotated[str, StringConstraints(min_length=1, max_length=_LONGEST_NAME)]
DurationText = Annotated[str, StringConstraints(min_length=2, max_length=32)]


class ReasonGiven(BaseModel):
    """Why: it goes on record."""

    model_config = ConfigDict(extra="forbid")
    reason: ReasonText


class ActedOut(BaseModel):
    """What was done, in a sentence, and the decision that records it. ``version`` and
    ``incident`` are "" where the action is about none."""

    action: str
    model: str
    version: str
    incident: str
    message: str
    decision: str


class Acting:
    """Does what is asked, and hands a changed routing table to the gateways at once; without a
    ``feed`` that is left to the steward."""

    def __init__(
        self, store: ControlStore, clock: Clock, feed: RoutingFeed | None, checks: ServingChecks
    ) -> None:
        self._store, self._clock, self._feed, self._checks = store, clock, feed, checks

    def perform(self, action: ModelAction, asked: Asked) -> Decision:
        """Raises ActionRefused, UnknownName."""
        done = perform(self._store, self._clock, action, asked, self._checks)
        if self._feed is not None and any(e.kind == PUBLISH for e in done.effects):
            publish_latest(self._store, self._feed)
        return done

    def model_of(self, incident: str) -> str:
        """Raises UnknownName."""
        with self._store.read() as tx:
            return tx.incident(incident).model


def acting_router(acting: Acting) -> APIRouter:
    """Each action under its own name, below the model or the incident that it is about."""
    problems: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorOut} for status in (400, 401, 403, 404, 409, 413, 422, 503)
    }
    router = APIRouter(prefix="/api", tags=["acting"], responses=problems, route_class=GuardedRoute)
    for action in ACTIONS:
        _add_api(router, action, acting)
    return router


def acting_pages(acting: Acting, reads: ReadService, clock: Clock, pages: Pages) -> APIRouter:
    """A page for each, which says what follows and asks for the reason."""
    router = APIRouter(include_in_schema=False, route_class=GuardedRoute)
    for action in ACTIONS:
        _add_pages(router, _ActionPage(action, acting, reads, clock, pages))
    return router


@dataclass(frozen=True, slots=True)
class Proposed:
    """An action that the reader of a page may do: its button, and the form behind it."""

    name: str
    verb: str
    path: str
    destructive: bool


def proposed_on_model(who: Principal, file: ModelFile, state: ModelState) -> list[Proposed]:
    """What ``who`` may do to the model, and makes sense as it is."""
    return [
        _proposal(a, file.model)
        for a in ACTIONS
        if a.about is About.MODEL and a.fits(state) and may(who, a.permission, file)
    ]


def proposed_on_version(
    who: Principal,
    file: ModelFile,
    version: VersionRecord,
    live: Deployment | None,
    *,
    trusted: bool,
) -> list[Proposed]:
    """The same of one of its versions."""
    return [
        _proposal(a, file.model, version.version)
        for a in ACTIONS
        if a.about is About.VERSION
        and a.fits_version(version, live, trusted=trusted)
        and may(who, a.permission, file)
    ]


def proposed_on_incident(who: Principal, file: ModelFile, incident: Incident) -> list[Proposed]:
    """The same of an incident of the model."""
    return [
        _proposal(a, incident.id)
        for a in ACTIONS
        if a.about is About.INCIDENT
        and a.fits_incident(incident, who.actor)
        and may(who, a.permission, file)
    ]


def _proposal(action: ModelAction, name: str, version: str = "") -> Proposed:
    return Proposed(action.name, action.verb, page_of(action, name, version), action.destructive)


def page_of(action: ModelAction, name: str, version: str = "") -> str:
    """Where the form of an action is; ``name`` of the model or incident."""
    query = f"?{urlencode({'version': version})}" if version else ""
    return f"/act/{_kind(action)}/{action.name}/{quote(name, safe='')}{query}"


def _kind(action: ModelAction) -> str:
    return "incident" if action.about is About.INCIDENT else "model"


def _wanted_body(action: ModelAction) -> type[ReasonGiven]:
    """What a call of the action carries: the reason, and what the action is about beyond its
    path."""
    fields: dict[str, Any] = {}
    if action.about is About.VERSION:
        fields["version"] = (VersionText, Field(description="A registered version of the model."))
    if action.lasts:
        fields["lasts"] = (
            DurationText, Field(action.lasts, description="For how long, such as `30m` or `2h`.")
        )  # fmt: skip
    for one in action.questions:
        fields[one.name] = _answer_field(one)
    if not fields:
        return ReasonGiven
    words = "".join(word.capitalize() for word in action.name.split("-"))
    kind = "Incident" if action.about is About.INCIDENT else ""
    return create_model(f"{kind}{words}Wanted", __base__=ReasonGiven, __doc__=None, **fields)


def _answer_field(question: Question) -> tuple[Any, Any]:
    """The type of an answer in a call's body, and what is said of it."""
    kind: Any = Annotated[str, StringConstraints(max_length=question.longest)]
    if question.options:
        kind = Literal[tuple(value for value in question.options if value or not question.required)]
    elif question.required:
        kind = Annotated[str, StringConstraints(min_length=1, max_length=question.longest)]
    said = " ".join(filter(None, (question.label, question.hint and f"({question.hint})")))
    return kind, Field(... if question.required else "", description=said)


def _add_api(router: APIRouter, action: ModelAction, acting: Acting) -> None:
    body = _wanted_body(action)
    on_incident = action.about is About.INCIDENT

    def run(request: Request, name: str, given: ReasonGiven) -> ActedOut:
        asked = Asked(
            acting.model_of(name) if on_incident else name,
            visit_of(request).principal.actor,
            given.reason,
            version=getattr(given, "version", ""),
            incident=name if on_incident else "",
            lasts_s=_seconds(getattr(given, "lasts", "")),
            once=_once(request),
            answers={one.name: getattr(given, one.name) for one in action.questions},
        )
        done = acting.perform(action, asked)
        return ActedOut(
            action=action.name, model=asked.model, version=asked.version,
            incident=asked.incident, message=done.verdict.sentence, decision=done.id,
        )  # fmt: skip

    if on_incident:

        @needs(action.permission, "incident")
        def about_incident(request: Request, incident: str, given: body) -> ActedOut:  # pyright: ignore[reportInvalidTypeForm]
            return run(request, incident, given)

        endpoint, path = about_incident, f"/incidents/{{incident:path}}/{action.name}"
    else:

        @needs(action.permission, "model")
        def about_model(request: Request, model: str, given: body) -> ActedOut:  # pyright: ignore[reportInvalidTypeForm]
            return run(request, model, given)

        endpoint, path = about_model, f"/models/{{model}}/{action.name}"
    endpoint.__annotations__["given"] = body
    name = f"{_kind(action)}_{action.name.replace('-', '_')}"
    router.add_api_route(
        path, endpoint, methods=["POST"], name=name, summary=action.verb,
        description=type(action).__doc__, response_model=ActedOut,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Foreseen:
    """What a form shows: ``about`` says what would happen, "" where it cannot be done, and is
    confirmed as ``seen``; or the ``versions`` to choose from. ``remedy``: what the reader may do
    first to make it possible; ``proposed``: answers that the form begins with."""

    model: str
    versions: list[str]
    about: str = ""
    seen: str = ""
    problem: WindvaneError | None = None
    remedy: Proposed | None = None
    proposed: Mapping[str, str] = field(default_factory=dict[str, str])


class _ActionPage:
    """The form of one action."""

    def __init__(
        self, action: ModelAction, acting: Acting, reads: ReadService, clock: Clock, pages: Pages
    ) -> None:
        self.action = action
        self._acting, self._reads, self._clock, self._pages = acting, reads, clock, pages

    async def show(
        self,
        request: Request,
        name: str,
        version: str,
        error: WindvaneError | None = None,
        typed: Mapping[str, str] | None = None,
    ) -> Response:
        """The form, with what was ``typed`` before it was refused by ``error``."""
        action, typed = self.action, typed or {}
        on_incident = action.about is About.INCIDENT

        who = visit_of(request).principal

        def read(tx: Tx) -> _Foreseen:
            record = tx.model(tx.incident(name).model if on_incident else name)
            model = record.name
            asked = Asked(model, "", version=version, incident=name if on_incident else "")
            versions: list[str] = []
            if action.about is About.VERSION and not version:
                versions = [v.version for v in reversed(tx.version_summaries(model))]
                return _Foreseen(model, versions, problem=error)
            try:
                about, seen = action.foresee(tx, asked), action.prospect(tx, asked)
                fresh = {} if error else action.propose(tx, asked, self._clock.now())
                return _Foreseen(model, versions, about, seen, error, proposed=fresh)
            except ActionRefused as refused:
                found = _Foreseen(model, versions, problem=error or refused)
                if isinstance(found.problem, FilesNotTrusted):
                    trust = action_named("trust", About.VERSION)
                    if may(who, trust.permission, shown_file(record)):
                        return replace(found, remedy=_proposal(trust, model, version))
                return found

        found = await self._reads.ask(read)
        status = HTTPStatus.OK if error is None else HTTPStatus.UNPROCESSABLE_ENTITY
        subject = f"version {version} of {found.model}" if version else found.model
        return self._pages.page(
            request, "act.html", title=f"{action.verb}: {name if on_incident else subject}",
            now=self._clock.now(), status=status, follows=False, problem=found.problem,
            about=found.about, remedy=found.remedy, reason=typed.get("reason", ""),
            back=link("incidents" if on_incident else "models", name), verb=action.verb,
            longest=_LONGEST_REASON, versions=found.versions, version=version,
            lasts=action.lasts and typed.get("lasts", action.lasts),
            questions=action.questions,
            answers={
                one.name: typed.get(one.name) or found.proposed.get(one.name, "")
                for one in action.questions
            },
            choose=action.about is About.VERSION and not version,
            destructive=action.destructive, possible=bool(found.about),
            confirmed=found.seen,
        )  # fmt: skip

    async def submit(self, request: Request, name: str) -> Response:
        action = self.action
        on_incident = action.about is About.INCIDENT
        version, form = "", dict[str, str]()
        try:
            form = await read_form(request)
            reason = form_field(form, "reason", _LONGEST_REASON).strip()
            if action.about is About.VERSION:
                version = form_field(form, "version", _LONGEST_NAME)
            lasts_s = _seconds(form_field(form, "lasts", 32)) if action.lasts else 0.0
            who = visit_of(request).principal.actor
            confirmed = form_field(form, "confirmed", _LONGEST_NAME)
            answers = {one.name: form.get(one.name, "") for one in action.questions}

            def act() -> None:
                model = self._acting.model_of(name) if on_incident else name
                incident = name if on_incident else ""
                asked = Asked(
                    model, who, reason, version, incident, lasts_s, confirmed, answers=answers
                )
                self._acting.perform(action, asked)

            await anyio.to_thread.run_sync(act)
        except (BadForm, BadLasts, ActionRefused, TooManyTrials) as error:
            typed = {name: value[:_LONGEST_TYPED] for name, value in form.items()}
            return await self.show(request, name, version, error, typed)
        gone = action.name == "delete"
        where = "/" if gone else link("incidents" if on_incident else "models", name)
        return RedirectResponse(where, HTTPStatus.SEE_OTHER)


def _once(request: Request) -> str:
    """The name of the request, if it has one. Raises BadForm."""
    named = request.headers.get("idempotency-key", "")
    if len(named) > _LONGEST_NAME:
        raise BadForm(
            f"Idempotency-Key has {len(named):,} characters, {_LONGEST_NAME} are the most",
            hint="a UUID will do",
        )
    return named


def _add_pages(router: APIRouter, page: _ActionPage) -> None:
    action = page.action
    if action.about is About.INCIDENT:

        @needs(action.permission, "incident")
        async def ask_incident(request: Request, incident: str) -> Response:
            given = {
                one.name: request.query_params.get(one.name, "")[: one.longest]
                for one in action.questions
            }
            return await page.show(request, incident, "", typed=given)

        @needs(action.permission, "incident")
        async def submit_incident(request: Request, incident: str) -> Response:
            return await page.submit(request, incident)

        path = f"/act/incident/{action.name}/{{incident:path}}"
        ask, submit = ask_incident, submit_incident
    else:

        @needs(action.permission, "model")
        async def ask_model(request: Request, model: str, version: str = "") -> Response:
            return await page.show(request, model, version[:_LONGEST_NAME])

        @needs(action.permission, "model")
        async def submit_model(request: Request, model: str) -> Response:
            return await page.submit(request, model)

        path = f"/act/model/{action.name}/{{model}}"
        ask, submit = ask_model, submit_model
    router.add_api_route(path, ask, methods=["GET"])
    router.add_api_route(path, submit, methods=["POST"])


def _seconds(text: str) -> float:
    """Raises BadLasts."""
    if not text:
        return 0.0
    try:
        return parse_duration(text)
    except ValueError as error:
        raise BadLasts(str(error)) from error

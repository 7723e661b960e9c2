"""Who may ask for what: each route says what it needs, and is refused if it says nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import anyio.to_thread
from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from windvane.apps.console.answering import NoSuchPage, NotAllowed, NotSignedIn, ReadService
from windvane.apps.console.reading import IncidentPage, load_incident
from windvane.apps.console.visiting import (
    CSRF_FIELD,
    CSRF_HEADER,
    Cookies,
    Visit,
    check_csrf,
    check_query,
    check_text,
    csrf_of,
    read_form,
)
from windvane.core.authorization import HIDDEN, Action, Principal, Subject, authorize
from windvane.core.errors import WindvaneError
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, Incident, Tx, UnknownName
from windvane.ports.quarantine import Quarantined
from windvane.ports.users import SessionRecord
from windvane.usecases.observe_recording import Recording, observe_recording
from windvane.usecases.read_model_file import BadModelFile, ModelFile, read_model_file
from windvane.usecases.sign_in import (
    SessionLimits,
    find_key,
    find_session,
    key_principal,
    note_session,
)

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
About = Literal["", "model", "incident", "decision"]
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_NEEDS = "windvane_needs"
EVERYTHING = Subject("", "")  # covered by grants on everything alone


@dataclass(frozen=True, slots=True)
class Needs:
    """``action`` that has to be allowed, on the model behind the path's parameter ``about``; None
    for anybody who is recognised. ``own_tenant``: a key that may read its own tenant's will do.
    ``public``: for strangers too."""

    action: Action | None = None
    about: About = ""
    own_tenant: bool = False
    public: bool = False


def needs(
    action: Action, about: About = "", *, own_tenant: bool = False
) -> Callable[[Endpoint], Endpoint]:
    """Declares what a route needs."""
    return _declare(Needs(action, about, own_tenant))


def needs_sign_in(endpoint: Endpoint) -> Endpoint:
    """Declares a route for whoever is recognised, about themselves."""
    return _declare(Needs())(endpoint)


def public(endpoint: Endpoint) -> Endpoint:
    """Declares a route for strangers."""
    return _declare(Needs(public=True))(endpoint)


def _declare(wanted: Needs) -> Callable[[Endpoint], Endpoint]:
    def mark(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _NEEDS, wanted)
        return endpoint

    return mark


class GuardedRoute(APIRoute):
    """A route whose endpoint declares what it needs, which is checked before its body is read."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **given: Any) -> None:
        found = getattr(endpoint, _NEEDS, None)
        if not isinstance(found, Needs):
            raise TypeError(f"the route {path} does not declare who may ask for it")
        self.needs = found
        super().__init__(path, endpoint, **given)
        self.asked = tuple(_query_names(self.dependant))

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            if not self.needs.public:
                guard: Guard = request.app.state.guard
                request.state.visit = await guard.admit(request, self.needs)
                await check_text(request)
            if self.path.startswith("/api/"):
                check_query(request, self.asked)
            response = await answer(request)
            response.headers.setdefault("Cache-Control", "no-store")
            return response

        return guarded


def _query_names(dependant: Dependant) -> Iterator[str]:
    """What a route and all that it depends on read of the query."""
    yield from (one.alias for one in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _query_names(inner)


def visit_of(request: Request) -> Visit:
    """Who was admitted to a route that is not public."""
    visit: Visit = request.state.visit
    return visit


class Guard:
    """Recognises who asks, by a session's cookie or an API key, and refuses what they may not."""

    def __init__(
        self,
        store: ControlStore,
        reads: ReadService,
        clock: Clock,
        cookies: Cookies,
        limits: SessionLimits,
    ) -> None:
        self._store, self._reads, self._clock = store, reads, clock
        self._cookies, self._limits = cookies, limits

    async def admit(self, request: Request, wanted: Needs) -> Visit:
        """Raises NotSignedIn, NotAllowed, ForgedForm, StoreUnavailable."""
        key, token = _bearer(request), self._cookies.session(request)
        if key is None and not token:
            raise NotSignedIn("nobody is signed in, and no API key was sent")
        if any("\0" in str(value) for value in request.path_params.values()):
            raise NoSuchPage("the path has a character that no name has")
        now = self._clock.wall()

        def read(tx: Tx) -> tuple[Principal, SessionRecord | None, Subject | None]:
            principal, session = (
                (self._by_key(tx, key, now), None)
                if key is not None
                else self._by_session(tx, token, now)
            )
            return principal, session, self._subject(tx, request, wanted, principal)

        principal, session, subject = await self._reads.ask(read)
        csrf = ""
        if session is not None:
            csrf = csrf_of(token)
            if request.method not in _SAFE:
                check_csrf(request, await _sent_token(request), csrf)
            await self._note(session, now)
        if wanted.action is not None and not (wanted.own_tenant and principal.tenant):
            require(principal, wanted.action, subject)
        return Visit(principal, csrf)

    def _by_key(self, tx: Tx, key: str, now: float) -> Principal:
        found = find_key(tx, key)
        if found is None or found.revoked_at is not None:
            raise NotSignedIn("this API key is not known")
        if found.entry.expired(now):
            raise NotSignedIn("this API key has expired")
        return key_principal(found)

    def _by_session(self, tx: Tx, token: str, now: float) -> tuple[Principal, SessionRecord]:
        found = find_session(tx, token, now, self._limits)
        if found is None:
            raise NotSignedIn("the session has ended")
        return found

    def _subject(
        self, tx: Tx, request: Request, wanted: Needs, principal: Principal
    ) -> Subject | None:
        if not wanted.about:
            return None
        name = str(request.path_params[wanted.about])
        try:
            return _find_subject(tx, wanted.about, name)
        except UnknownName:
            # Whoever may see everything is told that there is none, and what is close to it.
            if authorize(principal, Action.VIEW, EVERYTHING).allowed:
                return EVERYTHING
            message = f"{principal.actor} may not see a {wanted.about} of this name"
            raise NotAllowed(message) from None

    async def _note(self, session: SessionRecord, now: float) -> None:
        """A session that could not be noted is used all the same, and ends the earlier."""
        with contextlib.suppress(WindvaneError):
            await anyio.to_thread.run_sync(note_session, self._store, session, now)


def require(principal: Principal, action: Action, subject: Subject | None) -> None:
    """Raises NotAllowed."""
    permission = authorize(principal, action, subject)
    if not permission.allowed:
        raise NotAllowed(permission.why_not)


def subject_of(file: ModelFile) -> Subject:
    """What grants are about, of a model."""
    return Subject(file.model, file.owner.team, tuple(file.owner.decides))


def find_model_subject(tx: Tx, model: str) -> Subject:
    """Everything, where the file cannot be read that says whose model it is. Raises UnknownName."""
    text = tx.model(model).text
    try:
        return subject_of(read_model_file(text))
    except BadModelFile:
        return EVERYTHING


def _find_subject(tx: Tx, about: About, name: str) -> Subject:
    """What a decision on no model is about is everything."""
    if about == "incident":
        return find_model_subject(tx, tx.incident(name).model)
    if about == "decision":
        model = tx.decision(name).model
        return find_model_subject(tx, model) if model else EVERYTHING
    return find_model_subject(tx, name)


def sees_values(tx: Tx, principal: Principal, model: str) -> bool:
    """Whether raw values of requests of the model are shown."""
    return authorize(principal, Action.SEE_VALUES, find_model_subject(tx, model)).allowed


def sees_all(principal: Principal) -> bool:
    """Whether nothing has to be left out of lists."""
    return authorize(principal, Action.VIEW, EVERYTHING).allowed


def sees(principal: Principal, file: ModelFile) -> bool:
    return may(principal, Action.VIEW, file)


def may(principal: Principal, action: Action, file: ModelFile) -> bool:
    return authorize(principal, action, subject_of(file)).allowed


def visible_incidents(
    who: Principal, found: Sequence[Incident], files: Mapping[str, ModelFile], model: str = ""
) -> list[Incident]:
    """Those of models that ``who`` may see. Raises NotAllowed for a ``model`` by name."""
    if model:
        require(who, Action.VIEW, subject_of(files[model]))
    return [i for i in found if i.model in files and sees(who, files[i.model])]


def visible_items(tx: Tx, who: Principal, items: Sequence[Quarantined]) -> list[Quarantined]:
    """Those of models that ``who`` may see; what an item quotes of a request is shown as values
    of requests are. Those of no known model are for whoever sees everything."""
    files = _files_of(tx, (item.model for item in items))
    out: list[Quarantined] = []
    for item in items:
        file = files.get(item.model)
        if _allows(who, Action.VIEW, file):
            hidden = file is not None and (file.pii or not may(who, Action.SEE_VALUES, file))
            out.append(replace(item, message=HIDDEN, body=b"") if hidden else item)
    return out


def items_to_put_back(tx: Tx, who: Principal, items: Sequence[Quarantined]) -> list[Quarantined]:
    """Those that ``who`` may have processed again, or forget."""
    files = _files_of(tx, (item.model for item in items))
    return [item for item in items if _allows(who, Action.PUT_BACK, files.get(item.model))]


def count_visible_items(tx: Tx, who: Principal) -> int:
    """How many items are set aside of models that ``who`` may see."""
    sizes = tx.quarantine_sizes()
    files = _files_of(tx, sizes)
    return sum(n for name, n in sizes.items() if _allows(who, Action.VIEW, files.get(name)))


def observe_visible_recording(
    tx: Tx, who: Principal, now: float, wall: float, expire_after_s: float
) -> Recording:
    """How recording is, with the late events of models that ``who`` may see."""
    found = observe_recording(tx, now, wall, expire_after_s)
    files = _files_of(tx, found.late_events)
    late = {
        name: n
        for name, n in found.late_events.items()
        if _allows(who, Action.VIEW, files.get(name))
    }
    return replace(found, late_events=late)


def _allows(who: Principal, action: Action, file: ModelFile | None) -> bool:
    """On the file's model, or, where there is none that can be read, on everything."""
    subject = EVERYTHING if file is None else subject_of(file)
    return authorize(who, action, subject).allowed


def _files_of(tx: Tx, models: Iterable[str]) -> dict[str, ModelFile]:
    files: dict[str, ModelFile] = {}
    names = sorted(set(models))
    for record in tx.model_records(names) if names else ():
        with contextlib.suppress(BadModelFile):
            files[record.name] = read_model_file(record.text)
    return files


def load_visible_incident(tx: Tx, who: Principal, incident: str, now: float) -> IncidentPage:
    """As it is at ``now`` (s since the epoch), with values of requests if ``who`` may see
    them. Raises UnknownName."""
    try:
        values = sees_values(tx, who, tx.incident(incident).model)
    except UnknownName:
        values = False  # it is the reading that says what is close to it
    return load_incident(tx, incident, now, values=values)


def _bearer(request: Request) -> str | None:
    """The API key that was sent; None where the header is absent. Raises NotSignedIn for another
    way to authenticate, which must not fall back to the cookie."""
    given = request.headers.get("authorization")
    if given is None:
        return None
    word, _, key = given.partition(" ")
    if word.lower() != "bearer" or not key.strip():
        raise NotSignedIn("no API key was sent")
    return key.strip()


async def _sent_token(request: Request) -> str:
    header = request.headers.get(CSRF_HEADER)
    if header is not None:
        return header
    kind = request.headers.get("content-type", "")
    if not kind.startswith("application/x-www-form-urlencoded"):
        return ""
    return (await read_form(request)).get(CSRF_FIELD, "")

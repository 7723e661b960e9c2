"""The pages of local users: a list, and a form for each change."""

from __future__ import annotations

from collections.abc import Mapping

import anyio.to_thread
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from windvane.apps.console.access import GuardedRoute, needs, visit_of
from windvane.apps.console.answering import ReadService
from windvane.apps.console.csv_files import csv_response
from windvane.apps.console.forms import Form, FormRoute, Forms, Input, lines_of
from windvane.apps.console.installation import Installation, Who
from windvane.apps.console.installation_lists import WordsQuery, find_users, users_sheet
from windvane.apps.console.installation_pages import ROLES_HINT
from windvane.apps.console.rendering import Pages, begin
from windvane.apps.console.tables import paged
from windvane.apps.console.visiting import BadForm, field
from windvane.core.authorization import Action, Principal, PrincipalKind, Role
from windvane.ports.clock import Clock
from windvane.ports.control_store import Tx
from windvane.ports.users import UserRecord
from windvane.usecases.manage_users import LEAST_PASSWORD, MOST_PASSWORD, known_user

USERS = "/users"


def user_pages(
    installation: Installation, reads: ReadService, clock: Clock, pages: Pages
) -> APIRouter:
    """Add, change roles, set a password, remove. A password that was made up is shown once."""
    router = APIRouter(
        include_in_schema=False, dependencies=[Depends(begin)], route_class=GuardedRoute
    )
    forms = Forms(pages, clock)

    async def find(name: str) -> UserRecord:
        """Raises UnknownUser."""
        return await reads.ask(lambda tx: known_user(tx, name))

    @router.get(USERS)
    @needs(Action.MANAGE_USERS)
    async def users(request: Request, asked: WordsQuery) -> Response:
        def read(tx: Tx) -> tuple[list[UserRecord], int]:
            return find_users(tx, asked), len(tx.users())

        found, known = await reads.ask(read)
        return pages.page(
            request, "users.html", title="Users", now=clock.now(), asked=asked, known=known,
            users=paged(found, asked.page, USERS, {"q": asked.q}), wall=clock.wall(),
            own=_own_name(visit_of(request).principal),
        )  # fmt: skip

    async def show_add(request: Request) -> Form:
        del request
        return _add_form()

    async def add(request: Request, sent: Mapping[str, str], who: Who) -> Response:
        name, given = field(sent, "name", 64).strip(), _password(sent)
        user, password = await installation.add_user(name, given, lines_of(sent, "roles"), who)
        return shown_or_back(request, user, password, "is added")

    def shown_or_back(request: Request, user: UserRecord, password: str, what: str) -> Response:
        if not password:
            return RedirectResponse(USERS, 303)
        about = [
            f"User {user.name} {what}. Hand this password on; it is not shown again.",
            "It can be changed at any time by a click on the own name at the top of a page.",
        ]
        return forms.show_secret(request, f"The password of {user.name}", password, about, USERS)

    async def show_roles(request: Request) -> Form:
        return _roles_form(await find(request.path_params["name"]))

    async def set_roles(request: Request, sent: Mapping[str, str], who: Who) -> Response:
        name, roles = request.path_params["name"], lines_of(sent, "roles")
        await anyio.to_thread.run_sync(installation.set_roles, name, roles, who)
        return RedirectResponse(USERS, 303)

    async def show_password(request: Request) -> Form:
        return _password_form(await find(request.path_params["name"]))

    async def set_password(request: Request, sent: Mapping[str, str], who: Who) -> Response:
        name = request.path_params["name"]
        user, password = await installation.set_password(name, _password(sent), who)
        return shown_or_back(request, user, password, "has another password")

    async def show_remove(request: Request) -> Form:
        name = request.path_params["name"]

        def read(tx: Tx) -> tuple[UserRecord, int, int]:
            user = known_user(tx, name)
            return user, len(tx.sessions(PrincipalKind.USER, name)), len(tx.users())

        return _remove_form(*await reads.ask(read), visit_of(request).principal)

    async def remove(request: Request, sent: Mapping[str, str], who: Who) -> Response:
        del sent
        await anyio.to_thread.run_sync(installation.remove_user, request.path_params["name"], who)
        return RedirectResponse(USERS, 303)

    for path, show, submit in (
        ("add", show_add, add),
        ("{name}/roles", show_roles, set_roles),
        ("{name}/password", show_password, set_password),
        ("{name}/remove", show_remove, remove),
    ):
        forms.add(router, FormRoute(f"{USERS}/{path}", Action.MANAGE_USERS, show, submit))

    @router.get("/csv/users")
    @needs(Action.MANAGE_USERS)
    async def users_file(asked: WordsQuery) -> Response:
        found = await reads.ask(lambda tx: find_users(tx, asked))
        return csv_response(users_sheet(found), "windvane")

    del users, users_file
    return router


def _own_name(who: Principal) -> str:
    return who.name if who.kind is PrincipalKind.USER else ""


def _password(sent: Mapping[str, str]) -> str:
    """What was typed, the same in both fields; "" for one to be made up. Raises BadForm."""
    typed, again = sent.get("password", ""), sent.get("again", "")
    if typed != again:
        raise BadForm("the password was typed in two ways", hint="type the same in both fields")
    return typed


def _password_inputs() -> list[Input]:
    long = f"{LEAST_PASSWORD} characters or more; empty: one is made up and shown once"
    return [
        Input("password", "Password", kind="password", longest=MOST_PASSWORD, hint=long),
        Input("again", "The password again", kind="password", longest=MOST_PASSWORD),
    ]


def _roles_input(user: UserRecord | None = None) -> Input:
    held = [Role.VIEWER.value] if user is None else [str(grant) for grant in user.grants]
    return Input("roles", "Roles", kind="area", value="\n".join(held), required=True,
                 hint=ROLES_HINT)  # fmt: skip


def _add_form() -> Form:
    return Form(
        title="Add a user", verb="Add", path=f"{USERS}/add", back=USERS,
        inputs=[
            Input("name", "Name", required=True, longest=64, hint="letters, digits and . _ - @"),
            _roles_input(), *_password_inputs(),
        ],
    )  # fmt: skip


def _roles_form(user: UserRecord) -> Form:
    return Form(
        title=f"Roles of {user.name}", verb="Change them", path=f"{USERS}/{user.name}/roles",
        back=USERS, about=["They hold from the next request of this user on."],
        inputs=[_roles_input(user)],
    )  # fmt: skip


def _password_form(user: UserRecord) -> Form:
    return Form(
        title=f"Set a password for {user.name}", verb="Set it",
        path=f"{USERS}/{user.name}/password", back=USERS,
        about=["The old one works no more, and every session of this user ends now."],
        inputs=_password_inputs(),
    )  # fmt: skip


def _remove_form(user: UserRecord, sessions: int, users: int, who: Principal) -> Form:
    own = user.name == _own_name(who)
    ends = f"{sessions} open session{'' if sessions == 1 else 's'} will end now"
    then = ends if sessions else "no session is open"
    about = [
        f"{'You' if own else user.name} can no longer sign in: {then}.",
        "What was done under this name stays on record.",
    ]
    if own:
        about.append("That is you: you are signed out at once.")
    if users == 1:
        about.append(
            "There is no other user. Without an identity provider nobody can sign in until "
            "`windvane up` starts again, which then makes the user admin with a new password."
        )
    return Form(
        title=f"Remove user {user.name}", verb="Remove", path=f"{USERS}/{user.name}/remove",
        back=USERS, about=about, destructive=True,
    )  # fmt: skip

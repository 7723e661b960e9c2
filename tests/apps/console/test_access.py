"""Every route of the console says who may ask for it, and holds to that for every role."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apps.console.visitors import (
    INCIDENT,
    OTHER_INCIDENT,
    SECRET_EMAIL,
    World,
    hidden_on,
    run,
)
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import Mount

from windvane.adapters.sql import SqlControlStore
from windvane.apps.console.access import GuardedRoute, Needs
from windvane.core.authorization import ACTIONS_OF, Action, Role
from windvane.usecases.actions import ACTIONS, About
from windvane.usecases.issue_key import issue_keys

# What each route is asked with: a path about the team ops' model, and a body that would do.
ASKED: dict[tuple[str, str], tuple[str, Any]] = {
    ("GET", "/"): ("/", None),
    ("GET", "/models/{model}"): ("/models/late", None),
    ("GET", "/models/{model}/tenants"): ("/models/late/tenants", None),
    ("GET", "/models/{model}/compare"): ("/models/late/compare", None),
    ("GET", "/models/{model}/rollout"): ("/models/late/rollout", None),
    ("GET", "/api/models/{model}/rollouts"): ("/api/models/late/rollouts", None),
    ("GET", "/models/{model}/drift"): ("/models/late/drift", None),
    ("GET", "/models/{model}/drift/{feature:path}"): ("/models/late/drift/x", None),
    ("GET", "/csv/models/{model}/drift"): ("/csv/models/late/drift", None),
    ("GET", "/csv/models/{model}/drift/{table}/{feature:path}"): (
        "/csv/models/late/drift/effects/x", None,
    ),
    ("GET", "/csv/models/{model}/insensitive"): ("/csv/models/late/insensitive", None),
    ("GET", "/csv/models"): ("/csv/models", None),
    ("GET", "/csv/incidents"): ("/csv/incidents", None),
    ("GET", "/csv/models/{model}/tenants"): ("/csv/models/late/tenants", None),
    ("GET", "/csv/models/{model}/compare"): ("/csv/models/late/compare", None),
    ("GET", "/csv/models/{model}/{table}"): ("/csv/models/late/traffic", None),
    ("GET", "/csv/incidents/{table}/{incident:path}"): (
        f"/csv/incidents/samples/{INCIDENT}", None,
    ),
    ("GET", "/csv/decisions/{table}/{decision:path}"): (
        "/csv/decisions/stages/late/deploy/1", None,
    ),
    ("GET", "/incidents"): ("/incidents", None),
    ("GET", "/incidents/{incident:path}"): (f"/incidents/{INCIDENT}", None),
    ("GET", "/decisions/{decision:path}"): ("/decisions/late/deploy/1", None),
    ("GET", "/api"): ("/api", None),
    ("GET", "/metrics"): ("/metrics", None),
    ("GET", "/api/openapi.json"): ("/api/openapi.json", None),
    ("GET", "/api/models"): ("/api/models", None),
    ("GET", "/api/models/{model}"): ("/api/models/late", None),
    ("GET", "/api/models/{model}/tenants"): ("/api/models/late/tenants", None),
    ("GET", "/api/models/{model}/drift"): ("/api/models/late/drift", None),
    ("GET", "/api/models/{model}/drift/{feature:path}"): ("/api/models/late/drift/x", None),
    ("GET", "/api/incidents"): ("/api/incidents", None),
    ("GET", "/api/incidents/{incident:path}"): (f"/api/incidents/{INCIDENT}", None),
    ("GET", "/api/incidents/{incident:path}/update"): (f"/api/incidents/{INCIDENT}/update", None),
    ("GET", "/api/decisions/{decision:path}"): ("/api/decisions/late/deploy/1", None),
    ("GET", "/api/keys"): ("/api/keys", None),
    ("POST", "/api/keys"): ("/api/keys", {"tenant": "bolt"}),
    ("POST", "/api/keys/{key}/rotate"): ("/api/keys/none/rotate", {}),
    ("DELETE", "/api/keys/{key}"): ("/api/keys/none", None),
    ("GET", "/api/limits"): ("/api/limits", None),
    ("PUT", "/api/limits"): ("/api/limits", {"tenant": "bolt", "rate": 1}),
    ("GET", "/api/audit"): ("/api/audit", None),
    ("GET", "/api/users"): ("/api/users", None),
    ("POST", "/api/users"): ("/api/users", {"name": "eva", "roles": ["viewer"]}),
    ("PUT", "/api/users/{name}/roles"): ("/api/users/none/roles", {"roles": ["viewer"]}),
    ("PUT", "/api/users/{name}/password"): ("/api/users/none/password", {}),
    ("DELETE", "/api/users/{name}"): ("/api/users/none", None),
    ("GET", "/api/silences"): ("/api/silences", None),
    ("GET", "/silences"): ("/silences", None),
    ("GET", "/maintenance"): ("/maintenance", None),
    ("GET", "/api/maintenance"): ("/api/maintenance", None),
    # Of which model it is, is in the body: who may is tested beside it.
    ("POST", "/api/maintenance"): ("/api/maintenance", {"until": "soon"}),
    ("DELETE", "/api/maintenance/{name}"): ("/api/maintenance/none", None),
    ("GET", "/csv/silences"): ("/csv/silences", None),
    ("GET", "/alerts"): ("/alerts", None),
    ("GET", "/api/alerts"): ("/api/alerts", None),
    ("GET", "/csv/alerts/precision"): ("/csv/alerts/precision", None),
    ("GET", "/csv/alerts/times"): ("/csv/alerts/times", None),
    ("GET", "/action-items"): ("/action-items", None),
    ("GET", "/api/action-items"): ("/api/action-items", None),
    ("GET", "/csv/action-items"): ("/csv/action-items", None),
    ("GET", "/postmortems/{incident:path}"): (f"/postmortems/{INCIDENT}", None),
    ("GET", "/api/postmortems/{incident:path}"): (f"/api/postmortems/{INCIDENT}", None),
    ("GET", "/digest"): ("/digest", None),
    ("GET", "/api/digest"): ("/api/digest", None),
    ("GET", "/keys"): ("/keys", None),
    ("GET", "/csv/keys"): ("/csv/keys", None),
    ("GET", "/limits"): ("/limits", None),
    ("GET", "/csv/limits"): ("/csv/limits", None),
    ("GET", "/users"): ("/users", None),
    ("GET", "/csv/users"): ("/csv/users", None),
    ("GET", "/api/quarantine"): ("/api/quarantine", None),
    ("GET", "/quarantine"): ("/quarantine", None),
    ("GET", "/csv/quarantine"): ("/csv/quarantine", None),
    ("GET", "/quarantine/{item}"): ("/quarantine/none", None),
    ("GET", "/api/spools"): ("/api/spools", None),
}  # fmt: skip
for _action in ACTIONS:
    _given: dict[str, Any] = {"reason": "seen"}
    for _question in _action.questions:
        if _question.required:
            _given[_question.name] = next((o for o in _question.options if o), "2026-12-01")
    if _action.about is About.INCIDENT:
        _of, _name = "/{incident:path}", INCIDENT
        _route, _path = f"/api/incidents{_of}", f"/api/incidents/{_name}"
        _page = f"/act/incident/{_action.name}"
    else:
        _of, _name = "/{model}", "late"
        _route, _path = f"/api/models{_of}", f"/api/models/{_name}"
        _page = f"/act/model/{_action.name}"
        if _action.about is About.VERSION:
            _given["version"] = "1"
    ASKED["POST", f"{_route}/{_action.name}"] = (f"{_path}/{_action.name}", _given)
    ASKED["GET", f"{_page}{_of}"] = (f"{_page}/{_name}", None)
    ASKED["POST", f"{_page}{_of}"] = (f"{_page}/{_name}", None)
for _change in ("put-back", "forget"):
    _named = {"items": ["none"], "reason": "seen"}
    ASKED["POST", f"/api/quarantine/{_change}"] = (f"/api/quarantine/{_change}", _named)
for _form, _path in {
    "/quarantine/put-back": "/quarantine/put-back?item=none",
    "/quarantine/forget": "/quarantine/forget?item=none",
    "/keys/issue": "/keys/issue",
    "/keys/{key}/rotate": "/keys/none/rotate",
    "/keys/{key}/revoke": "/keys/none/revoke",
    "/maintenance/plan": "/maintenance/plan",
    "/maintenance/cancel": "/maintenance/cancel?id=none",
    "/limits/set": "/limits/set",
    "/limits/remove": "/limits/remove?tenant=none",
    "/users/add": "/users/add",
    "/users/{name}/roles": "/users/none/roles",
    "/users/{name}/password": "/users/none/password",
    "/users/{name}/remove": "/users/none/remove",
}.items():
    ASKED["GET", _form] = (_path, None)
    ASKED["POST", _form] = (_path, {"reason": "seen"})
# About oneself, for whoever is signed in.
OWN = {("POST", "/sign-out"), ("GET", "/account"), ("POST", "/account")}
PUBLIC = {
    ("GET", "/sign-in"), ("POST", "/sign-in"), ("GET", "/sign-in/oidc"),
    ("GET", "/sign-in/oidc/callback"), ("GET", "/healthz"), ("GET", "/readyz"),
}  # fmt: skip
OF_THE_INSTALLATION = {
    Action.READ_AUDIT, Action.MANAGE_KEYS, Action.MANAGE_LIMITS, Action.MANAGE_USERS,
}  # fmt: skip
# Lists are for whoever has any role, and hold what their roles reach.
LISTS = {"/", "/incidents", "/api", "/metrics", "/api/openapi.json", "/api/models",
         "/api/incidents", "/api/quarantine", "/api/spools", "/csv/models",
         "/csv/incidents", "/action-items", "/api/action-items", "/csv/action-items", "/digest",
         "/api/digest",
         "/alerts", "/api/alerts", "/csv/alerts/precision",
         "/csv/alerts/times",
         "/maintenance", "/api/maintenance", "/api/maintenance/{name}", "/maintenance/plan",
         "/maintenance/cancel", "/silences", "/csv/silences", "/api/silences", "/quarantine",
         "/csv/quarantine", "/quarantine/{item}", "/quarantine/put-back", "/quarantine/forget",
         "/api/quarantine/put-back", "/api/quarantine/forget"}  # fmt: skip


@pytest.fixture
def world(migrated_file: Path, tmp_path: Path) -> Iterator[World]:
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    yield World(store)
    store.close()


def routes(world: World) -> dict[tuple[str, str], Needs | None]:
    found: dict[tuple[str, str], Needs | None] = {}

    def walk(given: Any) -> None:
        for route in given:
            inner = getattr(route, "original_router", None)
            if inner is not None:
                walk(inner.routes)
            elif isinstance(route, Mount):
                found["MOUNT", route.path] = None
            else:
                assert isinstance(route, APIRoute), route
                for method in route.methods:
                    found[method, route.path] = getattr(route, "needs", None)

    walk(world.app.routes)
    return found


def test_every_route_declares_who_may_ask_for_it(world: World) -> None:
    found = routes(world)
    assert found.pop(("MOUNT", "/static"), "gone") is None
    undeclared = [name for name, needs in found.items() if needs is None]
    assert undeclared == []
    assert {name for name, needs in found.items() if needs and needs.public} == PUBLIC
    assert {n for n, needs in found.items() if needs and not needs.public} == ASKED.keys() | OWN


def test_a_route_that_declares_nothing_cannot_be_made() -> None:
    router = APIRouter(route_class=GuardedRoute)
    with pytest.raises(TypeError, match="/new does not declare who may ask for it"):
        router.get("/new")(lambda: None)


def may(role: str, action: Action, path: str) -> bool:
    """By the matrix, of people whose role is on everything, on the team's models or on others."""
    word, _, where = role.partition(" of ")
    if word == "nobody" or action not in ACTIONS_OF[Role(word)]:
        return False
    if where and action in OF_THE_INSTALLATION:
        return False
    return where != "seats" or path in LISTS


@pytest.mark.parametrize(("method", "route"), ASKED)
def test_the_matrix_of_roles_holds_on_every_route(world: World, method: str, route: str) -> None:
    path, given = ASKED[method, route]
    needs = routes(world)[method, route]
    assert needs is not None
    action = needs.action
    assert action is not None

    async def story() -> None:
        for who in world.people:
            before = len(world.decisions())
            answer = await world.ask(who, method, path, given)
            allowed = may(who, action, route)
            assert (answer.status_code != 403) == allowed, (who, answer.status_code, answer.text)
            assert answer.status_code < 500, answer.text
            if not allowed:
                assert "CSL-104" in answer.text
                assert len(world.decisions()) == before, who
        stranger = await world.ask("", method, path, given)
        assert stranger.status_code in (401, 303), stranger.text
        assert stranger.status_code == 401 or stranger.headers["location"].startswith("/sign-in")

    run(story)


def test_a_key_has_the_roles_that_it_was_given_and_no_more(world: World) -> None:
    def key(name: str, scopes: list[str], *roles: str) -> str:
        made = issue_keys(world.store, world.clock, [name], name, scopes=scopes, grants=roles)
        return made[name]

    keys = {
        "client": key("client", ["predict", "outcomes", "events", "operate"]),
        "tenant": key("tenant", ["read"]),
        "viewer": key("viewer", ["read"], "viewer"),
        "operator": key("operator", ["predict"], "operator@model:late"),
        "admin": key("admin", ["admin"]),
    }
    wanted = {
        "/api/models": ("viewer", "operator", "admin"),
        "/api/models/late": ("viewer", "operator", "admin"),
        "/api/models/seats": ("viewer", "admin"),
        "/api/audit": ("tenant", "viewer", "admin"),
        "/api/keys": ("admin",),
    }

    async def story() -> None:
        async with world.browser() as client:
            for path, allowed in wanted.items():
                for name, secret in keys.items():
                    header = {"authorization": f"Bearer {secret}"}
                    answer = await client.get(path, headers=header)
                    good = answer.status_code == 200
                    assert good == (name in allowed), (path, name, answer.text)
                    assert good or answer.status_code == 403
            header = {"authorization": f"Bearer {keys['operator']}"}
            acted = await client.post(
                "/api/models/late/roll-back", json={"reason": "slow"}, headers=header
            )
            assert acted.status_code == 200, "a key needs no token of a form"
            assert (acted.json()["action"], acted.json()["model"]) == ("roll-back", "late")
            assert "1" in acted.json()["message"]

    run(story)


def test_lists_hold_what_ones_roles_reach(world: World) -> None:
    async def story() -> None:
        for who, names in (("viewer", {"late", "seats"}), ("viewer of ops", {"late"}),
                           ("viewer of seats", {"seats"})):  # fmt: skip
            models = (await world.ask(who, "GET", "/api/models")).json()
            incidents = (await world.ask(who, "GET", "/api/incidents")).json()
            assert {m["name"] for m in models} == names
            assert {i["model"] for i in incidents} == names
            for path in ("/csv/models", "/csv/incidents"):
                file = (await world.ask(who, "GET", path)).text
                assert ("late," in file, "seats," in file) == ("late" in names, "seats" in names)
            for path in ("/", "/incidents"):
                page = (await world.ask(who, "GET", path)).text
                assert ("late is ill" in page, "seats is ill" in page) == (
                    "late" in names, "seats" in names,
                )  # fmt: skip
        for path in ("/incidents?model=late", "/api/incidents?model=late", "/models/late",
                     "/models/lete", "/api/models/lete", f"/incidents/{INCIDENT}x"):  # fmt: skip
            answer = await world.ask("viewer of seats", "GET", path)
            assert answer.status_code == 403, path
            assert "did you mean" not in answer.text
        assert (await world.ask("viewer", "GET", "/models/lete")).status_code == 404
        assert (
            await world.ask("viewer of seats", "GET", f"/incidents/{OTHER_INCIDENT}")
        ).status_code == 200

    run(story)


@pytest.mark.parametrize(
    "path",
    [f"/incidents/{INCIDENT}", f"/api/incidents/{INCIDENT}", f"/csv/incidents/samples/{INCIDENT}"],
)
def test_values_are_for_operators_and_personal_ones_for_nobody(world: World, path: str) -> None:
    async def story() -> None:
        for who in ("viewer", "operator", "approver", "admin"):
            text = (await world.ask(who, "GET", path)).text
            assert SECRET_EMAIL not in text, who
            for value in ("7.25", "91.73", "0.6137"):
                assert (value in text) == (who != "viewer"), (who, value)
            word = {"/api": '"hidden"', "/csv": ",hidden"}.get(path[:4], ">hidden<")
            assert (word in text) == (who != "viewer"), who
            assert path.startswith("/csv") or "gates" in text, "who depends on the model is shown"

    run(story)


def test_who_decides_is_in_the_models_file(migrated_file: Path, tmp_path: Path) -> None:
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    world = World(store, decides='[ana, "team:ops"]')
    world.session("ana", "viewer")
    world.session("ben", "operator")

    async def story() -> None:
        path = "/api/models/late/roll-back"
        for who, status in (("ben", 403), ("operator", 403), ("viewer of ops", 403),
                            ("operator of ops", 200), ("ana", 409), ("admin", 409)):  # fmt: skip
            answer = await world.ask(who, "POST", path, {"reason": "slow"})
            assert answer.status_code == status, (who, answer.text)
        assert (
            "among those who decide on late: ana, team:ops"
            in (await world.ask("ben", "POST", path, {"reason": "slow"})).json()["message"]
        )

    run(story)
    store.close()


def test_what_people_do_is_on_record_with_their_name_and_reason(world: World) -> None:
    async def story() -> None:
        page = await world.ask("operator", "GET", "/act/model/roll-back/late")
        assert "Version 1 answers in place of version 2" in page.text
        async with world.browser(world.people["operator"]) as client:
            sent = {**hidden_on(page), "reason": "  p99 doubled  "}
            done = await client.post("/act/model/roll-back/late", data=sent)
            assert (done.status_code, done.headers["location"]) == (303, "/models/late")
            twice = await client.post("/act/model/roll-back/late", data=sent)
            assert (twice.status_code, "no version before 1" in twice.text) == (422, True)
            page = await world.ask("operator", "GET", f"/act/incident/close/{INCIDENT}")
            sent = {**hidden_on(page), "reason": "  p99 doubled  "}
            empty = await client.post(
                f"/act/incident/close/{INCIDENT}", data={**sent, "reason": " "}
            )
            assert empty.status_code == 422
            assert "reason" in empty.text
            closed = await client.post(f"/act/incident/close/{INCIDENT}", data=sent)
            assert closed.headers["location"] == f"/incidents/{INCIDENT}"
            again = await client.post(f"/act/incident/close/{INCIDENT}", data=sent)
            assert (again.status_code, "closed already" in again.text) == (422, True)
        key = await world.ask("admin", "POST", "/api/keys", {"tenant": "a", "reason": "T-1"})
        assert key.status_code == 201
        by = {d.action: (d.actor, d.reason) for d in world.decisions()}
        assert by["rollback"] == by["close_incident"] == ("oidc:operator", "p99 doubled")
        assert by["issue"] == ("oidc:admin", "T-1")
        shown = next(d for d in world.decisions() if d.action == "rollback")
        page = (await world.ask("viewer", "GET", f"/decisions/{shown.id}")).text
        assert "oidc:operator" in page
        assert "p99 doubled" in page

    run(story)


def test_the_page_of_the_api_lists_every_route_with_its_method(world: World) -> None:
    async def story() -> None:
        paths = (await world.ask("viewer", "GET", "/api/openapi.json")).json()["paths"]
        known = {(m.upper(), path) for path, methods in paths.items() for m in methods}
        assert ("POST", "/api/models/{model}/roll-back") in known
        text = (await world.ask("viewer", "GET", "/api")).text
        rows = re.findall(r"<tr><td[^>]*>([A-Z]+)</td><th[^>]*>(?:<a[^>]*>)?([^<]+)<", text)
        assert set(rows) == known
        assert "never decides" not in text

    run(story)

"""Keys, limits, users and silences on the console: what an admin sees, and what it leads to."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from apps.console.visitors import PASSWORD, World, run, send

from windvane.adapters.sql import SqlControlStore
from windvane.core.routing import TenantLimit
from windvane.ports.control_store import Access, KeyRecord
from windvane.usecases.actions import About, Asked, action_named, perform
from windvane.usecases.issue_key import issue_keys
from windvane.usecases.limit_tenant import limit_tenant


@pytest.fixture
def world(migrated_file: Path, tmp_path: Path) -> Iterator[World]:
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    yield World(store)
    store.close()


def secret_on(page: httpx.Response) -> str:
    assert page.status_code == 200, page.text
    found = re.search(r"<pre[^>]*><code>([^<]+)</code>", page.text)
    assert found, page.text
    return found[1]


def keys(world: World, tenant: str = "") -> list[KeyRecord]:
    with world.store.read() as tx:
        found = [key for key in tx.key_records() if tenant in ("", key.entry.tenant)]
    return sorted(found, key=lambda key: not key.successor)  # what gave way comes first


def test_an_issued_key_is_shown_on_the_answer_and_never_again(world: World) -> None:
    async def story() -> None:
        async with world.browser(world.people["admin"]) as client:
            page = await send(
                client, "/keys/issue", tenant=" acme ", name="checkout", expires="90d",
                roles="viewer\noperator@team:ops", **{"scope-predict": "on", "scope-read": "on"},
            )  # fmt: skip
            secret = secret_on(page)
            assert page.headers["cache-control"] == "no-store"
            (record,) = keys(world, "acme")
            assert record.entry.digest == hashlib.sha256(secret.encode()).hexdigest()
            assert set(record.entry.scopes) == {"predict", "read"}
            assert [str(grant) for grant in record.grants] == ["viewer", "operator@team:ops"]
            assert record.entry.expires_at == world.clock.at + 90 * 86_400.0
            for path in ("/keys", "/csv/keys", "/api/keys"):
                listed = (await client.get(path)).text
                assert record.entry.id in listed
                assert secret not in listed
                assert record.entry.digest not in listed
        made = next(d for d in world.decisions() if d.action == "issue")
        assert (made.actor, made.reason) == ("oidc:admin", "T-1")

    run(story)


def test_a_key_is_rotated_with_a_grace_and_revoked_after_a_warning(world: World) -> None:
    old = issue_keys(world.store, world.clock, ["acme"], "batch")["acme"].split("_")[1]
    seen = Access("acme", old, "late", "predict", world.clock.at - 3_600.0, 7,
                  world.clock.at - 900.0, world.clock.at - 600.0)  # fmt: skip
    with world.store.begin() as tx:
        tx.add_access([seen])

    async def story() -> None:
        async with world.browser(world.people["admin"]) as client:
            asked = await client.get(f"/keys/{old}/rotate")
            assert "used 10 min ago (7 calls in 30 days)" in asked.text
            made = secret_on(await send(client, f"/keys/{old}/rotate", grace="2h"))
            before, after = keys(world, "acme")
            assert before.entry.expires_at == world.clock.at + 7_200.0
            assert after.entry.digest == hashlib.sha256(made.encode()).hexdigest()
            page = (await client.get("/keys?state=ending")).text
            assert f"/keys/{old}/revoke" in page
            assert f"/keys/{old}/rotate" not in page, "it gave way already"
            asked = await client.get(f"/keys/{after.entry.id}/revoke")
            assert "cannot be taken back" in asked.text
            assert "not used in the last 30 days" in asked.text
            done = await send(client, f"/keys/{after.entry.id}/revoke")
            assert (done.status_code, done.headers["location"]) == (303, "/keys")
            assert keys(world, "acme")[1].revoked_at == world.clock.at
            again = await client.get(f"/keys/{after.entry.id}/revoke")
            assert again.status_code == 404

    run(story)


@pytest.mark.parametrize(
    ("path", "typed", "said"),
    [
        ("/keys/issue", {"tenant": "*", "scope-predict": "on"}, "stands for every tenant"),
        ("/keys/issue", {"tenant": "acme"}, "without a scope"),
        ("/keys/issue", {"tenant": "acme", "expires": "soon"}, "not a duration"),
        ("/keys/issue", {"tenant": "acme", "expires": "0s"}, "more than none"),
        ("/keys/issue", {"tenant": "acme", "scope-read": "on", "roles": "vewer"}, "viewer"),
        ("/keys/issue", {"tenant": "acme", "scope-read": "on", "reason": " "}, "Reason has 1"),
        ("/limits/set", {"tenant": "acme"}, "Neither bound is given"),
        ("/limits/set", {"tenant": "acme", "rate": "-1"}, "a whole number"),
        ("/limits/set", {"tenant": "acme", "rate": "5", "per": "0s"}, "more than none"),
        ("/limits/set", {"tenant": "acme", "rate": "5", "model": "lat"}, "late"),
        ("/users/add", {"name": "a b", "roles": "viewer"}, "no name for a user"),
        ("/users/add", {"name": "eva", "roles": ""}, "No role is given"),
        ("/users/add", {"name": "eva", "roles": "viewer", "password": "x" * 12, "again": "y"},
         "typed in two ways"),
        ("/users/add", {"name": "eva", "roles": "viewer", "password": "x", "again": "x"},
         "12 to 256"),
    ],
)  # fmt: skip
def test_a_mistake_is_said_on_the_form_which_keeps_what_was_typed(
    world: World, path: str, typed: dict[str, str], said: str
) -> None:
    async def story() -> None:
        before = len(world.decisions())
        async with world.browser(world.people["admin"]) as client:
            page = await send(client, path, **typed)
            assert page.status_code == 422, page.text
            note = re.search(r'role="alert">([^<]+)<', page.text)
            assert note
            assert said in note[1]
            for name, value in typed.items():
                if name in ("tenant", "name", "rate", "expires"):
                    assert f'name="{name}"' in page.text
                    assert f'value="{value}"' in page.text
            assert not typed.get("password") or f'value="{typed["password"]}"' not in page.text
        assert len(world.decisions()) == before

    run(story)


@pytest.mark.parametrize("path", ["/keys/issue", "/limits/set", "/users/add"])
def test_a_form_of_another_site_changes_nothing(world: World, path: str) -> None:
    async def story() -> None:
        before = len(world.decisions())
        sent = {"tenant": "acme", "rate": "5", "name": "eva", "roles": "viewer", "reason": "r",
                "scope-predict": "on"}  # fmt: skip
        async with world.browser(world.people["admin"]) as client:
            for more in ({}, {"csrf": "0" * 64}):
                answer = await client.post(path, data={**sent, **more})
                assert (answer.status_code, "CSL-106" in answer.text) == (403, True)
        assert len(world.decisions()) == before

    run(story)


def test_limits_are_set_changed_and_removed_with_what_then_holds(world: World) -> None:
    async def story() -> None:
        async with world.browser(world.people["admin"]) as client:
            assert "No limit yet" in (await client.get("/limits")).text
            everyone = await send(client, "/limits/set", tenant="*", rate="600", per="1m")
            assert everyone.headers["location"] == "/limits"
            await send(client, "/limits/set", tenant="acme", rate="5", per="10s", concurrent="2")
            await send(client, "/limits/set", tenant="acme", model="late", concurrent="1")
            with world.store.read() as tx:
                assert set(tx.limits()) == {
                    TenantLimit("*", "", 600, 60.0, 0), TenantLimit("acme", "", 5, 10.0, 2),
                    TenantLimit("acme", "late", 0, 60.0, 1),
                }  # fmt: skip
            filled = (await client.get("/limits/set?tenant=acme")).text
            for value in ("acme", "5", "10s", "2"):
                assert f'value="{value}"' in filled
            asked = await client.get("/limits/remove?tenant=acme")
            assert "5 requests in any 10s, 2 at one time" in asked.text
            assert "as everyone is: 600 requests in any 1m" in asked.text
            done = await send(client, "/limits/remove?tenant=acme")
            assert (done.status_code, done.headers["location"]) == (303, "/limits")
            with world.store.read() as tx:
                assert {(x.tenant, x.model) for x in tx.limits()} == {("*", ""), ("acme", "late")}
            assert (await client.get("/limits/remove?tenant=acme")).status_code == 404

    run(story)


def test_a_user_with_a_made_up_password_signs_in_by_it(world: World) -> None:
    async def story() -> None:
        async with world.browser(world.people["admin"]) as client:
            page = await send(client, "/users/add", name="eva", roles="viewer\noperator@team:ops")
            made = secret_on(page)
            assert page.headers["cache-control"] == "no-store"
            assert made not in (await client.get("/users")).text
        assert not [d for d in world.decisions() if made in str(d)]
        async with world.browser() as visitor:
            assert (await world.sign_in(visitor, "eva", made)).status_code == 303
            assert (await visitor.get("/")).status_code == 200
            assert (await visitor.get("/users")).status_code == 403
            async with world.browser(world.people["admin"]) as client:
                typed = {"password": PASSWORD, "again": PASSWORD}
                done = await send(client, "/users/eva/password", **typed)
                assert done.headers["location"] == "/users"
            assert (await visitor.get("/")).status_code == 303, "the session has ended"
            assert (await world.sign_in(visitor, "eva")).status_code == 303

    run(story)


def test_roles_change_at_once_and_a_removed_user_is_out(world: World) -> None:
    world.user("ana", "admin")
    world.user("eva")

    async def story() -> None:
        async with world.browser(world.people["admin"]) as client, world.browser() as eva:
            await world.sign_in(eva, "eva")
            assert (await eva.get("/keys")).status_code == 403
            assert (await send(client, "/users/eva/roles", roles="admin")).status_code == 303
            assert (await eva.get("/keys")).status_code == 200
            own = await eva.get("/users/eva/remove")
            assert "You can no longer sign in: 1 open session will end now" in own.text
            assert "you are signed out at once" in own.text
            assert (await send(client, "/users/eva/remove")).headers["location"] == "/users"
            assert (await eva.get("/keys")).status_code == 303
            assert (await client.get("/users/eva/remove")).status_code == 404
            world.user("ben")
            last = await send(client, "/users/ana/remove")
            assert (last.status_code, "only admin of 2 users" in last.text) == (422, True)

    run(story)


def test_the_api_manages_users_as_the_pages_do(world: World) -> None:
    async def story() -> None:
        made = await world.ask(
            "admin", "POST", "/api/users", {"name": "eva", "roles": ["viewer"], "reason": "T-9"}
        )
        assert made.status_code == 201
        assert made.headers["cache-control"] == "no-store"
        password = made.json()["password"]
        async with world.browser() as eva:
            assert (await world.sign_in(eva, "eva", password)).status_code == 303
            given = {"password": PASSWORD}
            path = "/api/users/eva/password"
            changed = await world.ask("admin", "PUT", path, given)
            assert (changed.status_code, changed.json()["password"]) == (200, None)
            assert (await eva.get("/")).status_code == 303
            assert (await world.sign_in(eva, "eva")).status_code == 303
        world.user("ana", "admin")
        roles = await world.ask("admin", "PUT", "/api/users/eva/roles", {"roles": ["operator"]})
        assert roles.json()["roles"] == ["operator"]
        listed = await world.ask("admin", "GET", "/api/users?per_page=1")
        assert ([u["name"] for u in listed.json()], listed.headers["x-total-count"]) == (
            ["ana"], "2",
        )  # fmt: skip
        assert "page=2" in listed.headers["link"]
        assert "argon2" not in listed.text
        refused = {
            ("POST", "/api/users"): ({"name": "eva"}, 422, "USR-101"),
            ("PUT", "/api/users/eva/password"): ({"password": "short"}, 422, "USR-102"),
            ("PUT", "/api/users/eve/roles"): ({"roles": ["viewer"]}, 404, "USR-103"),
            ("DELETE", "/api/users/ana"): (None, 409, "USR-104"),
            ("PUT", "/api/users/eva/roles"): ({"roles": ["root"]}, 422, "AUT-101"),
        }
        for (method, path), (body, status, code) in refused.items():
            answer = await world.ask("admin", method, path, body)
            assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
            assert "short" not in answer.text
        gone = await world.ask("admin", "DELETE", "/api/users/eva?reason=left")
        assert gone.status_code == 200
        by = {d.action: (d.actor, d.reason) for d in world.decisions()}
        assert by["remove_user"] == ("oidc:admin", "left")

    run(story)


def test_a_thousand_keys_come_in_pages_and_are_searched(world: World) -> None:
    tenants = [f"tenant-{i:04}" for i in range(1_000)]
    issue_keys(world.store, world.clock, tenants, "bulk")

    async def story() -> None:
        async with world.browser(world.people["admin"]) as client:
            page = (await client.get("/keys")).text
            assert "1 to 48 of 1,000" in page
            assert page.count("/revoke") == 48
            last = (await client.get("/keys?page=21")).text
            assert "961 to 1,000 of 1,000" in last
            found = (await client.get("/keys?q=TENANT-0777")).text
            assert re.findall(r"tenant=(tenant-\d+)", found) == ["tenant-0777"]
            assert "None of 1,000 keys fits" in (await client.get("/keys?q=nobody")).text
            file = (await client.get("/csv/keys?q=tenant-07")).text
            rows = list(csv.DictReader(io.StringIO(file)))
            assert len(rows) == 100
            assert {row["state"] for row in rows} == {"works"}

    run(story)


@pytest.mark.parametrize("text", ["<b>x</b>", '"><script>alert(1)</script>', "=1+1", "a&b=c/d?e"])
def test_whatever_a_tenant_is_called_its_lines_can_be_changed(world: World, text: str) -> None:
    issue_keys(world.store, world.clock, [text], text)
    limit_tenant(world.store, world.clock, TenantLimit(text, rate=5))

    async def story() -> None:
        async with world.browser(world.people["admin"]) as client:
            for path in ("/keys", "/limits"):
                page = (await client.get(path)).text
                assert "<b>x" not in page
                assert "<script>alert" not in page
            assert not (await client.get("/csv/keys")).text.splitlines()[1].startswith("=")
            query = urlencode({"tenant": text, "model": ""})
            done = await send(client, f"/limits/remove?{query}")
            assert done.status_code == 303
        with world.store.read() as tx:
            assert tx.limits() == []

    run(story)


def test_the_navigation_names_what_one_may_open(world: World) -> None:
    async def story() -> None:
        for who in ("viewer", "operator", "approver", "admin of ops"):
            assert "Installation" not in (await world.ask(who, "GET", "/incidents")).text
        page = (await world.ask("admin", "GET", "/limits")).text
        for path in ("/keys", "/limits", "/users"):
            assert f'href="{path}"' in page

    run(story)


def test_silences_of_all_models_are_listed_for_who_sees_them(world: World) -> None:
    for model, by in (("late", "user:ana"), ("seats", "user:ben")):
        asked = Asked(model, by, f"works on {model}", lasts_s=7_200.0)
        perform(world.store, world.clock, action_named("silence", About.MODEL), asked)

    async def story() -> None:
        for who, seen, lifts in (
            ("admin", {"late", "seats"}, {"late", "seats"}),
            ("viewer", {"late", "seats"}, set[str]()),
            ("operator of ops", {"late"}, {"late"}),
            ("viewer of seats", {"seats"}, set[str]()),
        ):
            page = (await world.ask(who, "GET", "/silences")).text
            assert set(re.findall(r"works on (\w+)", page)) == seen
            assert set(re.findall(r"/act/model/lift-silence/(\w+)", page)) == lifts
            listed = (await world.ask(who, "GET", "/api/silences")).json()
            assert {line["model"] for line in listed} == seen
            file = (await world.ask(who, "GET", "/csv/silences")).text
            assert {row["model"] for row in csv.DictReader(io.StringIO(file))} == seen
        one = (await world.ask("admin", "GET", "/api/silences?q=ben")).json()
        assert [(x["by"], x["until"]) for x in one] == [("user:ben", world.clock.at + 7_200.0)]
        world.clock.at += 7_201.0
        assert "Nothing is silenced" in (await world.ask("admin", "GET", "/silences")).text

    run(story)

"""Signing in: sessions, forged forms, limits, cookies; and what no log may hold."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from apps.console.visitors import PASSWORD, SECURE, World, csrf_on, run

from windvane.adapters.argon2 import Argon2Hasher
from windvane.adapters.sql import SqlControlStore
from windvane.apps.console.signing_in import SignInWays
from windvane.apps.console.visiting import MAX_BODY, csrf_of, local_path
from windvane.core.authorization import AttemptLimit
from windvane.usecases.manage_users import remove_user, set_password, set_roles
from windvane.usecases.sign_in import SessionLimits, token_digest

OTHER_PASSWORD = "a longer sentence still"


@pytest.fixture
def store(migrated_file: Path, tmp_path: Path) -> Iterator[SqlControlStore]:
    shutil.copy(migrated_file, tmp_path / "control.db")
    opened = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    yield opened
    opened.close()


@pytest.fixture
def world(store: SqlControlStore) -> World:
    made = World(store)
    made.user("ana")
    return made


def test_from_a_page_to_the_password_and_back_to_the_page(world: World) -> None:
    async def story() -> None:
        async with world.browser() as client:
            sent = await client.get("/models/late?windows=30")
            assert sent.status_code == 303
            assert sent.headers["location"] == "/sign-in?next=%2Fmodels%2Flate%3Fwindows%3D30"
            page = await client.get(sent.headers["location"])
            assert "<h1" in page.text
            assert 'autocomplete="current-password"' in page.text
            form = {"csrf": csrf_on(page), "user": "ana", "password": PASSWORD}
            entered = await client.post("/sign-in", data=form)
            assert entered.status_code == 303
            assert entered.headers["location"] == "/models/late?windows=30"
            assert (await client.get("/")).status_code == 200
            account = await client.get("/account")
            assert "viewer" in account.text
            out = await client.post("/sign-out", data={"csrf": csrf_on(account)})
            assert (out.status_code, out.headers["location"]) == (303, "/sign-in")
            assert (await client.get("/")).status_code == 303

    run(story)


def test_a_poll_of_a_page_whose_session_ended_leaves_the_page(world: World) -> None:
    async def story() -> None:
        async with world.browser() as client:
            answer = await client.get("/incidents", headers={"hx-request": "true"})
            assert answer.status_code == 204
            assert answer.headers["hx-redirect"] == "/sign-in?next=%2Fincidents"

    run(story)


@pytest.mark.parametrize(
    ("user", "password"),
    [("ana", "wrong horse battery"), ("nobody-here", PASSWORD), ("ana", PASSWORD + " "),
     ("ANA", PASSWORD), ("a\0b", PASSWORD), ("'; drop", PASSWORD), ("ana", "x" * 1_024)],
)  # fmt: skip
def test_a_wrong_user_and_a_wrong_password_are_told_alike(
    world: World, user: str, password: str
) -> None:
    async def story() -> None:
        async with world.browser() as client:
            answer = await world.sign_in(client, user, password)
            assert answer.status_code == 401
            assert "The user or the password is wrong." in answer.text
            assert password not in answer.text
            assert "windvane" not in client.cookies

    run(story)


def test_an_unknown_user_costs_the_same_work(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert world.ways is not None
    assert world.ways.hasher is not None
    checked: list[str] = []
    hasher = world.ways.hasher
    whole = type(hasher).verify

    def noting(self: Argon2Hasher, stored: str, password: str) -> bool:
        checked.append(stored)
        return whole(self, stored, password)

    monkeypatch.setattr(Argon2Hasher, "verify", noting)

    async def story() -> None:
        async with world.browser() as client:
            await world.sign_in(client, "ana", "wrong horse battery")
            await world.sign_in(client, "nobody-here", "wrong horse battery")
        assert len(checked) == 2
        assert checked[1] == ""

    run(story)


# Sessions


def test_a_session_that_was_planted_is_not_the_one_that_begins(world: World) -> None:
    planted = "p" * 43

    async def story() -> None:
        async with world.browser(planted) as client:
            await world.sign_in(client, "ana")
            tokens = {c.value for c in client.cookies.jar if c.name == "windvane"}
            fresh = (tokens - {planted}).pop()
            assert len(fresh) >= 43
        async with world.browser(planted) as thief:
            assert (await thief.get("/")).status_code == 303
        with world.store.read() as tx:
            assert tx.find_session(token_digest(fresh)) is not None
            assert tx.find_session(fresh) is None, "the token itself is not stored"

    run(story)


def test_a_session_ends_when_idle_and_when_old(world: World) -> None:
    limits = SessionLimits()

    async def story() -> None:
        async with world.browser() as client:
            await world.sign_in(client, "ana")
            began = world.clock.at
            world.clock.at += limits.idle_s - 1
            assert (await client.get("/")).status_code == 200
            world.clock.at += limits.idle_s - 1
            assert (await client.get("/")).status_code == 200, "its use was noted"
            while world.clock.at < began + limits.lifetime_s - limits.idle_s:
                world.clock.at += limits.idle_s / 2
                assert (await client.get("/")).status_code == 200
            world.clock.at = began + limits.lifetime_s
            assert (await client.get("/")).status_code == 303
        async with world.browser() as client:
            await world.sign_in(client, "ana")
            world.clock.at += limits.idle_s
            assert (await client.get("/")).status_code == 303

    run(story)


def test_a_session_ends_with_the_password_and_with_the_user(world: World) -> None:
    assert world.ways is not None
    hasher = world.ways.hasher
    assert hasher is not None
    world.user("root", "admin")
    world.user("ben")

    async def story() -> None:
        async with world.browser() as ana, world.browser() as ben:
            await world.sign_in(ana, "ana")
            await world.sign_in(ben, "ben")
            assert (await ana.get("/api/keys")).status_code == 403
            set_roles(world.store, world.clock, "ana", ["admin"], by="t")
            assert (await ana.get("/api/keys")).status_code == 200, "roles hold at once"
            set_password(world.store, world.clock, hasher, "ana", OTHER_PASSWORD, by="t")
            assert (await ana.get("/")).status_code == 303
            assert (await ben.get("/")).status_code == 200
            remove_user(world.store, world.clock, "ben", by="t")
            assert (await ben.get("/")).status_code == 303

    run(story)


def test_ones_own_password_takes_the_old_one_and_ends_the_other_sessions(world: World) -> None:
    async def story() -> None:
        async with world.browser() as here, world.browser() as there:
            await world.sign_in(here, "ana")
            await world.sign_in(there, "ana")
            sent = {"csrf": csrf_on(await here.get("/account")), "new": OTHER_PASSWORD}
            for old, again, status in (("wrong horse battery", OTHER_PASSWORD, 422),
                                       (PASSWORD, "another one instead", 422),
                                       (PASSWORD, OTHER_PASSWORD, 200)):  # fmt: skip
                answer = await here.post("/account", data={**sent, "old": old, "again": again})
                assert answer.status_code == status, answer.text
                assert old not in answer.text
            assert (await here.get("/")).status_code == 200
            assert (await there.get("/")).status_code == 303
            assert (await world.sign_in(there, "ana", PASSWORD)).status_code == 401
            assert (await world.sign_in(there, "ana", OTHER_PASSWORD)).status_code == 303
        done = next(d for d in world.decisions() if d.action == "set_password")
        assert done.actor == "user:ana"

    run(story)


# Forged forms


def test_a_form_without_the_sessions_token_changes_nothing(world: World) -> None:
    wrong = csrf_of(world.people["viewer"])

    async def story() -> None:
        before = world.decisions()
        for csrf in ("", "x", wrong, csrf_of("x")):
            for method, path, given in (
                ("POST", "/api/models/late/roll-back", {"reason": "r"}),
                ("POST", "/api/keys", {"tenant": "bolt"}), ("DELETE", "/api/keys/none", None),
                ("PUT", "/api/limits", {"tenant": "bolt", "rate": 1}),
            ):  # fmt: skip
                answer = await world.ask("admin", method, path, given, csrf=csrf)
                assert (answer.status_code, answer.json()["code"]) == (403, "CSL-106")
        async with world.browser(world.people["admin"]) as client:
            for form in ({}, {"csrf": wrong}, {"csrf": ""}):
                for path in ("/act/model/roll-back/late", "/sign-out", "/account"):
                    answer = await client.post(path, data={**form, "reason": "r"})
                    assert answer.status_code == 403, path
            right = {"csrf": csrf_of(world.people["admin"]), "reason": "r"}
            other = {"sec-fetch-site": "cross-site"}
            answer = await client.post("/act/model/roll-back/late", data=right, headers=other)
            assert (answer.status_code, "CSL-106" in answer.text) == (403, True)
            assert (await client.get("/")).status_code == 200, "nobody was signed out"
        assert world.decisions() == before

    run(story)


def test_signing_somebody_in_takes_a_form_of_their_own_browser(world: World) -> None:
    async def story() -> None:
        async with world.browser() as attacker, world.browser() as client:
            stolen = csrf_on(await attacker.get("/sign-in"))
            form = {"csrf": stolen, "user": "ana", "password": PASSWORD}
            for _ in range(2):
                answer = await client.post("/sign-in", data=form)
                assert answer.status_code == 403
                assert "windvane" not in client.cookies
                await client.get("/sign-in")

    run(story)


@pytest.mark.parametrize(
    "path",
    ["//evil.example/x", "https://evil.example/", "/\\evil.example", "\\\\evil.example", "evil",
     "javascript:alert(1)", "/sign-in", "/x\ny", "/" + "x" * 2_000, "http:///evil.example", ""],
)  # fmt: skip
def test_nobody_is_sent_elsewhere_after_the_sign_in(path: str) -> None:
    assert local_path(path) == "/"
    assert local_path("/models/a%20b?windows=30") == "/models/a%20b?windows=30"


# Limits


def test_attempts_are_limited_by_user_and_by_address(store: SqlControlStore) -> None:
    world = World(store)
    assert world.ways is not None
    limited = replace(
        world.ways, per_user=AttemptLimit(3, 60.0), per_address=AttemptLimit(5, 60.0),
        ticks=lambda: world.clock.at,
    )  # fmt: skip
    world = World(store, limited, people={})
    world.user("ana")
    world.user("ben")

    async def attempt(user: str, password: str, address: str) -> httpx.Response:
        async with world.browser(client=(address, 1)) as client:
            return await world.sign_in(client, user, password)

    async def story() -> None:
        world.clock.at = 2_000_000_000.0
        for _ in range(3):
            assert (await attempt("ana", "wrong horse battery", "10.0.0.1")).status_code == 401
        late = await attempt("ana", PASSWORD, "10.0.0.2")
        assert late.status_code == 429, "of the user, from any address"
        assert int(late.headers["retry-after"]) == 60
        assert "the next is allowed in 60 s" in late.text
        for user in ("x1", "x2"):
            assert (await attempt(user, PASSWORD, "10.0.0.1")).status_code == 401
        assert (await attempt("ben", PASSWORD, "10.0.0.1")).status_code == 429, "of the address"
        assert (await attempt("ben", PASSWORD, "10.0.0.2")).status_code == 303
        world.clock.at += 60.0
        assert (await attempt("ana", PASSWORD, "10.0.0.2")).status_code == 303
        for n in range(5):
            await attempt(f"y{n}", "wrong", f"2001:db8::{n}")
        assert (await attempt("ben", PASSWORD, "2001:db8::ffff")).status_code == 429

    run(story)


def test_a_body_is_bounded_before_anybody_is_asked_who_they_are(world: World) -> None:
    async def parts() -> object:
        for _ in range(MAX_BODY // 1_000 + 2):
            yield b"x" * 1_000

    async def story() -> None:
        async with world.browser() as client:
            for body in (b"x" * (MAX_BODY + 1), parts()):
                kind = {"content-type": "application/json"}
                answer = await client.post("/sign-in", content=body, headers=kind)  # type: ignore[arg-type]
                assert answer.status_code in (413, 422), answer.text
                answer = await client.put("/api/limits", content=b"x" * (MAX_BODY + 1))
                assert (answer.status_code, answer.json()["code"]) == (413, "CSL-107")
            many = {f"f{i}": "x" for i in range(100)}
            assert (await client.post("/sign-in", data=many)).status_code == 422

    run(story)


# Cookies and logs


@pytest.mark.parametrize("secure", [False, True])
def test_cookies_are_out_of_reach_of_scripts_and_other_sites(
    store: SqlControlStore, secure: bool
) -> None:
    ways = SignInWays(hasher=Argon2Hasher(memory_kib=64, passes=1))
    world = World(store, replace(ways, cookies=SECURE) if secure else ways)
    world.user("ana")

    async def story() -> None:
        async with world.browser() as client:
            client.base_url = httpx.URL("https://localhost" if secure else "http://localhost")
            page = await client.get("/sign-in")
            entered = await world.sign_in(client, "ana")
            account = await client.get("/account")
            out = await client.post("/sign-out", data={"csrf": csrf_on(account)})
        cookies = [c for a in (page, entered, out) for c in a.headers.get_list("set-cookie")]
        assert len(cookies) >= 4
        for cookie in cookies:
            name, *flags = (part.strip().lower() for part in cookie.split(";"))
            assert {"httponly", "samesite=lax", "path=/"} <= set(flags), cookie
            assert ("secure" in flags) == secure
            assert name.startswith("__host-windvane" if secure else "windvane")
            assert not any(flag.startswith("domain") for flag in flags)
        for answer in (page, entered, account, out):
            assert answer.headers["cache-control"] == "no-store"

    run(story)


def test_no_log_and_no_decision_holds_a_password_or_a_token(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def story() -> None:
        async with world.browser() as client:
            await world.sign_in(client, PASSWORD, "wrong horse battery")
            await world.sign_in(client, "ana", "wrong horse battery")
            await world.sign_in(client, "ana")
            tokens = [c.value or "" for c in client.cookies.jar]
        told = caplog.text + str(world.decisions())
        assert "user ana signed in" in told
        for secret in (PASSWORD, "wrong horse battery", *tokens):
            assert secret not in told

    run(story)

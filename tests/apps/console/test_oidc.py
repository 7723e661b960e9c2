"""Signing in by an identity provider that really runs: code, PKCE, state, nonce, groups."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from apps.console.oidc_provider import CLIENT, SECRET, Provider, running_provider
from apps.console.visitors import World, run
from contracts.identity.issuer import make_key

from windvane.adapters.jwt import OidcProvider
from windvane.adapters.sql import SqlControlStore
from windvane.apps.console.signing_in import SignInWays
from windvane.usecases.read_settings import BadSettings, read_settings

ROLES = {"ml-ops": ["operator@team:ops"], "readers": ["viewer"]}


@dataclass
class Site:
    world: World
    provider: Provider

    async def to_provider(self, client: httpx.AsyncClient, path: str = "/") -> httpx.Response:
        """What the provider answers to the browser: the way back."""
        await client.get("/sign-in", params={"next": path})
        sent = await client.get("/sign-in/oidc")
        assert sent.status_code == 303, sent.text
        async with httpx.AsyncClient() as outside:
            return await outside.get(sent.headers["location"])

    async def come_back(self, client: httpx.AsyncClient, **changed: str) -> httpx.Response:
        back = urlsplit((await self.to_provider(client)).headers["location"])
        query = {k: v[0] for k, v in parse_qs(back.query).items()} | changed
        return await client.get(back.path, params=query)


@pytest.fixture
def site(migrated_file: Path, tmp_path: Path) -> Iterator[Site]:
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    with running_provider() as provider:
        client = OidcProvider(issuer=provider.address, client_id=CLIENT, client_secret=SECRET)
        world = World(store, SignInWays(provider=client, roles=ROLES))
        world.clock.at = time.time()
        yield Site(world, provider)
    store.close()


def test_from_the_page_to_the_provider_and_back_with_the_groups_roles(site: Site) -> None:
    async def story() -> None:
        async with site.world.browser() as client:
            page = await client.get("/sign-in")
            assert "Sign in with your organisation" in page.text
            assert "password" not in page.text
            back = await site.to_provider(client, "/models/late")
            entered = await client.get(back.headers["location"])
            assert entered.status_code == 303, entered.text
            assert entered.headers["location"] == "/models/late"
            assert (await client.get("/models/late")).status_code == 200
            assert (await client.get("/models/seats")).status_code == 403
            account = await client.get("/account")
            assert "oidc:8f2c" in account.text
            again = await client.get(back.headers["location"])
            assert again.status_code == 403, "the sign-in is over"
        asked = site.provider.asked[0]
        assert asked["redirect_uri"] == "http://localhost/sign-in/oidc/callback"
        assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3

    run(story)


@pytest.mark.parametrize(
    "changed", [{"state": "x"}, {"state": ""}, {"code": "x"}, {"code": ""}, {"error": "denied"}]
)
def test_an_answer_to_another_sign_in_is_refused(site: Site, changed: dict[str, str]) -> None:
    async def story() -> None:
        async with site.world.browser() as client:
            answer = await site.come_back(client, **changed)
            assert (answer.status_code, "CSL-111" in answer.text) == (403, True)
            assert (await client.get("/")).status_code == 303

    run(story)


def test_a_code_of_another_browsers_sign_in_is_refused(site: Site) -> None:
    """Its state, and its verifier, are of a secret that only that browser has."""

    async def story() -> None:
        async with site.world.browser() as attacker, site.world.browser() as victim:
            back = await site.to_provider(attacker)
            for _ in range(2):
                answer = await victim.get(back.headers["location"])
                assert answer.status_code == 403
                await site.to_provider(victim)
            mine = parse_qs(urlsplit((await site.to_provider(victim)).headers["location"]).query)
            theirs = parse_qs(urlsplit(back.headers["location"]).query)
            mixed = {"state": mine["state"][0], "code": theirs["code"][0]}
            answer = await victim.get("/sign-in/oidc/callback", params=mixed)
            assert answer.status_code == 403, "the code's verifier is another"

    run(story)


@pytest.mark.parametrize(
    "changed",
    [
        {"nonce": "x"}, {"nonce": None}, {"aud": "another"}, {"aud": [CLIENT, "another"]},
        {"azp": "another"}, {"iss": "https://evil.example"}, {"exp": 1.0}, {"exp": None},
        {"sub": ""}, {"sub": None}, {"groups": 7}, {"groups": ["strangers"]}, {"groups": None},
        {"groups": ["x"] * 2_000},
    ],
)  # fmt: skip
def test_an_id_token_that_does_not_fit_lets_nobody_in(site: Site, changed: dict[str, Any]) -> None:
    site.provider.claims = changed

    async def story() -> None:
        async with site.world.browser() as client:
            answer = await site.come_back(client)
            assert (answer.status_code, "CSL-111" in answer.text) == (403, True)
            assert "windvane" not in client.cookies
            assert (await client.get("/")).status_code == 303

    run(story)


def test_an_id_token_of_another_signer_lets_nobody_in(site: Site) -> None:
    site.provider.signer = make_key("ES256")

    async def story() -> None:
        async with site.world.browser() as client:
            answer = await site.come_back(client)
            assert answer.status_code == 403
            assert "signature" in answer.text

    run(story)


def test_a_provider_that_is_away_or_another_is_said(site: Site) -> None:
    site.provider.discovery = {"issuer": "https://evil.example"}

    async def story() -> None:
        async with site.world.browser() as client:
            answer = await client.get("/sign-in/oidc")
            assert (answer.status_code, "IDN-103" in answer.text) == (502, True)
        away = OidcProvider(issuer="http://127.0.0.1:1", client_id=CLIENT)
        world = World(site.world.store, SignInWays(provider=away, roles=ROLES))
        async with world.browser() as client:
            answer = await client.get("/sign-in/oidc")
            assert (answer.status_code, "IDN-103" in answer.text) == (502, True)

    run(story)


def test_no_log_holds_the_clients_secret_a_code_or_a_token(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "windvane")

    async def story() -> None:
        async with site.world.browser() as client:
            assert (await site.come_back(client)).status_code == 303
            token = client.cookies["windvane"]
            site.provider.claims = {"nonce": "x"}
            await site.come_back(client)
        told = "\n".join(r.getMessage() for r in caplog.records if r.name.startswith("windvane"))
        assert "user 8f2c signed in by OpenID Connect" in told
        for secret in (SECRET, token, "code-1", "code-2"):
            assert secret not in told

    run(story)


def test_roles_of_groups_are_checked_with_the_settings(tmp_path: Path) -> None:
    text = "sign_in: {oidc: {issuer: 'https://id.example', client_id: c, roles: {ops: [%s]}}}"
    good = read_settings(text % "'operator@team:ops'", tmp_path)
    assert good.sign_in.oidc is not None
    with pytest.raises(BadSettings, match=r"sign_in\.oidc\.roles\.ops: no role 'operater'"):
        read_settings(text % "operater", tmp_path)
    with pytest.raises(BadSettings, match="idel_s"):
        read_settings("sign_in: {idel_s: 1}", tmp_path)
    with_secret = text.replace("client_id: c", "client_id: c, client_secret: hush-hush")
    assert "hush-hush" in read_settings(with_secret % "viewer", tmp_path).secrets

"""The console answers under its own names alone, and nothing of a browser's own signs a call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from windvane.adapters.sql import SqlControlStore
from windvane.apps.console.app import HEADERS, make_app
from windvane.apps.console.hosts import AllowedHosts, UnknownHost
from windvane.usecases.read_settings import BadSettings, read_settings

OWN = AllowedHosts("10.0.0.5", ["desk.example.org", "*.ops.example.org"], "box.lan")
EVERYWHERE = AllowedHosts("0.0.0.0", machine="box")


class Clock:
    def now(self) -> float:
        return 1_700_000_000.0

    wall = now


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST:8701", "localhost.", "127.0.0.1", "127.9.9.9:1", "[::1]:8701",
        "10.0.0.5:8701", "box.lan", "box", "desk.example.org:443", "a.ops.example.org",
        "a.b.ops.example.org",
    ],
)  # fmt: skip
def test_its_own_names(host: str) -> None:
    OWN.check([host.encode()])


@pytest.mark.parametrize(
    "hosts",
    [
        ["evil.example"], ["evil.example:8701"], ["127.0.0.1.evil.example"], ["localhost.evil"],
        ["10.0.0.6"], ["ops.example.org"], ["evilops.example.org"], [""], ["localhost:x"],
        ["localhost@evil.example"], ["[::1"], ["[::1]evil"], ["::1:evil"],
        ["evil.example:127.0.0.1"],
        ["localhost", "evil.example"], ["localhost", "localhost"], ["\xff"], ["2130706433"],
    ],
)  # fmt: skip
def test_names_of_others(hosts: Sequence[str]) -> None:
    with pytest.raises(UnknownHost) as found:
        OWN.check([host.encode("latin-1") for host in hosts])
    assert "console_hosts" in found.value.advice


def test_who_listens_everywhere_is_asked_by_any_address_and_by_no_other_name() -> None:
    EVERYWHERE.check([b"192.168.7.7:8701"])
    EVERYWHERE.check([b"[2001:db8::1]:8701"])
    with pytest.raises(UnknownHost):
        EVERYWHERE.check([b"evil.example"])
    AllowedHosts("127.0.0.1", ["*"]).check([b"evil.example"])
    OWN.check([])


@pytest.mark.parametrize(
    ("given", "good"),
    [("a.b-c.org", True), ("*", True), ("*.a.org", True), ("::1", True), ("a*b", False),
     ("http://a.org", False), ("a.org:8701", False), ("", False)],
)  # fmt: skip
def test_what_may_be_a_setting(tmp_path: Path, given: str, good: bool) -> None:
    text = f"console_hosts: ['{given}']"
    if good:
        assert read_settings(text, tmp_path).console_hosts == [given]
    else:
        with pytest.raises(BadSettings):
            read_settings(text, tmp_path)


def test_pages_and_the_control_api_are_refused_under_another_name(migrated_file: Path) -> None:
    store = SqlControlStore(f"sqlite:///{migrated_file}")
    app = make_app(store, Clock(), hosts=AllowedHosts("127.0.0.1", ["desk.example.org"]))

    async def story() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport) as client:
            for path in ("/", "/api/models", "/api/keys", "/metrics", "/static/none", "/healthz"):
                refused = await client.get(f"http://evil.example:8701{path}")
                assert refused.status_code == 421
                assert refused.json()["code"] == "CSL-105"
                assert "console_hosts" in refused.json()["hint"]
                assert refused.headers["x-frame-options"] == HEADERS["X-Frame-Options"]
            for host in ("desk.example.org", "localhost:8701", "127.0.0.1"):
                assert (await client.get(f"http://{host}/readyz")).status_code == 200

    asyncio.run(story())
    store.close()


def test_a_strangers_page_cannot_sign_a_call(migrated_file: Path) -> None:
    """A key goes in a header that only a script may set, and no other site's script gets to: it
    would have to be asked for first."""
    store = SqlControlStore(f"sqlite:///{migrated_file}")
    app = make_app(store, Clock())

    async def story() -> None:
        origin = {"origin": "http://evil.example"}
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            asked = {
                **origin,
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization",
            }
            preflight = await client.options("/api/keys", headers=asked)
            form = await client.post("/api/keys", data={"tenant": "bolt"}, headers=origin)
            seen = await client.get("/api/models", headers=origin)
            assert (preflight.status_code, form.status_code, seen.status_code) == (405, 401, 401)
            for answer in (preflight, form, seen):
                assert not [name for name in answer.headers if name.startswith("access-control")]
                assert "set-cookie" not in answer.headers

    asyncio.run(story())
    store.close()

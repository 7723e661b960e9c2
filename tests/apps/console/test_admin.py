"""The control API: no key, no answer; no scope, no change; and what it changes holds."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from windvane.adapters.files import FileRoutingFeed
from windvane.adapters.sql import SqlControlStore
from windvane.apps.console.app import make_app
from windvane.core.routing import CLIENT_SCOPES, KeyEntry, Scope, TenantLimit
from windvane.ports.control_store import Access
from windvane.usecases.apply_model import apply_model
from windvane.usecases.issue_key import issue_keys
from windvane.usecases.limit_tenant import limit_tenant

FILE = """
model: late
owner: {team: ops, contact: "#ops"}
runbook: docs/runbooks/
predicts: {kind: binary, outcome: late}
features:
  order:
    x: {type: number}
"""
CHANGING = {
    ("GET", "/api/keys"): None,
    ("POST", "/api/keys"): {"tenant": "bolt"},
    ("POST", "/api/keys/none/rotate"): {},
    ("DELETE", "/api/keys/none"): None,
    ("GET", "/api/limits"): None,
    ("PUT", "/api/limits"): {"tenant": "bolt", "rate": 1},
    ("POST", "/api/models/late/trust"): {"version": "1", "reason": "T-1"},
    ("POST", "/api/models/late/silence"): {"reason": "T-1", "lasts": "1h"},
    ("POST", "/api/models/late/delete"): {"reason": "T-1"},
    ("POST", "/api/incidents/late/x/close"): {"reason": "T-1"},
}
AUDIT = ("GET", "/api/audit")


@dataclass
class Clock:
    at: float = 1_700_000_000.0

    def now(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.at


@dataclass
class Desk:
    """The console over a store, its clock, and a client for each key."""

    store: SqlControlStore
    feed: FileRoutingFeed
    clock: Clock = field(default_factory=Clock)
    keys: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.app = make_app(self.store, self.clock, feed=self.feed)
        apply_model(self.store, self.clock, FILE)
        self.key("admin", "ops", *[s.value for s in Scope])

    def key(self, name: str, tenant: str, *scopes: str, lives_s: float | None = None) -> str:
        """An issued key, known by ``name`` from now on."""
        made = issue_keys(
            self.store, self.clock, [tenant], name, scopes=scopes or CLIENT_SCOPES,
            expires_in_s=lives_s,
        )[tenant]  # fmt: skip
        self.keys[name] = made
        return made

    async def ask(
        self, method: str, path: str, given: Any = None, *, who: str = "admin",
        raw: bytes | None = None, headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:  # fmt: skip
        sent = {"authorization": f"Bearer {self.keys[who]}"} if who else {}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            content = raw if given is None else json.dumps(given).encode()
            return await client.request(
                method, path, content=content,
                headers={"content-type": "application/json", **sent, **(headers or {})},
            )  # fmt: skip

    def routed(self, secret: str) -> KeyEntry | None:
        """What the gateways know of a key now."""
        table = self.feed.latest()
        digest = hashlib.sha256(secret.encode()).hexdigest()
        known = {entry.digest: entry for entry in table.keys} if table else {}
        return known.get(digest)


@pytest.fixture
def desk(migrated_file: Path, tmp_path: Path) -> Iterator[Desk]:
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    yield Desk(store, FileRoutingFeed(tmp_path / "routing.json"))
    store.close()


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def told() -> None:
        async with asyncio.timeout(30.0):
            await story()

    asyncio.run(told())


def problem(answer: httpx.Response) -> dict[str, str]:
    message = answer.json()
    assert set(message) == {"code", "message", "hint", "docs"}, message
    return message


@pytest.mark.parametrize(("method", "path"), [*CHANGING, AUDIT])
def test_no_key_no_answer(desk: Desk, method: str, path: str) -> None:
    desk.key("gone", "ops", "admin", lives_s=1.0)
    desk.key("revoked", "ops", "admin")

    async def story() -> None:
        gone = desk.keys["revoked"].split("_")[1]
        assert (await desk.ask("DELETE", f"/api/keys/{gone}")).status_code == 200
        desk.clock.at += 2.0
        given = CHANGING.get((method, path))
        answers = [await desk.ask(method, path, given, who=who) for who in ("gone", "revoked", "")]
        for auth in ("", "Bearer", "Bearer ", "Basic x", "Bearer wv_x_y", "Bearer \xe9"):
            header = {"authorization": auth.encode("latin-1")}
            answers.append(
                await desk.ask(method, path, given, who="", headers=header)  # type: ignore[arg-type]
            )
        for answer in answers:
            assert answer.status_code == 401
            assert problem(answer)["code"] == "CSL-103"
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["cache-control"] == "no-store"
        unseen = await desk.ask(method, path, {"nonsense": 1}, who="")
        assert unseen.status_code == 401, "a stranger learns nothing of what is expected"

    run(story)


@pytest.mark.parametrize(("method", "path"), list(CHANGING))
def test_no_scope_no_change(desk: Desk, method: str, path: str) -> None:
    others = [scope.value for scope in Scope if scope is not Scope.ADMIN]
    desk.key("all-but-admin", "acme", *others)

    async def story() -> None:
        given = CHANGING[method, path]
        answer = await desk.ask(method, path, given, who="all-but-admin")
        assert answer.status_code == 403
        assert problem(answer)["code"] == "CSL-104"
        with desk.store.read() as tx:
            assert len(tx.key_records()) == 2
            assert tx.limits() == []

    run(story)


def test_an_issued_key_is_shown_once_and_works_at_once(desk: Desk) -> None:
    async def story() -> None:
        answer = await desk.ask(
            "POST", "/api/keys",
            {"tenant": "acme", "name": "batch", "scopes": ["predict", "read"],
             "expires_in_s": 60, "api_version": "2026-11-01"},
        )  # fmt: skip
        assert answer.status_code == 201
        made = answer.json()
        entry = desk.routed(made["key"])
        assert entry is not None
        assert (entry.id, entry.tenant, set(entry.scopes), entry.expires_at) == (
            made["id"], "acme", {"predict", "read"}, desk.clock.at + 60,
        )  # fmt: skip
        assert entry.api_version == "2026-11-01"
        listed = (await desk.ask("GET", "/api/keys", who="admin")).text
        assert made["id"] in listed
        assert made["key"] not in listed
        assert entry.digest not in listed
        only = (await desk.ask("GET", "/api/keys?tenant=acme")).json()
        assert [k["tenant"] for k in only] == ["acme"]

    run(story)


def test_a_rotated_key_and_its_successor_and_a_revoked_one(desk: Desk) -> None:
    async def story() -> None:
        old = desk.key("old", "acme", "predict", "outcomes")
        name = old.split("_")[1]
        made = (await desk.ask("POST", f"/api/keys/{name}/rotate", {"grace_s": 30})).json()
        before, after = desk.routed(old), desk.routed(made["key"])
        assert before is not None
        assert after is not None
        assert before.expires_at == desk.clock.at + 30
        assert (after.tenant, after.scopes, after.expires_at) == ("acme", before.scopes, None)
        twice = await desk.ask("POST", f"/api/keys/{name}/rotate", {"grace_s": 30})
        assert twice.status_code == 404
        desk.clock.at += 30
        ended = await desk.ask("POST", f"/api/keys/{name}/rotate", {})
        assert ended.status_code == 404
        assert (await desk.ask("DELETE", f"/api/keys/{made['id']}")).status_code == 200
        assert desk.routed(made["key"]) is None
        again = await desk.ask("DELETE", f"/api/keys/{made['id']}")
        assert (again.status_code, problem(again)["code"]) == (404, "KEY-103")

    run(story)


def test_a_key_that_revoked_itself_is_out(desk: Desk) -> None:
    async def story() -> None:
        own = desk.keys["admin"].split("_")[1]
        assert (await desk.ask("DELETE", f"/api/keys/{own}")).status_code == 200
        assert (await desk.ask("GET", "/api/keys")).status_code == 401

    run(story)


def test_limits_are_set_listed_changed_and_removed(desk: Desk) -> None:
    async def story() -> None:
        line = {"tenant": "acme", "model": "late", "rate": 5, "per_s": 10.0, "concurrent": 2}
        assert (await desk.ask("PUT", "/api/limits", line)).json() == line
        assert (await desk.ask("GET", "/api/limits")).json() == [line]
        table = desk.feed.latest()
        assert table is not None
        assert table.limits == (TenantLimit("acme", "late", 5, 10.0, 2),)
        everyone = {"tenant": "*", "rate": 100}
        assert (await desk.ask("PUT", "/api/limits", everyone)).status_code == 200
        none = {"tenant": "acme", "model": "late"}
        assert (await desk.ask("PUT", "/api/limits", none)).status_code == 200
        assert [x["tenant"] for x in (await desk.ask("GET", "/api/limits")).json()] == ["*"]

    run(story)


def test_a_limit_that_the_command_line_set_is_listed_whatever_it_is(desk: Desk) -> None:
    async def story() -> None:
        wide = TenantLimit("acme", rate=10, per_s=7 * 86_400.0)
        limit_tenant(desk.store, desk.clock, wide)
        answer = await desk.ask("GET", "/api/limits")
        assert answer.status_code == 200
        assert answer.json()[0]["per_s"] == 604_800.0

    run(story)


BAD: list[tuple[str, str, Any, str]] = [
    ("POST", "/api/keys", {}, "tenant"),
    ("POST", "/api/keys", {"tenant": ""}, "tenant"),
    ("POST", "/api/keys", {"tenant": "x" * 129}, "tenant"),
    ("POST", "/api/keys", {"tenant": 7}, "tenant"),
    ("POST", "/api/keys", {"tenant": "*"}, "`*`"),
    ("POST", "/api/keys", {"tenant": " acme"}, "' acme'"),
    ("POST", "/api/keys", {"tenant": "a\x00b"}, "no text"),
    ("POST", "/api/keys", {"tenant": "a", "scopes": ["root"]}, "scopes"),
    ("POST", "/api/keys", {"tenant": "a", "scopes": []}, "scope"),
    ("POST", "/api/keys", {"tenant": "a", "expires_in_s": 0}, "expires_in_s"),
    ("POST", "/api/keys", {"tenant": "a", "expires_in_s": -1}, "expires_in_s"),
    ("POST", "/api/keys", {"tenant": "a", "expires_in_s": float("nan")}, "expires_in_s"),
    ("POST", "/api/keys", {"tenant": "a", "expires_in_s": 1e300}, "expires_in_s"),
    ("POST", "/api/keys", {"tenant": "a", "expires": 5}, "expires"),
    ("POST", "/api/keys", ["a"], "body"),
    ("POST", "/api/keys/x/rotate", {"grace_s": -1}, "grace_s"),
    ("PUT", "/api/limits", {"tenant": "a", "rate": -1}, "rate"),
    ("PUT", "/api/limits", {"tenant": "a", "rate": 10**12}, "rate"),
    ("PUT", "/api/limits", {"tenant": "a", "rate": 1.5}, "rate"),
    ("PUT", "/api/limits", {"tenant": "a", "per_s": 0}, "per_s"),
    ("PUT", "/api/limits", {"tenant": "a", "per_s": float("inf")}, "per_s"),
    ("PUT", "/api/limits", {"tenant": " ", "rate": 1}, "' '"),
    ("POST", "/api/models/late/trust", {"reason": "r"}, "version"),
    ("POST", "/api/models/late/trust", {"version": "1", "reason": " "}, "reason"),
    ("POST", "/api/models/late/off", {"reason": "x" * 501}, "reason"),
    ("POST", "/api/models/late/silence", {"reason": "r", "lasts": "soon"}, "'soon'"),
    ("POST", "/api/models/late/silence", {"reason": "r", "until": "1h"}, "until"),
    ("GET", "/api/audit?since=-1", None, "since"),
    ("GET", "/api/audit?since=nan", None, "since"),
    ("GET", "/api/audit?limit=0", None, "limit"),
    ("GET", "/api/audit?limit=10001", None, "limit"),
]


@pytest.mark.parametrize(("method", "path", "given", "field"), BAD)
def test_what_cannot_be_is_422_and_names_its_field(
    desk: Desk, method: str, path: str, given: Any, field: str
) -> None:
    async def story() -> None:
        answer = await desk.ask(method, path, given)
        assert answer.status_code == 422, answer.text
        assert field in problem(answer)["message"]
        with desk.store.read() as tx:
            assert len(tx.key_records()) == 1
            assert tx.limits() == []

    run(story)


@pytest.mark.parametrize("raw", [b"", b"{", b'"\xff"', b'{"tenant": "\\ud800"}', b"[" * 5_000])
def test_a_body_that_is_no_json_is_422(desk: Desk, raw: bytes) -> None:
    async def story() -> None:
        for method, path in (("POST", "/api/keys"), ("PUT", "/api/limits"),
                             ("POST", "/api/models/late/trust")):  # fmt: skip
            answer = await desk.ask(method, path, raw=raw)
            assert answer.status_code in (400, 422), answer.text
            problem(answer)

    run(story)


NO_TEXT = [
    (b'{"tenant": "a\\u0000"}', True), (b'{"tenant": "\\ud83d"}', True),
    (b'{"tenant": "\\ude00\\ud83d"}', True), (b'{"tenant": "\\ud83d x\\ude00"}', True),
    (b'{"tenant": "a", "name": "\\ud83d\\ude00"}', False), (b'{"tenant": "\\\\u0000"}', False),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "refused"), NO_TEXT)
def test_what_is_no_text_is_refused_before_a_database_sees_it(
    desk: Desk, raw: bytes, refused: bool
) -> None:
    async def story() -> None:
        answer = await desk.ask("POST", "/api/keys", raw=raw)
        assert (answer.status_code == 422 and problem(answer)["code"] == "CSL-121") == refused
        assert answer.status_code < 500

    run(story)


@pytest.mark.parametrize(
    "path",
    ["/api/incidents?model=%00", "/api/quarantine?kind=%00", "/api/audit?tenant=%00",
     "/csv/incidents?q=a%00", "/incidents?model=%00"],
)  # fmt: skip
def test_a_query_that_is_no_text_is_422(desk: Desk, path: str) -> None:
    async def story() -> None:
        answer = await desk.ask("GET", path)
        assert answer.status_code == 422, answer.text
        assert "CSL-121" in answer.text

    run(story)


def test_a_model_or_key_that_is_not_there_is_404(desk: Desk) -> None:
    async def story() -> None:
        for method, path, given in (
            ("PUT", "/api/limits", {"tenant": "a", "model": "lite", "rate": 1}),
            ("POST", "/api/models/none/trust", {"version": "1", "reason": "r"}),
            ("POST", "/api/models/late/trust", {"version": "9", "reason": "r"}),
            ("POST", "/api/models/none/off", {"reason": "r"}),
            ("POST", "/api/incidents/late/x/close", {"reason": "r"}),
            ("DELETE", "/api/keys/%00", None),
            ("DELETE", "/api/keys/a%2Fb", None),
            ("GET", "/api/nothing", None),
        ):
            answer = await desk.ask(method, path, given)
            assert answer.status_code == 404, (path, answer.text)
            problem(answer)

    run(story)


def test_who_may_read_whose_audit(desk: Desk) -> None:
    """A tenant's own reader sees its own lines and no other; an admin sees all."""
    hour = 1_699_999_200.0
    lines = [
        Access("acme", "k1", "late", "predict", hour, 7, hour + 1, hour + 9),
        Access("acme", "k1", "late", "denied GAT-111", hour, 1, hour + 2, hour + 2),
        Access("bolt", "k2", "late", "predict", hour, 3, hour + 4, hour + 5),
    ]
    with desk.store.begin() as tx:
        tx.add_access(lines)
    desk.key("reader", "acme", "read")
    desk.key("client", "acme")

    async def story() -> None:
        async def seen(query: str, who: str) -> list[tuple[str, str, int]]:
            answer = await desk.ask("GET", f"/api/audit{query}", who=who)
            assert answer.status_code == 200, answer.text
            return sorted((x["tenant"], x["action"], x["calls"]) for x in answer.json())

        mine = [("acme", "denied GAT-111", 1), ("acme", "predict", 7)]
        assert await seen("", "reader") == mine
        assert await seen("?tenant=acme", "reader") == mine
        assert await seen("", "admin") == [*mine, ("bolt", "predict", 3)]
        assert await seen("?tenant=bolt", "admin") == [("bolt", "predict", 3)]
        assert await seen(f"?since={hour + 7200}", "admin") == []
        assert len(await seen("?limit=1", "admin")) == 1
        for query, who in (("?tenant=bolt", "reader"), ("", "client"), ("?tenant=acme", "client")):
            answer = await desk.ask("GET", f"/api/audit{query}", who=who)
            assert answer.status_code == 403
            assert "k2" not in answer.text

    run(story)


def test_every_change_is_a_recorded_decision_with_its_author(desk: Desk) -> None:
    async def story() -> None:
        made = (await desk.ask("POST", "/api/keys", {"tenant": "acme"})).json()
        await desk.ask("PUT", "/api/limits", {"tenant": "acme", "rate": 5})
        await desk.ask("DELETE", f"/api/keys/{made['id']}")
        own = desk.keys["admin"].split("_")[1]
        with desk.store.read() as tx:
            by = {d.action: d.actor for d in tx.decisions("", 50)}
        assert {by["limit"], by["revoke"]} == {f"key:{own}"}
        with desk.store.read() as tx:
            facts = [json.dumps(d.facts) for d in tx.decisions("", 50)]
        assert not any(made["key"] in fact for fact in facts)

    run(story)


def test_a_database_that_is_gone_is_503(desk: Desk, tmp_path: Path) -> None:
    async def story() -> None:
        desk.store.close()
        (tmp_path / "control.db").rename(tmp_path / "away.db")
        for (method, path), given in {**CHANGING, AUDIT: None}.items():
            answer = await desk.ask(method, path, given)
            assert answer.status_code == 503, answer.text
            assert problem(answer)["code"] == "STO-101"
        assert not (tmp_path / "control.db").exists()
        (tmp_path / "away.db").rename(tmp_path / "control.db")
        assert (await desk.ask("GET", "/api/keys")).status_code == 200

    run(story)

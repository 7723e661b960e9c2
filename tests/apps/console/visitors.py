"""A console over a small world, and people with each role who ask it for things."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from windvane.adapters.argon2 import Argon2Hasher
from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.sql import SqlControlStore
from windvane.apps.console.app import make_app
from windvane.apps.console.hosts import AllowedHosts
from windvane.apps.console.signing_in import SignInWays
from windvane.apps.console.visiting import Cookies, csrf_of
from windvane.core.authorization import parse_grants
from windvane.core.journal import Decision
from windvane.core.sketch import Layout, NumericAxis
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.control_store import Deployment, Incident, VersionRecord
from windvane.usecases.apply_model import apply_model
from windvane.usecases.manage_users import add_user
from windvane.usecases.sign_in import begin_oidc_session

FILE = """
model: late
owner: {{team: ops, contact: "#ops", decides: {decides}}}
consumers: [gates]
runbook: docs/runbooks/
predicts: {{kind: binary, outcome: late}}
unit: email
features:
  order:
    x: {{type: number}}
    email: {{type: category, tags: [pii]}}
"""
OTHER = "model: seats\nowner: {team: revenue}\nfeatures: {v: {f: {type: number}}}\n"
PASSWORD = "correct horse battery"
SECRET_EMAIL = "ada@example.org"
INCIDENT = "late-tenant-acme-1"
OTHER_INCIDENT = "seats-errors-1"


@dataclass
class Clock:
    at: float = 1_700_000_000.0

    def now(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.at


@dataclass
class World:
    """``people`` are sessions by role; ``browser`` starts a client of its own, with no cookie."""

    store: SqlControlStore
    ways: SignInWays | None = None
    decides: str = "[]"
    log: DeltaEventLog | None = None
    clock: Clock = field(default_factory=Clock)
    people: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ways = self.ways or SignInWays(
            hasher=Argon2Hasher(memory_kib=64, passes=1), ticks=lambda: self.clock.at
        )
        hosts = AllowedHosts("127.0.0.1", ["testserver"])
        self.app = make_app(self.store, self.clock, ways=self.ways, hosts=hosts, log=self.log)
        apply_model(self.store, self.clock, FILE.format(decides=self.decides))
        apply_model(self.store, self.clock, OTHER)
        evidence = {
            "samples": [
                {"ts": 1.0, "tenant": "acme", "code": "CON-1",
                 "message": f"{SECRET_EMAIL} is no number", "unit": SECRET_EMAIL,
                 "sample": SECRET_EMAIL, "outputs": {"score": 0.25},
                 "features": {"x": 7.25, "email": SECRET_EMAIL}},
                {"ts": 2.0, "tenant": "acme", "request_id": "r-1", "unit": SECRET_EMAIL,
                 "routed": "2", "answered": "1", "latency_us": 900, "flags": [],
                 "outputs": {"score": 0.6137}, "features": {"x": 91.73, "email": None}},
            ],
            "histograms": [
                {"feature": "email", "labels": ["null", SECRET_EMAIL], "before": [0, 1],
                 "after": [1, 0]},
            ],
        }  # fmt: skip
        layout = Layout((NumericAxis("x", (0.0, 1.0)),))
        with self.store.begin() as tx:
            tx.put_layout(layout)
            for model, name in (("late", INCIDENT), ("seats", OTHER_INCIDENT)):
                tx.put_incident(
                    Incident(name, model, "tenant:acme", "tenant", "medium", f"{model} is ill",
                             self.clock.at, self.clock.at, None, "ops", "r",
                             evidence if model == "late" else {})
                )  # fmt: skip
                tx.put_deployment(Deployment(model, champion="2", previous="1"))
                for version in ("1", "2"):
                    tx.add_version(
                        VersionRecord(model, version, "a", version * 64, layout.id, (), {}, {},
                                      b"", self.clock.at)
                    )  # fmt: skip
                    verdict = Verdict(Outcome.PASS, "ROL-100", "deployed")
                    tx.decide(
                        Decision(f"{model}/deploy/{version}", model, "", "version", "deploy",
                                 self.clock.at, {}, {}, verdict)
                    )  # fmt: skip
        for role in ("viewer", "operator", "approver", "admin"):
            self.session(role, role)
            self.session(f"{role} of ops", f"{role}@team:ops")
            self.session(f"{role} of seats", f"{role}@model:seats")
        self.session("nobody")

    def session(self, name: str, *roles: str) -> str:
        assert self.ways is not None
        grants = parse_grants(roles) if roles else ()
        self.people[name] = begin_oidc_session(
            self.store, self.clock, self.ways.limits, name, grants
        )
        return self.people[name]

    def user(self, name: str, *roles: str) -> None:
        assert self.ways is not None
        assert self.ways.hasher is not None
        add_user(
            self.store, self.clock, self.ways.hasher, name, PASSWORD, roles or ("viewer",), by="t"
        )

    def browser(self, token: str = "", **given: Any) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, **given)
        cookies = {"windvane": token} if token else {}
        return httpx.AsyncClient(transport=transport, base_url="http://localhost", cookies=cookies)

    async def ask(
        self, who: str, method: str, path: str, given: Any = None, *, csrf: str | None = None
    ) -> httpx.Response:
        """With the token of the session's forms, unless ``csrf`` says otherwise."""
        token = self.people[who] if who else ""
        headers = {"x-csrf-token": csrf_of(token) if csrf is None else csrf}
        async with self.browser(token) as client:
            return await client.request(method, path, json=given, headers=headers)

    async def sign_in(
        self, client: httpx.AsyncClient, user: str, password: str = PASSWORD, **more: str
    ) -> httpx.Response:
        """As the page's form would."""
        page = await client.get("/sign-in")
        return await client.post(
            "/sign-in", data={"csrf": csrf_on(page), "user": user, "password": password, **more}
        )

    def decisions(self) -> list[Decision]:
        with self.store.read() as tx:
            return tx.decisions("", 200)


async def send(
    client: httpx.AsyncClient, path: str, *, reason: str = "T-1", **typed: str
) -> httpx.Response:
    """Opens the form and sends it, as a browser does."""
    page = await client.get(path)
    assert page.status_code == 200, page.text
    sent = {**hidden_on(page), "reason": reason, **typed}
    return await client.post(path, data=sent)


def hidden_on(page: httpx.Response) -> dict[str, str]:
    """What a form sends beside what is typed."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text))


def csrf_on(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def told() -> None:
        async with asyncio.timeout(60.0):
            await story()

    asyncio.run(told())


SECURE = Cookies("windvane", secure=True)

"""Keys over two real workers: issued, rotated, revoked, expired, and what the audit says."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import httpx
import pytest
from journeys.gateway_load import (
    HttpResponse,
    ask,
    body_of,
    both_workers,
    kept_down,
    key_id,
    pids,
    post_json,
    settle,
    up,
)
from journeys.installation import MODEL, Installation, wait_until

REVOKED_WITHIN_S = 2.0


@pytest.fixture
def running(home: Installation) -> Iterator[Installation]:
    up(home, workers=2)
    yield home
    home.stop()


def test_a_key_works_on_every_worker_until_it_is_revoked(running: Installation) -> None:
    """Also while the steward is dead: whoever revokes publishes."""
    for away in (nullcontext(), kept_down(running, "steward")):
        key = running.cli("key", "issue", "acme").strip()
        assert {a.status for a in both_workers(running, key).values()} == {200}
        with away:
            running.cli("key", "revoke", key_id(key))
            revoked = time.monotonic()
            last, refused = 0.0, set[str]()
            while time.monotonic() < revoked + REVOKED_WITHIN_S:
                answer = ask(running, key)
                if answer.status == 200:
                    last = time.monotonic() - revoked
                    refused.clear()
                else:
                    assert (answer.status, answer.code) == (401, "GAT-101")
                    refused.add(answer.worker)
            assert last < REVOKED_WITHIN_S
            assert {a.status for a in both_workers(running, key).values()} == {401}
            assert refused, "nobody refused it within the time that is promised"


def test_a_rotated_key_ends_after_its_grace_and_an_expired_one_at_its_time(
    running: Installation,
) -> None:
    old = running.cli("key", "issue", "acme").strip()
    fresh = running.cli("key", "rotate", key_id(old), "--grace", "4s").strip()
    rotated = time.monotonic()
    wait_until("the successor works", lambda: ask(running, fresh).status == 200, 5.0)
    assert {a.status for a in both_workers(running, fresh).values()} == {200}
    assert ask(running, old).status == 200 or time.monotonic() > rotated + 4.0
    wait_until("the old one ends", lambda: ask(running, old).status == 401, 10.0)
    assert {a.status for a in both_workers(running, old).values()} == {401}
    assert ask(running, fresh).status == 200
    brief = running.cli("key", "issue", "acme", "--expires", "4s").strip()
    wait_until("it works", lambda: ask(running, brief).status == 200, 3.0)
    wait_until("it expires", lambda: ask(running, brief).status == 401, 10.0)
    assert "expired" in ask(running, brief).json["error"]["message"]


def test_the_audit_says_who_called_what_under_which_key_and_when(running: Installation) -> None:
    """Exactly, over two workers and a recorder that is killed in between."""
    begun = time.time()
    client = running.cli("key", "issue", "acme").strip()
    other = running.cli("key", "issue", "bolt").strip()
    reader = running.cli("key", "issue", "acme", "--scope", "read").strip()
    for key in (client, other, reader):
        wait_until("the key is known", lambda k=key: ask_bad(running, k).status != 401, 5.0)
    called = {client: 0, other: 0}

    def call(key: str, times: int) -> None:
        for _ in range(times):
            assert ask(running, key).status == 200
            called[key] += 1

    call(client, 30)
    call(other, 7)
    os.kill(pids(running)["recorder"], signal.SIGKILL)
    call(client, 25)
    os.kill(pids(running)["recorder"], signal.SIGKILL)
    call(client, 5)
    told = [{"request_id": f"q{i}", "value": 1.0} for i in range(4)]
    outcomes = {"model": MODEL, "outcomes": told}
    assert post_json(running, client, "/v1/outcomes", outcomes).status == 202
    assert ask(running, reader).status == 403
    ended = time.time()
    wanted = {
        ("acme", key_id(client), "predict"): 60,
        ("acme", key_id(client), "outcomes"): 4,
        ("bolt", key_id(other), "predict"): 7,
    }

    def lines() -> list[Any]:
        with running.store() as store, store.read() as tx:
            found = tx.access("", begun - 3_600.0, 1_000)
        return [line for line in found if line.key != key_id(running.key)]

    def counts() -> dict[tuple[str, str, str], int]:
        out: dict[tuple[str, str, str], int] = {}
        for line in lines():
            name = (line.tenant, line.key, line.action)
            out[name] = out.get(name, 0) + line.calls
        return out

    def recorded() -> bool:
        return {k: counts().get(k) for k in wanted} == wanted

    try:
        wait_until("the recorder caught up", recorded, 30.0)
    except AssertionError:
        raise AssertionError(f"{counts()} is not {wanted}") from None
    assert counts()["acme", key_id(reader), "denied GAT-111"] >= 1
    for line in lines():
        assert begun - 1.0 <= line.first <= line.last <= ended + 1.0
        assert line.tenant == ("bolt" if line.key == key_id(other) else "acme")
    message = json.loads(running.cli("audit", "bolt", "--json"))
    assert [(x["tenant"], x["key"], x["calls"]) for x in message if x["action"] == "predict"] == [
        ("bolt", key_id(other), 7)
    ]


def ask_bad(home: Installation, key: str) -> HttpResponse:
    """A question that is refused for its version, before anything else is counted."""
    return ask(home, key, given=body_of(), headers={"windvane-version": "x"})


def test_keys_made_by_the_control_api_work_and_cease_like_the_others(home: Installation) -> None:
    admin = home.cli("key", "issue", "ops", "--scope", "admin").strip()
    settle(home, workers=2)
    up(home)
    console = f"http://127.0.0.1:{home.console_port}/api"
    signed = {"authorization": f"Bearer {admin}"}
    with httpx.Client(headers=signed, timeout=10.0) as client:
        wait_until("the console answers", lambda: _console_answers(home))
        made = client.post(f"{console}/keys", json={"tenant": "acme"}).json()

        def everywhere(status: int) -> bool:
            return {a.status for a in both_workers(home, made["key"]).values()} == {status}

        wait_until("both workers know the key", lambda: everywhere(200), 5.0)
        assert client.delete(f"{console}/keys/{made['id']}").status_code == 200
        revoked = time.monotonic()
        wait_until("both workers refuse it", lambda: everywhere(401), REVOKED_WITHIN_S)
        assert time.monotonic() - revoked < REVOKED_WITHIN_S
        line = {"tenant": "acme", "rate": 1, "per_s": 600}
        assert client.put(f"{console}/limits", json=line).status_code == 200
        wait_until("the limit holds", lambda: ask(home).status == 429, 5.0)
        assert client.get(f"{console}/keys").status_code == 200
    assert httpx.get(f"{console}/keys", timeout=10.0).status_code == 401
    assert httpx.get(f"{console}/keys", headers={"authorization": f"Bearer {home.key}"}).is_error


def _console_answers(home: Installation) -> bool:
    try:
        url = f"http://127.0.0.1:{home.console_port}/healthz"
        return httpx.get(url, timeout=2.0).status_code == 200
    except httpx.HTTPError:
        return False

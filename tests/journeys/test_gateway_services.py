"""A running gateway on what lies outside of it: Redis over two machines, an issuer of tokens, and
PostgreSQL behind its keys."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conftest import PostgresServer, ValkeyServer
from contracts.identity.issuer import AUDIENCE, ISSUER, Publisher, jwk, make_key, sign
from journeys.gateway_load import ask, settle, up
from journeys.installation import FILE, MODEL, Installation, free_port, wait_until, write_table

pytestmark = pytest.mark.takes_turns

LIMIT = 6


@pytest.fixture
def twin(home: Installation, tmp_path: Path) -> Iterator[Installation]:
    """Another machine with the same models and keys."""
    folder = tmp_path / "twin"
    shutil.copytree(home.home, folder)
    made = Installation(folder, free_port(), free_port(), home.key)
    settings = (folder / "windvane.yaml").read_text().splitlines()
    ports = [f"port: {made.port}", f"console_port: {made.console_port}"]
    (folder / "windvane.yaml").write_text("\n".join([*ports, *settings[2:], ""]))
    yield made
    made.stop()


def metric(home: Installation, name: str) -> float:
    """The sum of a metric's series, as the console tells them."""
    text = httpx.get(f"http://127.0.0.1:{home.console_port}/metrics", timeout=10.0).text
    lines = [line for line in text.splitlines() if line.startswith(f"windvane_{name}")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def test_two_machines_share_limits_and_answers_by_redis_and_go_on_without_it(
    home: Installation, twin: Installation, mortal_valkey: ValkeyServer
) -> None:
    for machine in (home, twin):
        machine.cli("limit", "acme", "--rate", f"{LIMIT} per hour")
        up(machine, redis=mortal_valkey.url)
    answers = [ask((home, twin)[i % 2]) for i in range(LIMIT)]
    assert [a.status for a in answers] == [200] * LIMIT
    assert [a.headers["ratelimit"] for a in answers][-1].startswith('"tenant";r=0;')
    for machine in (home, twin):
        refused = ask(machine)
        assert (refused.status, refused.code) == (429, "GAT-109")
    mortal_valkey.kill()
    for machine in (home, twin):  # each counts for itself, and says so
        wait_until("it counts alone", lambda m=machine: ask(m).status == 200, 10.0)
        wait_until("it says so", lambda m=machine: metric(m, "limits_degraded") == 1.0, 10.0)
    mortal_valkey.start()
    for machine in (home, twin):
        wait_until("it counts with all", lambda m=machine: metric(m, "limits_degraded") == 0.0)


def test_an_answer_of_one_machine_is_given_again_by_the_other(
    home: Installation, twin: Installation, valkey: ValkeyServer
) -> None:
    for machine in (home, twin):
        file = machine.home / "model.yaml"
        file.write_text(file.read_text().replace("serve:\n", "serve:\n  cache: {ttl: 1h}\n"))
        machine.cli("apply", str(file))
        up(machine, redis=valkey.url)
    first = ask(home)
    wait_until("the twin has it from Redis", lambda: ask(twin).rows[0]["flags"] == ["cached"], 10.0)
    assert ask(twin).rows[0]["value"] == first.rows[0]["value"]


def test_a_signed_token_names_the_tenant(home: Installation, tmp_path: Path) -> None:
    key = make_key("ES256")
    published = Publisher("", tmp_path / "jwks.json")
    published.publish(jwk(key, "k", alg="ES256", use="sig"))
    oidc = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": str(published.file)}
    up(home, oidc=oidc)
    now = time.time()

    def token(**changed: object) -> str:
        times = {"iat": now - 10, "exp": now + 300, **changed}
        return sign(key, algorithm="ES256", **times).decode()

    assert ask(home, token()).status == 200
    assert ask(home, token(exp=now - 100)).status == 401
    assert ask(home, token(aud="another")).status == 401
    assert ask(home, token(scope="read")).status == 403
    assert ask(home).status == 200, "keys go on working beside tokens"
    wait_until(
        "the audit names the holder",
        lambda: "jwt:robot-7" in home.cli("audit", "acme", "--json"),
    )


@pytest.fixture
def on_postgres(tmp_path: Path, postgres: PostgresServer) -> Iterator[Installation]:
    """A home whose control store is PostgreSQL, with one version deployed."""
    name = postgres.database()
    made = Installation(tmp_path, free_port(), free_port())
    settle(
        made, port=made.port, console_port=made.console_port, store=postgres.url(name),
        recorder_every_s=0.1, log_commit_every_s=0.1, steward_every_s=0.1,
    )  # fmt: skip
    (tmp_path / "model.yaml").write_text(FILE)
    write_table(tmp_path / "orders.csv")
    made.cli("apply", str(tmp_path / "model.yaml"))
    made.cli("train", MODEL, str(tmp_path / "orders.csv"), "--label", "late", "--time", "placed")
    made.cli("deploy", MODEL, "1")
    yield made
    made.stop()
    postgres.drop(name)


def test_the_console_issues_keys_and_sets_limits_on_postgresql(on_postgres: Installation) -> None:
    home = on_postgres
    admin = home.cli("key", "issue", "ops", "--scope", "admin").strip()
    up(home)
    console = f"http://127.0.0.1:{home.console_port}/api"
    with httpx.Client(headers={"authorization": f"Bearer {admin}"}, timeout=10.0) as client:
        made = client.post(f"{console}/keys", json={"tenant": "acme"}).json()
        listed = client.get(f"{console}/keys").json()
        assert made["id"] in json.dumps(listed)
        wait_until("the key works", lambda: ask(home, made["key"]).status == 200, 5.0)
        line = {"tenant": "acme", "rate": 1, "per_s": 600}
        assert client.put(f"{console}/limits", json=line).status_code == 200
        wait_until("the limit holds", lambda: ask(home, made["key"]).status == 429, 5.0)
        assert client.delete(f"{console}/keys/{made['id']}").status_code == 200
        wait_until("it is refused", lambda: ask(home, made["key"]).status == 401, 5.0)

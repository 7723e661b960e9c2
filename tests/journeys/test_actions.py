"""What people do to a running installation, by commands and on the console, as clients see it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from journeys.installation import FILE, MODEL, Installation, loaded, wait_until

OTHER = "another"


def ask(home: Installation) -> tuple[int, str]:
    row = {"distance": 1.0, "kind": "van", "rain": 0.0}
    answer = httpx.post(
        f"{home.url}/v1/models/{MODEL}/predict",
        json={"instances": [{"features": row}]},
        headers={"authorization": f"Bearer {home.key}"}, timeout=10.0,
    )  # fmt: skip
    said = answer.json()
    return answer.status_code, said.get("error", {}).get("code", "")


def windvane(home: Installation, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "windvane.apps.cli.main", *words], env=home.environment,
        capture_output=True, text=True, timeout=180, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def api(home: Installation, path: str, secret: str, **given: Any) -> httpx.Response:
    url = f"http://127.0.0.1:{home.console_port}/api/{path}"
    return httpx.post(
        url, json=given, headers={"authorization": f"Bearer {secret}"}, timeout=60.0
    )  # fmt: skip


@pytest.mark.takes_turns
def test_what_people_do_holds_at_once_and_is_on_record(home: Installation) -> None:
    home.start("up")
    home.wait_ready()
    operator = home.cli("key", "issue", "desk", "--role", "operator").strip()
    admin = home.cli("key", "issue", "root", "--role", "admin").strip()
    assert ask(home)[0] == 200

    unasked = windvane(home, "off", MODEL)
    assert (unasked.returncode, "--yes" in unasked.stderr) == (2, True), unasked.stderr
    assert ask(home)[0] == 200, "nothing was done"
    home.cli("off", MODEL, "--yes", "--reason", "prices are wrong")
    assert ask(home) == (503, "GAT-125")
    assert "turned off" in home.cli("status", MODEL)
    home.cli("on", MODEL)
    assert ask(home)[0] == 200

    damaged = windvane(home, "deploy", MODEL, "2")
    assert damaged.returncode == 1
    assert "ROL-102" in damaged.stderr
    assert "model.onnx" in damaged.stderr, damaged.stderr
    refused = api(home, f"models/{MODEL}/deploy", operator, reason="try", version="2")
    assert (refused.status_code, refused.json()["code"]) == (409, "ROL-102"), refused.text
    home.cli("deploy", MODEL, "2", "--force")
    assert "version 2" in home.cli("abort", MODEL)
    nothing = windvane(home, "abort", MODEL)
    assert (nothing.returncode, "ROL-104" in nothing.stderr) == (1, True)

    (home.home / "other.yaml").write_text(FILE.replace("model: late\n", f"model: {OTHER}\n"))
    home.cli("apply", str(home.home / "other.yaml"))
    table = str(home.home / "orders.csv")
    home.cli("train", OTHER, table, "--label", "late", "--time", "placed")
    with home.store() as store, store.read() as tx:
        files = Path(tx.version(OTHER, "1").artifact)
    assert files.is_relative_to(home.home)
    denied = api(home, f"models/{OTHER}/delete-version", operator, reason="old", version="1")
    assert denied.status_code == 403
    serving = api(home, f"models/{MODEL}/delete-version", admin, reason="old", version="1")
    assert (serving.status_code, serving.json()["code"]) == (409, "ROL-107")
    done = api(home, f"models/{OTHER}/delete-version", admin, reason="old", version="1")
    assert done.status_code == 200, done.text
    wait_until("its files are gone", lambda: not files.exists())
    home.cli("delete", OTHER, "--yes", "--reason", "nobody needs it")
    left = json.loads(home.cli("status", "--json"))["models"]
    assert [line["model"] for line in left] == [MODEL]

    with loaded(home) as load:
        load.wait_for(20)
        home.cli("undeploy", MODEL, "--yes")
        wait_until("its clients are told", lambda: bool(load.refused), 10.0)
    assert {status for status, _ in load.refused} == {404}
    assert ask(home) == (404, "GAT-102")
    home.cli("deploy", MODEL, "1")
    assert ask(home)[0] == 200
    with home.store() as store, store.read() as tx:
        done_by = [(d.action, d.actor.partition(":")[0], d.reason) for d in tx.decisions("", 100)]
    wanted = [
        "off", "on", "deploy", "abort", "delete_version", "delete_model", "undeploy", "deploy",
    ]  # fmt: skip
    assert [a for a, _, _ in done_by[::-1] if a in wanted][-len(wanted) :] == wanted
    assert ("off", "cli", "prices are wrong") in done_by
    assert ("delete_version", "key", "old") in done_by


def test_an_action_says_what_it_did_as_json(home: Installation) -> None:
    """Without any process that runs: the table waits for the gateways."""
    said = json.loads(home.cli("off", MODEL, "--yes", "--json"))
    assert (said["action"], said["model"]) == ("off", MODEL)
    with home.store() as store, store.read() as tx:
        live = tx.deployment(MODEL)
        assert live is not None
        assert live.off
        assert tx.decision(said["decision"]).verdict.code == "ROL-113"

"""`windvane up` and `windvane restart`, where something is in their way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from journeys.installation import Installation, free_port, wait_until

COMMAND = [sys.executable, "-m", "windvane.apps.cli.main"]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation without a model, with one worker."""
    folder = tmp_path_factory.mktemp("up") / "home"
    folder.mkdir()
    home = Installation(folder, free_port(), free_port())
    write_settings(home)
    home.start("up")
    try:
        wait_until("everything is up", (folder / "pids").is_file, 90.0)
        yield home
    finally:
        home.stop()


def write_settings(home: Installation, more: str = "") -> None:
    (home.home / "windvane.yaml").write_text(
        f"port: {home.port}\nconsole_port: {home.console_port}\n{more}"
    )


def run(home: Installation, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], env=home.environment, capture_output=True, text=True, timeout=150,
        check=False,
    )  # fmt: skip


def alive(home: Installation) -> bool:
    return httpx.get(f"{home.url}/healthz", timeout=5.0).status_code == 200


def test_a_second_up_names_the_process_and_the_ports_that_hold_the_home(up: Installation) -> None:
    done = run(up, "up")
    assert done.returncode == 1
    assert "SUP-101" in done.stderr
    assert f"by process {up.processes['up'].pid} " in done.stderr
    assert f"gateway on 127.0.0.1:{up.port}" in done.stderr
    assert f"console on 127.0.0.1:{up.console_port}" in done.stderr
    assert alive(up)
    again = run(up, "up")
    assert again.stderr == done.stderr, "the first refusal left the holder's name as it was"


def test_a_restart_waits_until_the_new_worker_has_taken_over(up: Installation) -> None:
    before = up.pid("gateway")
    done = run(up, "restart", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report == {"state": "done", "steps": ["1 of 1 workers replaced"]}
    assert not Path(f"/proc/{before}").exists(), "it had given way before the command ended"
    processes = finding(up, "processes")
    assert processes["state"] == "ok", processes
    assert alive(up)


@pytest.mark.takes_turns
def test_a_restart_that_fails_says_why_and_leaves_the_old_worker(up: Installation) -> None:
    key = up.home / "key.pem"
    write_settings(up, f"tls: {{certificate: {key}, key: {key}}}\n")
    try:
        done = run(up, "restart")
    finally:
        write_settings(up)
    assert done.returncode == 1
    assert "SUP-103" in done.stderr
    assert "TLS-101" in done.stderr, "the end of the new worker's log"
    assert "1 of 1 workers stay as they are" in done.stderr
    assert alive(up)
    assert run(up, "restart").returncode == 0, "and what was mended works"


def finding(home: Installation, check: str) -> dict[str, str]:
    """What `windvane doctor` says of one of the things that it looks at."""
    found = json.loads(run(home, "doctor", "--json").stdout)["findings"]
    return next(one for one in found if one["check"] == check)


def code_of_a_request(home: Installation) -> str:
    answer = httpx.post(f"{home.url}/v1/models/none/predict", json={"instances": []}, timeout=30.0)
    return answer.json()["error"]["code"]


@pytest.mark.takes_turns
def test_a_routing_table_that_is_damaged_is_no_outage(up: Installation) -> None:
    table = up.home / "routing.json"
    table.write_text("{broken")
    done = run(up, "restart")
    assert done.returncode == 0, done.stderr
    assert code_of_a_request(up) == "GAT-101", "it has the table that the steward wrote anew"
    assert json.loads(table.read_text())["seq"] > 0
    steward = up.pid("steward")
    os.kill(steward, signal.SIGSTOP)
    try:
        table.write_text("{broken")
        done = run(up, "restart")
        assert done.returncode == 1
        assert "SUP-103" in done.stderr
        assert "GAT-106" in done.stderr, "the end of the new worker's log"
        assert "Traceback" not in done.stderr
        assert code_of_a_request(up) == "GAT-101", "the old worker answers"
        assert finding(up, "processes")["state"] == "ok", "what was given up is not missed"
        gateways = finding(up, "gateways")
        assert (gateways["state"], "cannot be read" in gateways["saw"]) == ("wrong", True)
    finally:
        os.kill(steward, signal.SIGCONT)
    wait_until("the table is mended", lambda: "broken" not in table.read_text(), 30.0)


def test_nothing_is_restarted_where_nothing_is_up(up: Installation, tmp_path: Path) -> None:
    done = run(up, "restart", "--home", str(tmp_path))
    assert done.returncode == 1
    assert "SUP-102" in done.stderr


def test_ctrl_c_ends_up_with_0_and_no_trace(up: Installation) -> None:
    """The last of this file: it ends what the others need."""
    process = up.processes["up"]
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert "Traceback" not in (up.home / "up.log").read_text()
    done = run(up, "restart")
    assert "SUP-102" in done.stderr, "the lock went with the process"

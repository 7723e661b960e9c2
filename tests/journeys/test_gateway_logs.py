"""A gateway process that logs JSON, with settings that refer to secrets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from journeys.installation import free_port, wait_until


def test_its_lines_are_json_and_hold_no_secret(tmp_path: Path) -> None:
    port, nobody = free_port(), free_port()
    (tmp_path / "redis-url").write_text(f"redis://u:first-of-secrets@127.0.0.1:{nobody}/0\n")
    (tmp_path / "windvane.yaml").write_text(
        f"port: {port}\nlog_format: json\nredis: file:redis-url\nstore: env:STORE\n"
    )
    log = tmp_path / "log"
    environment = {
        **os.environ, "WINDVANE_HOME": str(tmp_path),
        "STORE": "postgresql://u:second-of-secrets@127.0.0.1/x",
    }  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "windvane.apps.gateway"],
            env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        wait_until("it says that Redis is away", lambda: "does not serve" in log.read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["process"] for line in lines} == {"gateway-0"}
    assert all({"at", "level", "logger", "message"} <= line.keys() for line in lines)
    assert "of-secrets" not in log.read_text()


def test_commands_do_not_show_them(tmp_path: Path) -> None:
    (tmp_path / "windvane.yaml").write_text("store: env:STORE\nnotify: ['env:SLACK']\n")
    environment = {
        **os.environ, "WINDVANE_HOME": str(tmp_path), "SLACK": "slack://first-of-secrets",
        "STORE": f"postgresql://u:second-of-secrets@127.0.0.1:{free_port()}/x",
    }  # fmt: skip

    def status() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "windvane.apps.cli.main", "status"],
            env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    done = status()
    assert done.returncode == 1
    assert "STO-101" in done.stderr
    assert "of-secrets" not in done.stdout + done.stderr
    del environment["STORE"]
    done = status()
    assert "SET-102" in done.stderr
    assert "store" in done.stderr
    environment["STORE"] = f"sqlite:///{tmp_path / 'control.db'}"
    done = status()
    assert done.returncode == 0, done.stderr
    assert "of-secrets" not in done.stdout + done.stderr

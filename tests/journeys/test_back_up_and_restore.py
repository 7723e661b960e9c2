"""A backup of an installation under load makes another one that answers and remembers the same."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from journeys.installation import MODEL, Installation, loaded, wait_until

COMMAND = [sys.executable, "-m", "windvane.apps.cli.main"]
ROWS = [
    {"features": {"distance": 0.5 + 3.7 * i, "kind": kind, "rain": rain}, "unit": f"u{i}"}
    for i, (kind, rain) in enumerate([("van", 0.0), ("bike", None), ("van", 12.0), ("bike", 3.0)])
]


def run(*words: str, home: Path | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"WINDVANE_HOME": str(home)} if home else {})}
    return subprocess.run(
        [*COMMAND, *words], env=environment, capture_output=True, text=True, timeout=180,
        check=False, **more,
    )  # fmt: skip


def answers(home: Installation, key: str) -> httpx.Response:
    return httpx.post(
        f"{home.url}/v1/models/{MODEL}/predict",
        json={"instances": ROWS},
        headers={"authorization": f"Bearer {key}"},
        timeout=10.0,
    )


def outputs(home: Installation) -> list[Any]:
    done = answers(home, home.key)
    assert done.status_code == 200, done.text
    return [{name: one[name] for name in one if name != "id"} for one in done.json()["predictions"]]


@pytest.mark.takes_turns
def test_a_backup_under_load_answers_and_remembers_elsewhere(
    home: Installation, tmp_path: Path
) -> None:
    revoked = home.cli("key", "issue", "gone").strip()
    home.cli("key", "revoke", revoked.split("_")[1])
    home.start("up")
    home.wait_ready()
    target = tmp_path / "not" / "there"
    with loaded(home) as load:
        load.wait_for(300)
        wait_until("some of it is recorded", lambda: home.counted() > 0)
        before = set(load.acknowledged)
        done = run("backup", str(target), "--json", home=home.home)
        assert done.returncode == 0, done.stderr
        after = set(load.acknowledged)
        load.wait_for(50)
    assert len(after) > len(before), "requests were answered meanwhile"
    said = outputs(home)
    with home.store() as store, store.read() as tx:
        seq = tx.routing()
    report = json.loads(done.stdout)
    file = Path(report["file"])
    assert file.parent == target
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(target.iterdir()) == [file], "nothing else is left"
    assert [p for p in report["problems"] if "version 2" in p], "what was tampered with is named"
    home.kill("up")
    wait_until("the gateway is gone", lambda: not home.answers("/healthz"))
    home.home.rename(tmp_path / "broken")

    folder = tmp_path / "elsewhere"
    restored = run("restore", str(file), "--home", str(folder))
    assert restored.returncode == 0, restored.stderr
    again = Installation(folder, home.port, home.console_port, home.key)
    table = json.loads((folder / "routing.json").read_text())
    lie = [one["artifact"] for one in table["models"][MODEL]["versions"]]
    assert lie
    assert all(Path(one).is_relative_to(folder) for one in lie)
    assert seq is not None
    assert table["seq"] > seq.seq
    again.start("up")
    try:
        again.wait_ready()
        assert outputs(again) == said
        assert answers(again, revoked).status_code == 401
        wait_until("it is recorded", lambda: before <= set(again.logged()))
        wait_until("what came since", lambda: bool(set(again.logged()) - load.acknowledged))
        wait_until("all of it", lambda: again.counted() == len(again.logged()))
        logged = again.logged()
        assert before <= set(logged), "whatever was acknowledged before the backup"
        named = [name for name in logged if name in before]
        assert len(named) == len(before), "each once"
        assert set(logged) - load.acknowledged, "and it goes on recording"
        assert json.loads(again.cli("status", "--json"))["models"][0]["health"]
        assert "restore" in again.cli("status")
    finally:
        again.stop()


@pytest.fixture
def quiet(home: Installation, tmp_path: Path) -> tuple[Installation, Path]:
    """A home that does not run, and a backup of it."""
    file = tmp_path / "quiet.tar"
    done = run("backup", str(file), home=home.home)
    assert done.returncode == 0, done.stderr
    return home, file


def test_what_is_damaged_or_cut_off_is_not_restored(
    quiet: tuple[Installation, Path], tmp_path: Path
) -> None:
    _, file = quiet
    body = file.read_bytes()
    target = tmp_path / "new"
    with tarfile.open(file) as tar:
        manifest = tar.getmember("manifest.json").offset
    at = body.index(b"SQLite format 3") + 5_000
    bad = {
        "changed": (body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :], "were written"),
        "cut": (body[: len(body) // 2], "no whole backup"),
        "cut-late": (body[:manifest], "cut off"),
        "empty": (b"", "no whole backup"),
        "other": (b"PK\x03\x04" + bytes(2_000), "no whole backup"),
    }
    for name, (damaged, why) in bad.items():
        broken = tmp_path / f"{name}.tar"
        broken.write_bytes(damaged)
        done = run("restore", str(broken), "--home", str(target))
        assert done.returncode == 1, name
        assert "BKP-102" in done.stderr, name
        assert why in done.stderr, name
        assert "Traceback" not in done.stderr
        assert not target.exists(), name


def test_a_home_that_holds_something_is_left_alone(
    quiet: tuple[Installation, Path], tmp_path: Path
) -> None:
    home, file = quiet
    done = run("restore", str(file), "--home", str(home.home))
    assert done.returncode == 1
    assert "BKP-104" in done.stderr
    again = run("backup", str(file), home=home.home)
    assert again.returncode == 1
    assert "there already" in again.stderr
    unfinished = tmp_path / "cut"
    (unfinished / ".restoring").mkdir(parents=True)
    for words in (("restore", str(file)), ("up",), ("status",)):
        done = run(*words, "--home", str(unfinished))
        assert done.returncode == 1
        assert "BKP-105" in done.stderr, words


def test_a_disk_that_is_full_leaves_no_part_of_a_backup(
    quiet: tuple[Installation, Path], tmp_path: Path
) -> None:
    """A limit on a file's size ends a write in its middle, as a full disk does."""
    home, file = quiet
    most = file.stat().st_size * 2 // 3
    place = tmp_path / "small"
    place.mkdir()
    done = run(
        "backup", str(place), home=home.home,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )  # fmt: skip
    assert done.returncode == 1
    assert "BKP-101" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(place.iterdir()) == []
    small = tmp_path / "restored"
    done = run(
        "restore", str(file), "--home", str(small),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)),
    )  # fmt: skip
    assert done.returncode == 1
    assert "BKP-107" in done.stderr
    assert not small.exists()


def test_what_a_kill_leaves_is_no_backup_and_goes_with_the_next(
    home: Installation, tmp_path: Path
) -> None:
    with (home.home / "artifacts" / "large").open("wb") as file:
        file.truncate(8 << 30)  # a hole, which takes long to read and hash
    place = tmp_path / "place"
    place.mkdir()
    process = subprocess.Popen(
        [*COMMAND, "backup", str(place)], env=home.environment, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60.0
        while not any(p.stat().st_size for p in place.glob(".windvane-backup-*/archive.tar")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert not list(place.glob("*.tar"))
    assert list(place.glob(".windvane-backup-*"))
    (home.home / "artifacts" / "large").unlink()
    done = run("backup", str(place), home=home.home)
    assert done.returncode == 0, done.stderr
    assert [p.suffix for p in place.iterdir()] == [".tar"]

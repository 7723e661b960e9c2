"""A browser as tools/install_chromium.sh left it, and installations to break."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from journeys.installation import FILE, MODEL, Installation, free_port, write_table
from once import Once
from playwright.sync_api import Browser, Error, expect, sync_playwright

_WITHIN_MS = 20_000
_NAMES = ("chromium", "chromium-browser")
_ARGS = ["--no-sandbox", "--disable-background-networking", "--force-color-profile=srgb"]


def _chromium() -> str | None:
    """$WINDVANE_CHROMIUM, else Debian's; None leaves it to Playwright's own."""
    given = os.environ.get("WINDVANE_CHROMIUM", "")
    if given:
        return given
    return next(filter(None, map(shutil.which, _NAMES)), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium; of one module, for its event loop must not outlive it."""
    with sync_playwright() as playwright:
        try:
            opened = playwright.chromium.launch(executable_path=_chromium(), args=_ARGS)
        except Error as error:
            pytest.skip(
                "NO BROWSER, so no browser journey: install Debian's chromium, or set "
                f"WINDVANE_CHROMIUM, or run `playwright install chromium` ({error.message[:200]})"
            )
        expect.set_options(timeout=_WITHIN_MS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def trained_home(once: Once) -> Installation:
    """A home with one trained, deployed version and a second one that was tampered with."""
    home = once.folder("trained", _train)
    return Installation(home, 0, 0, (home.parent / "trained.key").read_text())


def _train(home: Path) -> None:
    made = Installation(home, 0, 0)
    (home / "windvane.yaml").touch()
    (home / "model.yaml").write_text(FILE)
    table = home / "orders.csv"
    write_table(table)
    made.cli("apply", str(home / "model.yaml"))
    for _ in range(2):
        made.cli("train", MODEL, str(table), "--label", "late", "--time", "placed")
    made.cli("deploy", MODEL, "1")
    (home.parent / "trained.key").write_text(made.cli("key", "issue", "acme").strip())
    with made.store() as store, store.read() as tx:
        graph = Path(tx.version(MODEL, "2").artifact) / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"?")


@pytest.fixture
def home(trained_home: Installation, tmp_path: Path) -> Iterator[Installation]:
    """A copy of that home on ports of its own; nothing of it runs yet."""
    folder = tmp_path / "home"
    shutil.copytree(trained_home.home, folder)
    made = Installation(folder, free_port(), free_port(), trained_home.key)
    (folder / "windvane.yaml").write_text(
        f"port: {made.port}\nconsole_port: {made.console_port}\n"
        "metrics_without_sign_in: true\nrecorder_every_s: 0.1\n"
        "log_commit_every_s: 0.1\nsteward_every_s: 0.1\nlease_s: 2.0\n"
    )
    yield made
    made.stop()

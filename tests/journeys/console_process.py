"""The real console as a process of its own, and a page that is watched while it is used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import Browser, Page

_READY_S = 60.0
_STOP_S = 15.0
_WATCH_CSP = """
document.addEventListener("securitypolicyviolation", (e) =>
  console.error(`CSP ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`));
"""


@contextmanager
def running_console(home: Path, port: int) -> Iterator[str]:
    """``python -m windvane.apps.console`` over ``home``; its address, once it answers."""
    log = home / "console.log"
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "windvane.apps.console"],
            env={**os.environ, "WINDVANE_HOME": str(home)},
            stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + _READY_S
        while not _answers(url):
            message = log.read_text(errors="replace")[-2_000:]
            assert process.poll() is None, f"the console ended by itself:\n{message}"
            assert time.monotonic() < deadline, f"the console does not answer:\n{message}"
            time.sleep(0.05)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=_STOP_S)
    assert "Traceback" not in log.read_text(errors="replace"), log.read_text(errors="replace")


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=2.0).status_code == 200
    except httpx.HTTPError:
        return False


class Watch:
    """What went wrong on a page: console errors, exceptions, CSP, requests to other hosts."""

    def __init__(self, page: Page) -> None:
        self.problems: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"exception: {error}"))
        page.on("dialog", lambda dialog: self.problems.append(f"dialog: {dialog.message}"))
        page.on("request", self._request)
        page.add_init_script(_WATCH_CSP)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console {message.type}: {message.text}")

    def _request(self, request: Any) -> None:
        where = urlsplit(request.url)
        if where.scheme != "http" or where.hostname != "127.0.0.1":
            self.problems.append(f"request to {request.url}")


@contextmanager
def watched_page(
    browser: Browser, width: int = 1280, *, dark: bool = False, expected: str = ""
) -> Iterator[Page]:
    """A page of its own; at the end nothing may have gone wrong but what holds ``expected``."""
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light"
    )
    context.set_default_timeout(20_000)
    try:
        page = context.new_page()
        watch = Watch(page)
        yield page
        wrong = [message for message in watch.problems if not expected or expected not in message]
        assert not wrong, wrong
    finally:
        context.close()

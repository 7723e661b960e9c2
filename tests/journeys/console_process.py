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

from windvane.adapters.clock import SystemClock
from windvane.adapters.sql import SqlControlStore
from windvane.core.authorization import parse_grants
from windvane.usecases.sign_in import SessionLimits, begin_oidc_session

_READY_S = 60.0
_STOP_S = 15.0
_WATCH_CSP = """
document.addEventListener("securitypolicyviolation", (e) =>
  console.error(`CSP ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`));
"""


# The token of whom the pages and `get` below are signed in as, by the console's address.
_SIGNED_IN: dict[str, str] = {}


def begin_session(home: Path, name: str = "ana", *roles: str) -> str:
    """The token of a session of somebody with these roles (admin, if none is named)."""
    store = SqlControlStore(f"sqlite:///{home / 'control.db'}")
    try:
        grants = parse_grants(roles or ("admin",))
        return begin_oidc_session(store, SystemClock(), SessionLimits(), name, grants)
    finally:
        store.close()


def cookies_for(url: str) -> dict[str, str]:
    """What a browser sends there that is signed in."""
    where = urlsplit(url)
    token = _SIGNED_IN.get(f"{where.scheme}://{where.netloc}", "")
    return {f"windvane-{where.port}": token} if token else {}


def get(url: str) -> httpx.Response:
    """As whoever is signed in there."""
    with httpx.Client(timeout=30.0, cookies=cookies_for(url)) as client:
        return client.get(url)


@contextmanager
def running_console(home: Path, port: int, token: str = "") -> Iterator[str]:
    """``python -m windvane.apps.console`` over ``home``; its address, once it answers. An admin
    is signed in there, or who has the session of ``token``."""
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
        _SIGNED_IN[url] = token or begin_session(home)
        yield url
    finally:
        _SIGNED_IN.pop(url, None)
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
    browser: Browser,
    width: int = 1280,
    *,
    dark: bool = False,
    expected: str = "",
    stranger: bool = False,
) -> Iterator[Page]:
    """A page of its own, signed in at every console that runs unless it is a ``stranger``'s; at
    the end nothing may have gone wrong but what holds ``expected``."""
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light"
    )
    context.set_default_timeout(20_000)
    for url in [] if stranger else _SIGNED_IN:
        context.add_cookies(
            [{"name": name, "value": value, "url": url} for name, value in cookies_for(url).items()]
        )
    try:
        page = context.new_page()
        watch = Watch(page)
        yield page
        wrong = [message for message in watch.problems if not expected or expected not in message]
        assert not wrong, wrong
    finally:
        context.close()

"""Connections follow what the process may open, and running out of that costs no processor."""

from __future__ import annotations

import http.client
import logging
import resource
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from apps.gateway.test_http_tls import CHAIN, KEY, issue

from windvane.apps.gateway import file_limit
from windvane.apps.gateway.file_limit import raise_file_limit, share_files, share_of_this_process
from windvane.apps.gateway.grpc_front import FrontBounds
from windvane.apps.gateway.http_protocol import Bounds

_SERVER = """
import asyncio, os, resource, sys
from pathlib import Path
import uvloop
from windvane.adapters.files import FileCertificate
from windvane.apps.gateway.http_server import HttpConfig, HttpServer

class App:
    draining = False
    def on_head(self, head, reply):
        reply(200, [], b"ok")
    def on_error(self, status, detail):
        return [], b""
    def defer(self, work):
        work()

async def main(files):
    tls = FileCertificate(*map(Path, files)) if files else None
    server = HttpServer(App(), HttpConfig("127.0.0.1", 0, tls=tls))
    await server.start()
    most = len(os.listdir("/proc/self/fd")) + 10
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(server.port, flush=True)
    while True:
        used = os.times()
        print(used.user + used.system, flush=True)
        await asyncio.sleep(0.1)

with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main(sys.argv[1:]))
"""


def test_connections_share_what_may_be_open() -> None:
    plenty = share_files(1_000_000, 50, 4_096)
    assert plenty.http(Bounds()) == Bounds()
    few = share_files(1_024, 50, 4_096 + 3 * 1_024)
    left = 1_024 - 50 - 256
    http_most, grpc_most = few.http(Bounds()).connections, few.grpc(FrontBounds()).connections
    assert left - 4 < http_most + 3 * grpc_most <= left
    assert few.http(Bounds()).connections_per_address == http_most // 4
    assert share_files(100, 99, 4_096).of(4_096) == 8
    assert share_files(resource.RLIM_INFINITY, 50, 4_096).part == 1.0


def test_a_limit_that_bites_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_limit, "raise_file_limit", lambda: 1_024)
    with caplog.at_level(logging.WARNING):
        share_of_this_process(10)
        assert not caplog.records
        assert share_of_this_process(4_096).part < 1.0
    assert "at most 1024 files may be open (ulimit -n)" in caplog.text
    assert "could take 4096" in caplog.text


def test_the_soft_limit_becomes_the_hard_one() -> None:
    """Ours is what it was afterwards."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, before[1]), before[1]))
        assert raise_file_limit() == before[1]
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def ask(port: int, trusting: ssl.SSLContext | None) -> bytes:
    """What the server answers; nothing where it ends the connection."""
    connection = (
        http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        if trusting is None
        else http.client.HTTPSConnection("localhost", port, timeout=20, context=trusting)
    )
    try:
        with closing(connection):
            connection.request("GET", "/")
            return connection.getresponse().read()
    except (ConnectionError, http.client.RemoteDisconnected, ssl.SSLError):
        return b""


def wait_for(look: Callable[[], bytes]) -> bytes:
    deadline = time.monotonic() + 20.0
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("secure", [False, True])
def test_without_descriptors_accepting_does_not_spin_and_goes_on_later(
    tmp_path: Path, secure: bool
) -> None:
    files = []
    if secure:
        issue(tmp_path, 1)
        files = [str(tmp_path / CHAIN), str(tmp_path / KEY)]
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER, *files], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            with ExitStack() as opened:
                for _ in range(60):
                    opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
                used = [float(process.stdout.readline()) for _ in range(12)]
                assert used[-1] - used[1] < 0.4, "about a second passed"
            trusting = ssl.create_default_context(cafile=tmp_path / CHAIN) if secure else None
            # Who comes while the others are still being let go may be let go with them.
            assert wait_for(lambda: ask(port, trusting)) == b"ok"
        finally:
            process.kill()

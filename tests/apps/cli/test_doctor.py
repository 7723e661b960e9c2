"""`windvane doctor`: each thing that can be wrong is made wrong, and found."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from windvane.adapters.spool import FileSpoolWriter
from windvane.adapters.sql import SqlControlStore
from windvane.apps.cli import running, wiring
from windvane.apps.cli.checks import CHECKS, Finding, Place, State, examine
from windvane.apps.cli.main import app
from windvane.ports.control_store import StoreUnavailable
from windvane.usecases.leases import Shards, give_up, hold_shards
from windvane.usecases.read_settings import Settings, find_settings

WALL = 1_700_000_000.0


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.fixture
def settings(tmp_path: Path, migrated_file: Path) -> Settings:
    """A home as it should be, with nothing up."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    file = folder / "windvane.yaml"
    file.touch(0o600)
    file.write_text(f"port: {free_port()}\nconsole_port: {free_port()}\nspool_max_bytes: 100_000\n")
    shutil.copy(migrated_file, folder / "control.db")
    return find_settings({}, folder)


@pytest.fixture
def held(settings: Settings) -> Iterator[None]:
    """This very process holds the home, as `windvane up` does."""
    with running.claim(settings):
        yield


def look(settings: Settings, check: str, wall: Callable[[], float] | None = None) -> list[Finding]:
    clock = wiring.clock(settings)
    place = Place(settings, wall or clock.wall, now=clock.now)
    return list(CHECKS[check](place))


def states(found: list[Finding]) -> set[State]:
    return {one.state for one in found}


def sql(settings: Settings, text: str) -> None:
    engine = sa.create_engine(settings.store_url)
    with engine.begin() as connection:
        connection.execute(sa.text(text))
    engine.dispose()


def test_a_home_as_it_should_be_has_nothing_wrong(settings: Settings) -> None:
    done = CliRunner().invoke(app, ["doctor", "--home", str(settings.folder), "--json"])
    body: Any = json.loads(done.stdout)
    assert (done.exit_code, body["wrong"]) == (0, 0), body
    assert {one["check"] for one in body["findings"]} == set(CHECKS)
    shown = CliRunner().invoke(app, ["doctor", "--home", str(settings.folder)])
    assert shown.stdout.splitlines()[-1] == (
        f"nothing is wrong; 1 of {len(body['findings'])} could be better, after `do:`"
    ), "nothing is up"


def test_what_is_wrong_ends_with_1_and_says_what_to_do(settings: Settings) -> None:
    settings.folder.chmod(0o755)
    done = CliRunner().invoke(app, ["doctor", "--home", str(settings.folder)])
    assert done.exit_code == 1
    assert "0755, not 0700" in done.stdout
    assert f"do: chmod 700 {settings.folder}" in done.stdout


def test_files_with_secrets_are_their_owners(settings: Settings) -> None:
    assert states(look(settings, "permissions")) == {State.OK}
    (settings.folder / "control.db").chmod(0o644)
    assert states(look(settings, "permissions")) == {State.NOTE}, "behind a closed door"
    settings.folder.chmod(0o711)
    home, file = look(settings, "permissions")
    assert (home.state, file.state) == (State.WRONG, State.WRONG)
    assert "control.db" in file.saw


@pytest.mark.parametrize(
    ("revision", "state", "word"),
    [("0001", State.WRONG, "migrates"), ("9999", State.WRONG, "a later release made it")],
)
def test_another_schema_is_named(
    settings: Settings, revision: str, state: State, word: str
) -> None:
    sql(settings, f"UPDATE alembic_version SET version_num = '{revision}'")
    (one,) = look(settings, "versions")
    assert one.state is state
    assert revision in one.saw
    assert word in one.advice


def test_a_clock_that_is_off_is_measured(settings: Settings) -> None:
    real = wiring.clock(settings)
    (right,) = look(settings, "clock")
    (wrong,) = look(settings, "clock", lambda: real.wall() + 90.0)
    assert (right.state, wrong.state) == (State.OK, State.WRONG)
    assert "is 90." in wrong.saw or "is 89." in wrong.saw


def test_a_full_disk_is_told_by_what_may_be_needed(settings: Settings) -> None:
    assert states(look(settings, "disk")) == {State.OK}
    free = shutil.disk_usage(settings.folder).free
    wants_more = msgspec.structs.replace(settings, spool_max_bytes=free * 2)
    assert states(look(wants_more, "disk")) == {State.WRONG}


def test_a_port_of_somebody_else_is_found_where_nothing_is_up(settings: Settings) -> None:
    assert states(look(settings, "ports")) == {State.OK}
    with socket.create_server(("127.0.0.1", settings.port)):
        gateway, console = look(settings, "ports")
    assert (gateway.state, console.state) == (State.WRONG, State.OK)
    assert f"127.0.0.1:{settings.port} of the gateway is not free" in gateway.saw


@pytest.mark.usefixtures("held")
def test_an_address_that_does_not_answer_is_found_where_it_is_up(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", settings.console_port)):
        gateway, console = look(settings, "ports")
    assert (gateway.state, console.state) == (State.WRONG, State.OK)
    (ready,) = look(settings, "gateways")
    assert ready.state is State.WRONG


@contextmanager
def answering(port: int, body: dict[str, Any]) -> Iterator[None]:
    """Whatever is asked there is answered with ``body``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.usefixtures("held")
def test_what_a_gateway_that_is_ready_lacks_is_named(settings: Settings) -> None:
    lacks = {"name": "versions", "state": "degraded", "code": "HLT-607", "why": "1 of 2"}
    well = {"name": "spool", "state": "ok", "code": "HLT-600", "why": "events are written"}
    with answering(settings.port, {"status": "degraded", "dependencies": [lacks, well]}):
        lacking, posts = look(settings, "gateways")
    assert (lacking.state, lacking.saw) == (State.WRONG, "versions degraded (HLT-607): 1 of 2")
    assert posts.state is State.UNKNOWN, "no worker posts"
    with answering(settings.port, {"status": "ready", "dependencies": [well]}):
        assert [one.saw for one in look(settings, "gateways")] == [posts.saw]
    with answering(settings.port, {"hello": "world"}):
        other, _ = look(settings, "gateways")
    assert "is no gateway" in other.saw


@pytest.mark.usefixtures("held")
def test_a_process_that_is_gone_is_named(settings: Settings) -> None:
    gone = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(gone, 0)
    (settings.folder / "pids").write_text(f"up {os.getpid()}\nrecorder {gone}\n")
    (one,) = look(settings, "processes")
    assert one.state is State.WRONG
    assert one.saw == "not running: recorder"
    (settings.folder / "pids").write_text(
        f"up {os.getpid()}\nrecorder {gone}\nrecorder {os.getpid()}\n"
    )
    assert states(look(settings, "processes")) == {State.OK}, "it was started again"


@pytest.mark.usefixtures("held")
def test_a_lease_that_nobody_holds_is_found(settings: Settings) -> None:
    assert states(look(settings, "lease")) == {State.WRONG}, "no steward ever took it"
    store = SqlControlStore(settings.store_url)
    held = hold_shards(store, "me", 1_000.0)
    assert states(look(settings, "lease")) == {State.OK}
    give_up(store, "me", Shards(dict(list(held.tokens.items())[:4])))
    (some,) = look(settings, "lease")
    assert (some.state, "12 of 16 shards" in some.saw) == (State.WRONG, True)
    give_up(store, "me", held)
    store.close()
    (ended,) = look(settings, "lease")
    assert (ended.state, "0 of 16 shards" in ended.saw) == (State.WRONG, True)


def test_what_waits_to_be_recorded_is_counted(settings: Settings) -> None:
    assert states(look(settings, "recorder")) == {State.OK}
    writer = FileSpoolWriter(settings.spool_root / "gateway-0")
    writer.append(b"x" * 1_000)
    (one,) = look(settings, "recorder")
    assert (one.state, one.advice) == (State.NOTE, "`windvane up` records it")
    writer.append(b"x" * 60_000)
    (one,) = look(settings, "recorder")
    assert (one.state, "over half" in one.saw) == (State.WRONG, True)
    writer.close()


@pytest.mark.usefixtures("held")
def test_a_recorder_that_stands_still_is_found(settings: Settings) -> None:
    writer = FileSpoolWriter(settings.spool_root / "gateway-0")
    writer.append(b"x" * 1_000)
    writer.close()
    assert states(look(settings, "recorder")) == {State.WRONG}


def test_a_database_that_cannot_be_read_stops_no_other_check(settings: Settings) -> None:
    (settings.folder / "control.db").write_bytes(b"nonsense" * 1_000)
    clock = wiring.clock(settings)
    found = examine(Place(settings, clock.wall, now=clock.now))
    wrong = {one.check for one in found if one.state is State.WRONG}
    assert wrong == {"versions", "clock", "lease", "log"}
    assert {one.check for one in found} == set(CHECKS)


@pytest.mark.parametrize("left", ["pids", "routing.json"])
def test_a_database_that_is_gone_is_no_database_that_was_not_made_yet(
    settings: Settings, left: str
) -> None:
    """Whoever follows "`windvane up` makes it" would begin an empty installation."""
    writer = FileSpoolWriter(settings.spool_root / "gateway-0")
    writer.append(b"x" * 1_000)
    writer.close()
    (settings.folder / "control.db").unlink()
    (settings.folder / left).touch(0o600)
    clock = wiring.clock(settings)
    found = examine(Place(settings, clock.wall, now=clock.now))
    gone = {
        one.check for one in found if one.saw.startswith("STO-101 the control database is gone")
    }
    assert gone == {"versions", "clock", "lease", "recorder", "log"}
    assert not [one for one in found if "windvane up` makes it" in one.advice]
    assert any("`windvane up` refuses this home" in one.advice for one in found)
    with pytest.raises(StoreUnavailable, match=f"while {left} says"):
        wiring.store(settings, begin=True)
    assert not (settings.folder / "control.db").exists()
    done = CliRunner().invoke(app, ["doctor", "--home", str(settings.folder)])
    assert done.exit_code == 1


def test_advice_below_a_note_is_counted_where_nothing_is_wrong(settings: Settings) -> None:
    (settings.folder / "windvane.yaml").chmod(0o644)
    done = CliRunner().invoke(app, ["doctor", "--home", str(settings.folder)])
    assert done.exit_code == 0
    assert "do: chmod 600" in " ".join(done.stdout.split())
    assert "nothing is wrong; 2 of" in " ".join(done.stdout.split())

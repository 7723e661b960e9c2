"""What `windvane doctor` looks at: a function each, in one list."""

from __future__ import annotations

import enum
import os
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import httpx
import msgspec

import windvane
from windvane.apps.cli import wiring
from windvane.apps.cli.home import is_home
from windvane.apps.cli.running import Holder, find_holder, started_at
from windvane.core.errors import WindvaneError
from windvane.ports.control_store import StoreUnavailable
from windvane.usecases.forecast_log import forecast_log
from windvane.usecases.leases import SHARD, SHARDS
from windvane.usecases.read_settings import Settings

if TYPE_CHECKING:
    from windvane.apps.cli.wiring import Inspection

_ANSWER_WITHIN_S = 2.0
_MOST_SKEW_S = 1.0
_MOST_LAG_S = 60.0
_LEAST_FREE = 0.02
_LEAST_INODES = 1_000
_MOST_FILES = 200
_MOST_NAMED = 5
_GONE_HINT = (
    "put it back, or `windvane restore BACKUP --home NEW`: until then `windvane up` refuses this "
    "home, for it would begin anew without models and keys"
)
# What holds hashes of keys, secrets or data of requests.
_OWNERS_ONLY = ("control.db*", "windvane.yaml", "routing.json", "mlflow.db*", "*.pem", "*.key")


class State(enum.StrEnum):
    """`unknown`: it could not be looked at, which is not well."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"
    UNKNOWN = "unknown"


class _Dependency(msgspec.Struct):
    name: str
    state: str
    code: str
    why: str


class _Ready(msgspec.Struct):
    dependencies: list[_Dependency]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check saw, in a sentence, and where something is wrong what to do."""

    check: str
    state: State
    saw: str
    advice: str = ""


class Look(NamedTuple):
    """A database, and this machine's time before and after it was asked."""

    before: float
    found: Inspection | None
    after: float


@dataclass
class Place:
    """A home, and what several checks look at of it, looked at once."""

    settings: Settings
    wall: Callable[[], float]
    now: Callable[[], float] = field(kw_only=True)

    @property
    def folder(self) -> Path:
        return self.settings.folder

    @cached_property
    def holder(self) -> Holder | None:
        return find_holder(self.folder)

    @cached_property
    def look(self) -> Look:
        """Raises StoreUnavailable, also where the home's database is gone."""
        before = self.wall()
        found = wiring.inspect_database(self.settings)
        left = wiring.after_the_database(self.settings)
        if found is None and left:
            where = self.settings.store_url.removeprefix("sqlite:///")
            message = f"the control database is gone: {left} is there, {where} is not"
            raise StoreUnavailable(message, hint=_GONE_HINT)
        return Look(before, found, self.wall())

    @property
    def database(self) -> Inspection | None:
        """Raises StoreUnavailable."""
        return self.look.found

    def addresses(self) -> Mapping[str, tuple[str, int]]:
        given = self.settings
        out = {"gateway": (given.host, given.port), "console": (given.host, given.console_port)}
        if given.grpc_port is not None:
            out["gRPC"] = (given.host, given.grpc_port)
        for one in given.invocations:
            out[f"invocations of {one.model}"] = (given.host, one.port)
        return out


def check_versions(place: Place) -> Iterator[Finding]:
    """This release, and the schema of the database against those that it knows."""
    name = "versions"
    python = ".".join(map(str, sys.version_info[:3]))
    release = f"windvane {windvane.__version__}, Python {python}"
    found = place.database
    if found is None or not found.revision:
        yield Finding(name, State.NOTE, f"{release}; no database yet", "`windvane up` makes it")
    elif found.revision == found.newest:
        yield Finding(name, State.OK, f"{release}, schema {found.revision}")
    elif found.revision in found.known:
        saw = f"the database has schema {found.revision}, this release {found.newest}"
        yield Finding(name, State.WRONG, saw, "`windvane up` or `windvane status` migrates it")
    else:
        saw = f"the database has schema {found.revision}, this release knows {found.newest}"
        yield Finding(name, State.WRONG, saw, "a later release made it: install that one")


def check_permissions(place: Place) -> Iterator[Finding]:
    """The home is its owner's alone (0700), and so are the files that hold secrets (0600)."""
    name = "permissions"
    held = place.folder.stat()
    mode = stat.S_IMODE(held.st_mode)
    wrong = False
    if held.st_uid != os.getuid():
        wrong = True
        saw = f"the home belongs to user {held.st_uid}, this is user {os.getuid()}"
        yield Finding(name, State.WRONG, saw, "run commands as the home's owner")
    if mode & 0o077:
        wrong = True
        saw = f"others may look into the home: {mode:04o}, not 0700"
        yield Finding(name, State.WRONG, saw, f"chmod 700 {place.folder}")
    files = sorted({file for pattern in _OWNERS_ONLY for file in place.folder.glob(pattern)})
    opened = [
        file for file in files[:_MOST_FILES] if file.is_file() and file.stat().st_mode & 0o077
    ]
    if opened:
        names = ", ".join(file.name for file in opened[:_MOST_NAMED])
        saw = f"{len(opened)} files with secrets are not 0600: {names}"
        # Behind a closed door they are read by nobody: worth a word, no more.
        state = State.WRONG if mode & 0o077 else State.NOTE
        yield Finding(name, state, saw, f"chmod 600 {' '.join(str(f) for f in opened)}")
    elif not wrong:
        yield Finding(name, State.OK, "the home is 0700, its files with secrets 0600")


def check_disk(place: Place) -> Iterator[Finding]:
    """Room for what the spool may take, and for files at all."""
    name = "disk"
    usage, inodes = shutil.disk_usage(place.folder), os.statvfs(place.folder)
    needed = max(place.settings.spool_max_bytes, int(usage.total * _LEAST_FREE))
    free = f"{usage.free / 1e9:,.1f} GB of {usage.total / 1e9:,.1f} GB are free"
    if usage.free < needed:
        saw = f"{free}, less than {needed / 1e9:,.1f} GB that the spool may take"
        yield Finding(name, State.WRONG, saw, "free some, or lower `spool_max_bytes`")
    elif inodes.f_files and inodes.f_favail < _LEAST_INODES:
        saw = f"{inodes.f_favail} files may be added, less than {_LEAST_INODES:,}"
        yield Finding(name, State.WRONG, saw, "remove files: the disk has no inodes left")
    else:
        yield Finding(name, State.OK, free)


def check_log(place: Place) -> Iterator[Finding]:
    """Whether the log outgrows its disk, at the rate of the last days and the set retention."""
    name, settings = "log", place.settings
    if place.database is None:
        yield Finding(name, State.OK, "nothing was ever logged")
        return
    with closing(wiring.store(settings)) as store:
        found = forecast_log(
            store, wiring.event_log(settings), place.now(), settings.retention,
            settings.disk_warning_days, by_model=False,
        )  # fmt: skip
    if found.code:
        advice = "lower `retention`, or move the log: docs/howto/keep-the-log-bounded.md"
        yield Finding(name, State.WRONG, f"{found.code}: {found.why}", advice)
    else:
        yield Finding(name, State.OK, found.why)


def check_clock(place: Place) -> Iterator[Finding]:
    """This machine's clock against the database's."""
    name = "clock"
    before, found, after = place.look
    if found is None:
        yield Finding(name, State.NOTE, "no database yet to compare it with")
        return
    # The database was asked somewhen between: what lies within is no skew.
    skew = max(before - found.wall, found.wall - after, 0.0)
    saw = f"{skew:.1f} s from the database's"
    if skew > _MOST_SKEW_S:
        advice = "synchronise both machines' clocks (NTP): leases and windows go by them"
        yield Finding(name, State.WRONG, f"this machine's clock is {saw}", advice)
    else:
        yield Finding(name, State.OK, f"this machine's clock is {saw}")


def check_ports(place: Place) -> Iterator[Finding]:
    """Where everything is up, each address answers; where nothing is, each is free."""
    for what, (host, port) in place.addresses().items():
        name, where = "ports", f"{host}:{port}"
        if not port:
            yield Finding(name, State.OK, f"{what}: whichever port is free")
        elif place.holder is not None:
            try:
                socket.create_connection((host, port), _ANSWER_WITHIN_S).close()
                yield Finding(name, State.OK, f"{what} answers on {where}")
            except OSError as error:
                saw = f"{what} does not answer on {where}: {error.strerror or error}"
                yield Finding(name, State.WRONG, saw, f"`windvane logs {_process(what)}`")
        else:
            taken = _why_not_free(host, port)
            if taken:
                saw = f"{where} of the {what} is not free: {taken}"
                advice = "stop what listens there, or set another port in windvane.yaml"
                yield Finding(name, State.WRONG, saw, advice)
            else:
                yield Finding(name, State.OK, f"{where} is free for the {what}")


def check_processes(place: Place) -> Iterator[Finding]:
    """Those that `windvane up` noted run."""
    name = "processes"
    if place.holder is None:
        yield Finding(name, State.NOTE, "nothing is up on this home", "`windvane up` starts it")
        return
    try:
        lines = (place.folder / "pids").read_text().splitlines()
    except FileNotFoundError:
        yield Finding(name, State.NOTE, "it is starting")
        return
    noted = {words[0]: int(words[1]) for line in lines if len(words := line.split()) == 2}
    dead = [child for child, pid in noted.items() if not started_at(pid)]
    if dead:
        saw = f"not running: {', '.join(dead)}"
        yield Finding(name, State.WRONG, saw, f"`windvane logs {dead[0]}` has its last words")
    else:
        yield Finding(name, State.OK, f"{len(noted)} run: {', '.join(noted)}")


def check_gateways(place: Place) -> Iterator[Finding]:
    """The gateway is ready, and every worker has the newest routing table."""
    name = "gateways"
    if place.holder is None:
        yield Finding(name, State.NOTE, "none is up on this home")
        return
    given = place.settings
    url = f"{given.scheme}://{given.host}:{given.port}/readyz"
    try:  # whose certificate it shows is for its clients to check
        answer = httpx.get(url, timeout=_ANSWER_WITHIN_S, verify=False)  # noqa: S501
    except httpx.HTTPError as error:
        yield Finding(name, State.WRONG, f"no answer to {url}: {error}", "`windvane logs gateway`")
        return
    if answer.status_code != httpx.codes.OK:
        saw = f"not ready: {answer.status_code} to {url}: {answer.text[:200]}"
        yield Finding(name, State.WRONG, saw, "`windvane logs gateway`")
        return
    for saw in _degraded(answer):
        yield Finding(name, State.WRONG, saw, "`windvane logs gateway`")
    workers = wiring.gateway_workers(given)
    seq = wiring.routing_feed(given).last_seq() or 0
    late = [worker.name for worker in workers if worker.seq < seq]
    if late:
        saw = f"{', '.join(late)} answer by an older routing table than {seq}"
        advice = f"`windvane logs {late[0]}`: a version that cannot be loaded holds it back"
        yield Finding(name, State.WRONG, saw, advice)
    elif not workers:
        yield Finding(name, State.UNKNOWN, "ready, and no worker posts", "`windvane logs gateway`")
    else:
        yield Finding(name, State.OK, f"ready; {len(workers)} with routing table {seq}")


def _degraded(answer: httpx.Response) -> list[str]:
    """What a gateway that is ready depends on and lacks. Something else may listen there."""
    try:
        found = msgspec.json.decode(answer.content, type=_Ready).dependencies
    except msgspec.DecodeError:
        return [f"what answers at {answer.url} is no gateway"]
    return [f"{one.name} {one.state} ({one.code}): {one.why}" for one in found if one.state != "ok"]


def check_lease(place: Place) -> Iterator[Finding]:
    """Stewards hold the leases of all shards, by the database's clock, and hold them still."""
    name = "lease"
    found = place.database
    shards = [x for x in found.leases if x.name.startswith(SHARD)] if found is not None else []
    if found is None or not shards:
        if place.holder is None:
            yield Finding(name, State.NOTE, "no steward ever ran")
        else:
            yield Finding(name, State.WRONG, "no steward has a lease", "`windvane logs steward`")
        return
    held = [lease for lease in shards if lease.expires > found.wall]
    stewards = {lease.holder for lease in held}
    saw = f"{len(held)} of {SHARDS} shards are held by {len(stewards)} stewards"
    if len(held) == SHARDS:
        yield Finding(name, State.OK, saw)
    elif place.holder is None:
        yield Finding(name, State.NOTE, f"{saw}: nothing is up")
    else:
        ago = found.wall - max(lease.expires for lease in shards)
        ended = f"; the last ended {ago:.0f} s ago" if not held else ""
        saw += f": models of the others are not judged{ended}"
        yield Finding(name, State.WRONG, saw, "`windvane logs steward`")


def check_recorder(place: Place) -> Iterator[Finding]:
    """How much was acknowledged and is not in the log yet."""
    name = "recorder"
    lag = wiring.recorder_lag(place.settings)
    if not lag.spools:
        yield Finding(name, State.OK, "nothing was ever spooled here")
        return
    _ = place.database  # without it nobody knows what is recorded
    waits = f"{lag.waiting:,} bytes wait in {lag.spools} spools"
    behind = place.now() - lag.watermark
    if lag.waiting > place.settings.spool_max_bytes // 2:
        saw = (
            f"{waits}, over half of {place.settings.spool_max_bytes:,}; full, requests are refused"
        )
        yield Finding(name, State.WRONG, saw, "`windvane logs recorder`")
    elif place.holder is None:
        advice = "`windvane up` records it" if lag.waiting else ""
        yield Finding(name, State.NOTE if lag.waiting else State.OK, waits, advice)
    elif lag.waiting and behind > _MOST_LAG_S:
        last = f"the last was recorded {behind:.0f} s ago" if lag.watermark else "none was recorded"
        saw = f"{waits}, {last}"
        yield Finding(name, State.WRONG, saw, "`windvane logs recorder`")
    else:
        yield Finding(name, State.OK, waits)


CHECKS: Mapping[str, Callable[[Place], Iterator[Finding]]] = {
    "versions": check_versions,
    "permissions": check_permissions,
    "disk": check_disk,
    "clock": check_clock,
    "processes": check_processes,
    "ports": check_ports,
    "gateways": check_gateways,
    "lease": check_lease,
    "recorder": check_recorder,
    "log": check_log,
}


def examine(place: Place) -> list[Finding]:
    """All of them; one that cannot look says so, and stops no other."""
    if not is_home(place.folder):
        raise ValueError(f"{place.folder} is no home")
    out: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            out += check(place)
        except WindvaneError as error:
            out.append(Finding(name, State.WRONG, f"{error.code} {error.message}", error.advice))
        except Exception as error:
            saw = f"could not be looked at: {type(error).__name__}: {error}"
            out.append(Finding(name, State.UNKNOWN, saw))
    return out


def _why_not_free(host: str, port: int) -> str:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _process(what: str) -> str:
    return "console" if what == "console" else "gateway"

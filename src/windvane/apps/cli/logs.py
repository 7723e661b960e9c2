"""``windvane logs``: what the processes of a home say."""

from __future__ import annotations

import datetime as dt
import heapq
import json
import os
import re
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from windvane.apps.cli import wiring
from windvane.apps.cli.home import check_home
from windvane.apps.cli.options import AsJson, Home, duration
from windvane.apps.cli.output import out
from windvane.core.errors import WindvaneError, did_you_mean

_MOST_READ = 8 << 20  # of one file at a time, at first from its end
_MOST_OF_A_RECORD = 1 << 17
_LOOK_EVERY_S = 0.25
_TEXT = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) ")
_JSON = re.compile(r'\{"at": "(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3})Z"')


class NoLog(WindvaneError):
    """No process of that name has a log in this home."""

    code: ClassVar[str] = "SUP-105"
    hint = "`windvane up` begins the logs of its processes"


@dataclass(frozen=True, slots=True)
class Record:
    """What a process said at one time, with the lines below that belong to it, such as a trace.
    ``at`` in seconds since the epoch; 0 for lines before the first time in a file."""

    at: float
    process: str
    text: str


def logs(
    process: Annotated[
        str,
        typer.Argument(help="One process: gateway, gateway-1, recorder, steward, console; or all."),
    ] = "",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    since: Annotated[
        str, typer.Option(help="How far back, such as `10m`; all that --lines leaves by default.")
    ] = "",
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, max=100_000, help="The most records, the latest.")
    ] = 100,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What the processes of `windvane up` say, together in the order of time."""
    settings = wiring.settings(home)
    check_home(settings)
    folder = settings.folder / "logs"
    begin = time.time() - duration(since, "--since") if since else 0.0
    files = find_logs(folder, process)
    readers = [Follower(file) for file in files]
    latest = deque(heapq.merge(*(r.read() for r in readers), key=lambda r: r.at), maxlen=lines)
    for record in latest:
        if record.at >= begin:
            _show(record, as_json)
    if follow:
        _follow(readers, process, folder, as_json)


def find_logs(folder: Path, process: str) -> list[Path]:
    """The files of one process or, by "", of all. Raises NoLog."""
    files = sorted(folder.glob("*.log"))
    if not process:
        if not files:
            raise NoLog(f"there is no log in {folder}")
        return files
    # A supervisor numbers further workers: `gateway` is the first of them, and means all.
    found = [
        f for f in files if f.stem == process or re.fullmatch(rf"{re.escape(process)}-\d+", f.stem)
    ]
    if not found:
        hint = did_you_mean(process, [f.stem for f in files]) if files else None
        raise NoLog(f"{process!r} has no log in {folder}", hint=hint)
    return found


class Follower:
    """A log that is read to its end, and on from there. One that was cut or replaced meanwhile,
    as rotation does, is read from its beginning."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inode = 0
        self._position = 0
        self._at = 0.0

    def read(self) -> Iterator[Record]:
        """The whole records that are new; a line without its end is left for the next time."""
        try:
            with self.path.open("rb") as file:
                held = os.fstat(file.fileno())
                if held.st_ino != self._inode or held.st_size < self._position:
                    self._inode = held.st_ino
                    self._position = max(0, held.st_size - _MOST_READ)
                    if self._position:
                        file.seek(self._position)
                        self._position += len(file.readline())
                file.seek(self._position)
                yield from self._records(file.read(_MOST_READ))
        except FileNotFoundError:
            return

    def _records(self, body: bytes) -> Iterator[Record]:
        whole = body[: body.rfind(b"\n") + 1]
        self._position += len(whole)
        held: list[str] = []
        for line in whole.decode(errors="replace").splitlines():
            at = moment_of(line)
            if at is not None:
                if held:
                    yield self._record(held)
                held, self._at = [], at
            if sum(map(len, held)) < _MOST_OF_A_RECORD:
                held.append(line)
        if held:
            yield self._record(held)

    def _record(self, held: Sequence[str]) -> Record:
        return Record(self._at, self.path.stem, "\n".join(held))


def moment_of(line: str) -> float | None:
    """When the record that begins with ``line`` was written; None where none begins."""
    found = _TEXT.match(line)
    try:
        if found:
            local = dt.datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").astimezone()
            return local.timestamp() + int(found[2]) / 1e3
        found = _JSON.match(line)
        return dt.datetime.fromisoformat(f"{found[1]}+00:00").timestamp() if found else None
    except ValueError:
        return None


def _follow(readers: list[Follower], process: str, folder: Path, as_json: bool) -> None:
    """Until Ctrl-C, also of processes that begin later."""
    seen = {reader.path for reader in readers}
    while True:
        for file in set(find_logs(folder, process)) - seen:
            seen.add(file)
            readers.append(Follower(file))
        for record in heapq.merge(*(reader.read() for reader in readers), key=lambda r: r.at):
            _show(record, as_json)
        out.file.flush()
        time.sleep(_LOOK_EVERY_S)


def _show(record: Record, as_json: bool) -> None:
    if as_json:
        out.print(
            json.dumps({"at": record.at, "process": record.process, "text": record.text}),
            soft_wrap=True,
        )
        return
    text = "".join(c if c.isprintable() or c in "\n\t" else "?" for c in record.text)
    out.print(text, soft_wrap=True)

"""Environments in folders named by their hash.

A folder is made under another name and renamed when it is whole, so that what a crash leaves is
never taken for one. It holds ``packages``, which goes on the path of imports as it is;
``environment.json``, what was asked for and what came of it; and ``files.json``, the SHA-256 of
each file.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from windvane.adapters.pip.install import install
from windvane.adapters.pip.integrity import (
    Damaged,
    check_files,
    hash_file,
    hash_files,
    size_of,
    stamp,
)
from windvane.core.execution import ENVIRONMENT_FILE, Environment, Package, environment_id
from windvane.ports.environments import (
    REBUILD,
    EnvironmentNotBuilt,
    EnvironmentState,
)
from windvane.ports.runtime import CannotLoad

_PACKAGES, _FILES = "packages", "files.json"
_UNFINISHED = ".building-"
_MOST_WHEELS = 5_000
_POLLS_EVERY_S = 0.05
_SHORT = 12
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class BuildLimits:
    """``within_s``: seconds for one build, and for the wait for somebody else's. ``most_bytes``:
    of all files, downloads included."""

    within_s: float = 1_800.0
    most_bytes: int = 20 << 30


class PipEnvironments:
    """The environment ports over one folder of this machine."""

    def __init__(self, folder: Path, limits: BuildLimits | None = None) -> None:
        self._folder = folder
        self._limits = limits or BuildLimits()
        self._whole: dict[str, str] = {}
        self._checking = threading.Lock()

    def open(self, environment: Environment) -> Path:
        """Contents are read once a process, and again when the file system tells of a change."""
        again = f"`{REBUILD} {environment.id[:_SHORT]}` builds it again"
        try:
            held = self._check(environment.id)
        except Damaged as error:
            said = f"its environment {environment.id[:_SHORT]} is damaged: {error}"
            raise CannotLoad(said, hint=again) from error
        except OSError as error:
            said = f"its environment {environment.id[:_SHORT]} is not on this machine"
            raise CannotLoad(f"{said} ({error.strerror})", hint=again) from error
        if held.packages != environment.packages:
            said = f"its environment {environment.id[:_SHORT]} has other packages by now: "
            raise CannotLoad(said + _other(held, environment), hint=again)
        if held.python != _python():
            raise CannotLoad(
                f"its environment was built for Python {held.python}, this is {_python()}",
                hint="run Windvane on that Python, or register the model again",
            )
        return self._folder / environment.id / _PACKAGES

    @contextmanager
    def build(
        self, requirements: Sequence[str], wheels: Path | None, on_step: Callable[[str], None]
    ) -> Iterator[Environment]:
        given = _hashes(wheels)
        name = environment_id(requirements, _python(), _platform(), given)
        asked = Environment(name, tuple(requirements), _python(), _platform())
        with self._lock_file(name) as lock:
            found = self._shared(name, lock)
            if found is not None:
                on_step(f"the environment {name[:_SHORT]} is there already")
            else:
                self._acquire(lock, name, fcntl.LOCK_EX)
                try:
                    self._check(name)  # somebody else built it meanwhile
                except (Damaged, OSError):
                    self._make(asked, requirements, wheels, on_step, resolve=True)
                found = self._shared(name, lock)
            if found is None:
                raise EnvironmentNotBuilt(f"the environment {name[:_SHORT]} was removed meanwhile")
            yield found

    def rebuild(
        self, environment: Environment, wheels: Path | None, on_step: Callable[[str], None]
    ) -> None:
        if environment.python != _python() or environment.platform != _platform():
            raise EnvironmentNotBuilt(
                f"it is for Python {environment.python} on {environment.platform}, here is "
                f"{_python()} on {_platform()}",
                hint="build it on a machine of that kind, or register the model again",
            )
        pins = [
            f"{one.name}=={one.version}"
            + "".join(f" --hash=sha256:{digest}" for digest in one.sha256)
            for one in environment.packages
        ]
        with self._lock_file(environment.id) as lock:
            self._acquire(lock, environment.id, fcntl.LOCK_EX)
            self._make(environment, pins, wheels, on_step, resolve=False)

    def states(self) -> Sequence[EnvironmentState]:
        names = sorted(p.name for p in self._folder.glob("*") if _is_id(p.name) and p.is_dir())
        return [self._state(name) for name in names]

    def remove(self, environment: str) -> int:
        with self._lock_file(environment) as lock:
            try:
                self._acquire(lock, environment, fcntl.LOCK_EX, within_s=0.0)
            except EnvironmentNotBuilt:
                return 0
            with contextlib.suppress(FileNotFoundError):
                self._put_aside(environment)
            return self._sweep(environment)

    def unfinished(self) -> Sequence[str]:
        found = (p.name.removeprefix(_UNFINISHED) for p in self._folder.glob(f"{_UNFINISHED}*"))
        return sorted({name.partition("-")[0] for name in found})

    def _state(self, name: str) -> EnvironmentState:
        try:
            self._check(name)
            damage = ""
        except (Damaged, OSError) as error:
            damage = str(error)
        return EnvironmentState(name, size_of(self._folder / name), damage)

    def _check(self, name: str) -> Environment:
        """What its folder says of it; raises Damaged, OSError."""
        folder = self._folder / name
        try:
            found = msgspec.json.decode((folder / ENVIRONMENT_FILE).read_bytes(), type=Environment)
            recorded = msgspec.json.decode((folder / _FILES).read_bytes(), type=dict[str, str])
        except msgspec.MsgspecError as error:
            raise Damaged(f"its own record cannot be read: {error}") from error
        except NotADirectoryError as error:
            raise Damaged("it is no folder") from error
        if found.id != name:
            raise Damaged(f"its own record is that of {found.id[:_SHORT]}")
        with self._checking:
            try:
                now = stamp(folder)
                if self._whole.get(name) != now:
                    check_files(folder / _PACKAGES, recorded)
                    self._whole[name] = now
            except FileNotFoundError as error:
                raise Damaged(f"{error.filename} is missing") from error
        return found

    def _make(
        self, asked: Environment, lines: Sequence[str], wheels: Path | None,
        on_step: Callable[[str], None], *, resolve: bool,
    ) -> Environment:  # fmt: skip
        """With its lock held: nobody else makes it."""
        self._sweep(asked.id)
        place = self._folder / f"{_UNFINISHED}{asked.id}-{secrets.token_hex(4)}"
        place.mkdir(mode=0o755)
        try:
            on_step(f"build the environment {asked.id[:_SHORT]}: {_some(lines)}")
            packages = install(
                place, lines, wheels, resolve=resolve, within_s=self._limits.within_s,
                most_bytes=self._limits.most_bytes, on_step=on_step,
            )  # fmt: skip
            if not resolve and _pins(packages) != _pins(asked.packages):
                raise EnvironmentNotBuilt(f"pip installed other packages: {_some(lines)}")
            (place / _PACKAGES).mkdir(exist_ok=True)
            made = replace(asked, packages=packages) if resolve else asked
            (place / ENVIRONMENT_FILE).write_bytes(msgspec.json.encode(made))
            (place / _FILES).write_text(json.dumps(hash_files(place / _PACKAGES)))
            for name in ("tmp", "report.json", "requirements.txt"):
                path = place / name
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
            target = self._folder / asked.id
            with contextlib.suppress(FileNotFoundError):  # a damaged one
                self._put_aside(asked.id)
            place.rename(target)
        except Damaged as error:
            raise EnvironmentNotBuilt(f"a wheel holds what is no plain file: {error}") from error
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return made

    def _put_aside(self, name: str) -> None:
        """Under a name that is never taken for an environment. Raises FileNotFoundError."""
        gone = f"{_UNFINISHED}{name}-{secrets.token_hex(4)}"
        (self._folder / name).rename(self._folder / gone)

    def _sweep(self, name: str) -> int:
        """Remove what builds left that were cut off; its bytes. With the lock held."""
        size = 0
        for left in self._folder.glob(f"{_UNFINISHED}{name}-*"):
            size += size_of(left)
            shutil.rmtree(left, ignore_errors=True)
        return size

    @contextmanager
    def _lock_file(self, name: str) -> Iterator[int]:
        self._folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        lock = os.open(self._folder / f".{name}.lock", flags, 0o600)
        try:
            yield lock
        finally:
            os.close(lock)

    def _shared(self, name: str, lock: int) -> Environment | None:
        """What is there and whole, while nobody can remove it; None where there is nothing."""
        self._acquire(lock, name, fcntl.LOCK_SH)
        try:
            return self._check(name)
        except (Damaged, OSError):
            return None

    def _acquire(self, lock: int, name: str, kind: int, within_s: float | None = None) -> None:
        """Raises EnvironmentNotBuilt where others hold it for too long."""
        wait_s = self._limits.within_s if within_s is None else within_s
        until = time.monotonic() + wait_s
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, kind | fcntl.LOCK_NB)
                return
            if time.monotonic() >= until:
                raise EnvironmentNotBuilt(
                    f"other processes use the environment {name[:_SHORT]} for more than "
                    f"{wait_s:g} s",
                    hint="wait until these registrations are done",
                )
            time.sleep(_POLLS_EVERY_S)


def _python() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def _platform() -> str:
    return sysconfig.get_platform()


def _is_id(name: str) -> bool:
    return len(name) == 64 and set(name) <= set("0123456789abcdef")


def _hashes(wheels: Path | None) -> dict[str, str]:
    """SHA-256 of each wheel in the folder, by its name. Raises EnvironmentNotBuilt."""
    if wheels is None:
        return {}
    if not wheels.is_dir():
        raise EnvironmentNotBuilt(
            f"{wheels} is no folder", hint="--wheels FOLDER holds *.whl files"
        )
    found = sorted(wheels.glob("*.whl"))
    if not 0 < len(found) <= _MOST_WHEELS:
        raise EnvironmentNotBuilt(
            f"{wheels.name} holds {len(found):,} wheels, 1 to {_MOST_WHEELS:,} are allowed",
            hint="`pip download --dest FOLDER --requirement FILE` fills one",
        )
    return {path.name: hash_file(path) for path in found}


def _pins(packages: Sequence[Package]) -> list[tuple[str, str]]:
    return sorted((one.name, one.version) for one in packages)


def _some(lines: Sequence[str]) -> str:
    shown = ", ".join(line.partition(" --hash")[0] for line in lines[:_SHOWN])
    return shown + (f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else "")


def _other(held: Environment, recorded: Environment) -> str:
    """The first package that differs, both sides."""
    here, wanted = held.versions, recorded.versions
    for name in sorted(here.keys() | wanted.keys()):
        if here.get(name) != wanted.get(name):
            return f"{name} {here.get(name, 'none')}, {wanted.get(name, 'none')} was recorded"
    return "their wheels are others"

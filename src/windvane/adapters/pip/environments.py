"""Environments in folders named by the hash of their content.

A folder is made under another name and renamed when it is whole, so that what a crash leaves is
never taken for one. It holds ``packages``, which goes on the path of imports as it is;
``environment.json``, what was asked for first and what came of it; and ``files.json``, the
SHA-256 of each file.
"""

from __future__ import annotations

import contextlib
import json
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from windvane.adapters.pip.install import BuildLimits, Pip, some_lines, some_packages
from windvane.adapters.pip.integrity import (
    Damaged,
    check_files,
    hash_file,
    hash_files,
    size_of,
    stamp,
)
from windvane.adapters.pip.locks import EXCLUSIVE, SHARED, acquire, open_lock
from windvane.adapters.pip.request_index import forget_requests, is_id, open_request
from windvane.adapters.pip.unfinished import (
    erase,
    put_aside,
    remove_leftovers,
    unfinished_folder,
)
from windvane.core.execution import ENVIRONMENT_FILE, Environment, environment_id, request_id
from windvane.ports.environments import (
    REBUILD,
    EnvironmentNotBuilt,
    EnvironmentState,
)
from windvane.ports.runtime import CannotLoad

_PACKAGES, _FILES = "packages", "files.json"
_MOST_WHEELS = 5_000
_SHORT = 12


class PipEnvironments:
    """The environment ports over one folder of this machine."""

    def __init__(self, folder: Path, limits: BuildLimits | None = None) -> None:
        self._folder = folder
        self._limits = limits or BuildLimits()
        self._whole: dict[str, str] = {}
        self._checking = threading.Lock()

    def open(self, environment: Environment) -> Path:
        """Contents are read once a process, and again when the file system tells of a change."""
        if environment.id_of_content != environment.id:
            raise CannotLoad(_misnamed(environment), hint="register the model again")
        again = f"`{REBUILD} {environment.id[:_SHORT]}` builds it again"
        try:
            self._check(environment.id)
        except Damaged as error:
            message = f"its environment {environment.id[:_SHORT]} is damaged: {error}"
            raise CannotLoad(message, hint=again) from error
        except OSError as error:
            message = f"its environment {environment.id[:_SHORT]} is not on this machine"
            raise CannotLoad(f"{message} ({error.strerror})", hint=again) from error
        if environment.python != _python():
            raise CannotLoad(
                f"its environment was built for Python {environment.python}, this is {_python()}",
                hint="run Windvane on that Python, or register the model again",
            )
        return self._folder / environment.id / _PACKAGES

    @contextmanager
    def build(
        self, requirements: Sequence[str], wheels: Path | None, on_step: Callable[[str], None]
    ) -> Iterator[Environment]:
        request = request_id(requirements, _python(), _platform(), _hashes(wheels))
        self._folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            with open_request(self._folder, request, self._limits.within_s) as entry:
                known = entry.read()
                found = self._hold(known, held) if known else None
                if found is None:
                    found = self._resolve(requirements, wheels, on_step, held)
                    entry.write(found.id)
                else:
                    on_step(f"the environment {found.id[:_SHORT]} is there already")
            yield replace(found, requirements=tuple(requirements))

    def rebuild(
        self, environment: Environment, wheels: Path | None, on_step: Callable[[str], None]
    ) -> None:
        if environment.id_of_content != environment.id:
            raise EnvironmentNotBuilt(_misnamed(environment), hint="register the model again")
        if environment.python != _python() or environment.platform != _platform():
            raise EnvironmentNotBuilt(
                f"it is for Python {environment.python} on {environment.platform}, here is "
                f"{_python()} on {_platform()}",
                hint="build it on a machine of that kind, or register the model again",
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._lock(environment.id) as lock:
            self._acquire(lock, environment.id, EXCLUSIVE)
            remove_leftovers(self._folder)
            with unfinished_folder(self._folder) as place:
                pip = Pip(place, wheels, self._limits, on_step)
                self._install(environment, place, pip, on_step)

    def states(self) -> Sequence[EnvironmentState]:
        names = sorted(p.name for p in self._folder.glob("*") if is_id(p.name) and p.is_dir())
        return [self._state(name) for name in names]

    def remove(self, environment: str) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._lock(environment) as lock:
            try:
                self._acquire(lock, environment, EXCLUSIVE, within_s=0.0)
            except EnvironmentNotBuilt:
                return 0
            forget_requests(self._folder, environment)
            with contextlib.suppress(FileNotFoundError):
                return erase(put_aside(self._folder / environment))
            return 0

    def remove_leftovers(self) -> int:
        return remove_leftovers(self._folder)

    def _resolve(
        self, requirements: Sequence[str], wheels: Path | None, on_step: Callable[[str], None],
        held: ExitStack,
    ) -> Environment:  # fmt: skip
        """The environment that the requirements come to now, built unless it is there; ``held``
        keeps it from being removed."""
        remove_leftovers(self._folder)
        with unfinished_folder(self._folder) as place:
            pip = Pip(place, wheels, self._limits, on_step)
            on_step(f"resolve {some_lines(requirements)}")
            packages = pip.resolve(requirements)
            name = environment_id(packages, _python(), _platform())
            asked = Environment(name, tuple(requirements), _python(), _platform(), packages)
            found = self._hold(name, held)
            if found is not None:  # other requirements came to it
                on_step(f"the environment {name[:_SHORT]} is there already")
                return found
            with self._lock(name) as lock:
                with pip.paused():
                    self._acquire(lock, name, EXCLUSIVE)
                try:
                    self._check(name)  # somebody else built it meanwhile
                except (Damaged, OSError):
                    self._install(asked, place, pip, on_step)
        found = self._hold(name, held)
        if found is None:
            raise EnvironmentNotBuilt(f"the environment {name[:_SHORT]} was removed meanwhile")
        return found

    def _install(
        self, asked: Environment, place: Path, pip: Pip, on_step: Callable[[str], None]
    ) -> None:
        """With its lock held: nobody else makes it."""
        on_step(f"build the environment {asked.id[:_SHORT]}: {some_packages(asked.packages)}")
        pip.install(asked.packages)
        pip.remove_work()
        (place / _PACKAGES).mkdir(exist_ok=True)
        (place / _PACKAGES).chmod(0o755)
        try:
            files = hash_files(place / _PACKAGES)
        except Damaged as error:
            raise EnvironmentNotBuilt(f"a wheel holds what is no plain file: {error}") from error
        (place / ENVIRONMENT_FILE).write_bytes(msgspec.json.encode(asked))
        (place / _FILES).write_text(json.dumps(files))
        target, replaced = self._folder / asked.id, None
        with contextlib.suppress(FileNotFoundError):  # a damaged one
            replaced = put_aside(target)
        place.rename(target)
        if replaced is not None:
            erase(replaced)

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
        if not found.id == found.id_of_content == name:
            raise Damaged(f"its own record is that of {found.id_of_content[:_SHORT]}")
        with self._checking:
            try:
                now = stamp(folder)
                if self._whole.get(name) != now:
                    check_files(folder / _PACKAGES, recorded)
                    self._whole[name] = now
            except FileNotFoundError as error:
                raise Damaged(f"{error.filename} is missing") from error
        return found

    def _hold(self, name: str, held: ExitStack) -> Environment | None:
        """What is there and whole, which nobody removes while ``held`` is open; None where there
        is nothing."""
        with ExitStack() as own:
            lock = own.enter_context(self._lock(name))
            self._acquire(lock, name, SHARED)
            try:
                found = self._check(name)
            except (Damaged, OSError):
                return None
            held.push(own.pop_all())
            return found

    def _lock(self, name: str) -> AbstractContextManager[int]:
        return open_lock(self._folder / f".{name}.lock")

    def _acquire(self, lock: int, name: str, kind: int, within_s: float | None = None) -> None:
        """Raises EnvironmentNotBuilt where others hold it for too long."""
        wait_s = self._limits.within_s if within_s is None else within_s
        acquire(lock, kind, wait_s, f"the environment {name[:_SHORT]}")


def _python() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def _platform() -> str:
    return sysconfig.get_platform()


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


def _misnamed(environment: Environment) -> str:
    return (
        f"its record names the environment {environment.id[:_SHORT]}, the packages in it are "
        f"those of {environment.id_of_content[:_SHORT]}"
    )

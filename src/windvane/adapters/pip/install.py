"""pip in a process of its own, within bounds of time and room."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.adapters.pip.integrity import size_of
from windvane.core.execution import Package, package_name
from windvane.ports.environments import EnvironmentNotBuilt

_INSTALLING = "install its packages"
_LOOKS_EVERY_S = 0.5
_WEIGHS_EVERY_S = 3.0
_ENDS_WITHIN_S = 10.0
_LAST_LINES = 5
_SHOWN = 5
_LAST_BYTES = 16_384
_MOST_REPORT = 64 << 20
_CREDENTIALS = re.compile(r"://[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class BuildLimits:
    """``within_s``: seconds for one build, and for the wait for somebody else's. ``most_bytes``:
    of all files, downloads included."""

    within_s: float = 1_800.0
    most_bytes: int = 20 << 30


class Pip:
    """The calls of pip that make one environment, together within the limits.

    All that is written is below ``folder``. Only wheels are taken, so that nothing of a package
    is run; ``wheels`` is the folder that alone they come from.
    """

    def __init__(
        self, folder: Path, wheels: Path | None, limits: BuildLimits, on_step: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._wheels = wheels
        self._limits = limits
        self._on_step = on_step
        self._until = time.monotonic() + limits.within_s

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What passes meanwhile does not count."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._until += time.monotonic() - began

    def resolve(self, requirements: Sequence[str]) -> tuple[Package, ...]:
        """What would be installed, by name, each with the SHA-256 of its wheel; nothing is.
        Raises EnvironmentNotBuilt."""
        return self._run(requirements, "--dry-run")

    def install(self, packages: Sequence[Package]) -> None:
        """Install these and nothing else into ``folder``/packages. Raises EnvironmentNotBuilt."""
        pins = [
            f"{one.name}=={one.version}"
            + "".join(f" --hash=sha256:{digest}" for digest in one.sha256)
            for one in packages
        ]
        # Without hashes pip would take any wheel of that version.
        found = self._run(pins, "--no-deps", "--require-hashes")
        if list(found) != list(packages):
            raise EnvironmentNotBuilt(
                f"pip installed {some_packages(found)}; {some_packages(packages)} is wanted"
            )

    def remove_work(self) -> None:
        """All but what was installed and what pip said."""
        shutil.rmtree(self._folder / "tmp", ignore_errors=True)
        for name in ("report.json", "requirements.txt"):
            (self._folder / name).unlink()

    def _run(self, lines: Sequence[str], *options: str) -> tuple[Package, ...]:
        folder = self._folder
        asked, report, log = folder / "requirements.txt", folder / "report.json", folder / "pip.log"
        asked.write_text("".join(f"{line}\n" for line in lines))
        report.unlink(missing_ok=True)
        # A dry run with --target sees none of the packages that are installed here, either.
        command = [
            sys.executable, "-I", "-m", "pip", "install", "--no-input", "--progress-bar=off",
            "--disable-pip-version-check", "--no-warn-conflicts", "--only-binary=:all:",
            f"--target={folder / 'packages'}", f"--report={report}", f"--requirement={asked}",
            *options,
        ]  # fmt: skip
        if self._wheels is not None:
            # Nothing that is configured may add another place to look.
            command += ["--isolated", "--no-index", f"--find-links={self._wheels.resolve()}"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        environment["TMPDIR"] = str(folder / "tmp")
        (folder / "tmp").mkdir(exist_ok=True)
        with open(log, "wb") as output:
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True, umask=0o022,
            )  # fmt: skip
        try:
            status = self._watch(process, log)
        finally:
            _end(process)
        if status:
            raise EnvironmentNotBuilt(f"pip ended with status {status}: {_last_words(log)}")
        return _reported(report)

    def _watch(self, process: subprocess.Popen[bytes], log: Path) -> int:
        limits = self._limits
        weighs_at, installing = 0.0, False
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                left = max(0.0, self._until - time.monotonic())
                status = process.wait(timeout=min(_LOOKS_EVERY_S, left))
                _check_size(self._folder, limits.most_bytes)
                if not installing and _installs(log):
                    self._on_step(_INSTALLING)
                return status
            now = time.monotonic()
            if now >= self._until:
                raise EnvironmentNotBuilt(
                    f"it took longer than the {limits.within_s:g} s that are allowed; pip's last "
                    f"words: {_last_words(log)}"
                )
            if now >= weighs_at:
                _check_size(self._folder, limits.most_bytes)
                weighs_at = now + _WEIGHS_EVERY_S
            if not installing and _installs(log):
                installing = True
                self._on_step(_INSTALLING)


def some_packages(packages: Sequence[Package]) -> str:
    """The first of them, to be shown."""
    if not packages:
        return "no packages"
    return some_lines([f"{one.name}=={one.version}" for one in packages])


def some_lines(lines: Sequence[str]) -> str:
    """The first of them, without hashes, to be shown."""
    shown = ", ".join(line.partition(" --hash")[0] for line in lines[:_SHOWN])
    return shown + (f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else "")


def _installs(log: Path) -> bool:
    return b"Installing collected packages" in _tail(log)


def _check_size(folder: Path, most: int) -> None:
    size = size_of(folder)
    if size > most:
        raise EnvironmentNotBuilt(f"its packages hold {size:,} bytes > {most:,} allowed")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_ENDS_WITHIN_S)


def _tail(log: Path) -> bytes:
    with open(log, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _LAST_BYTES))
        return file.read(_LAST_BYTES)


def _last_words(log: Path) -> str:
    """What pip called an error, else its last lines; without what may be a password."""
    lines = [line.strip() for line in _tail(log).decode(errors="replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith(("WARNING", "[notice]"))]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    text = "; ".join(line[:300] for line in (errors or lines)[-_LAST_LINES:])
    return _CREDENTIALS.sub("://", text) or "it said nothing"


def _reported(report: Path) -> tuple[Package, ...]:
    try:
        if report.stat().st_size > _MOST_REPORT:
            raise EnvironmentNotBuilt(f"pip's report is beyond {_MOST_REPORT:,} bytes")
        document: Any = json.loads(report.read_bytes())
        found = [_package(one) for one in document["install"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EnvironmentNotBuilt(
            f"pip gave no report of what it takes: {error}", hint="pip 23.1 or newer is needed"
        ) from error
    return tuple(sorted(found, key=lambda one: one.name))


def _package(entry: Any) -> Package:
    metadata = entry["metadata"]
    name, version = package_name(metadata["name"]), metadata["version"]
    archive = entry.get("download_info", {}).get("archive_info", {})
    digest = archive.get("hashes", {}).get("sha256", "")
    if not digest:
        raise EnvironmentNotBuilt(
            f"pip names no SHA-256 of the wheel of {name} {version}, by which it is known again",
            hint="give a folder that has all wheels: --wheels FOLDER",
        )
    return Package(name, version, (digest,))

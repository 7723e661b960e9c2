"""pip in a process of its own, within bounds of time and room."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
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
_LAST_BYTES = 16_384
_MOST_REPORT = 64 << 20
_CREDENTIALS = re.compile(r"://[^/@\s]+@")


def install(
    folder: Path,
    requirements: Sequence[str],
    wheels: Path | None,
    *,
    resolve: bool,
    within_s: float,
    most_bytes: int,
    on_step: Callable[[str], None],
) -> tuple[Package, ...]:
    """Install into ``folder``/packages, from wheels alone, so that nothing of a package is run;
    what was installed, by name. Not ``resolve``: the requirements are all there is to install.

    Raises EnvironmentNotBuilt.
    """
    asked, report, log = folder / "requirements.txt", folder / "report.json", folder / "pip.log"
    asked.write_text("".join(f"{line}\n" for line in requirements))
    command = [
        sys.executable, "-I", "-m", "pip", "install", "--no-input", "--progress-bar=off",
        "--disable-pip-version-check", "--no-warn-conflicts", "--only-binary=:all:",
        f"--target={folder / 'packages'}", f"--report={report}", f"--requirement={asked}",
    ]  # fmt: skip
    if wheels is not None:
        # Nothing that is configured may add another place to look.
        command += ["--isolated", "--no-index", f"--find-links={wheels.resolve()}"]
    if not resolve:
        command.append("--no-deps")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment["TMPDIR"] = str(folder / "tmp")
    (folder / "tmp").mkdir()
    with open(log, "wb") as told:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=told,
            stderr=subprocess.STDOUT, start_new_session=True, umask=0o022,
        )  # fmt: skip
    try:
        status = _watch(process, folder, log, within_s, most_bytes, on_step)
    finally:
        _end(process)
    if status:
        raise EnvironmentNotBuilt(f"pip ended with status {status}: {_last_words(log)}")
    return _installed(report)


def _watch(
    process: subprocess.Popen[bytes],
    folder: Path,
    log: Path,
    within_s: float,
    most_bytes: int,
    on_step: Callable[[str], None],
) -> int:
    until = time.monotonic() + within_s
    weighs_at, installing = 0.0, False
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = process.wait(timeout=_LOOKS_EVERY_S)
            _check_size(folder, most_bytes)
            if not installing and _installs(log):
                on_step(_INSTALLING)
            return status
        now = time.monotonic()
        if now >= until:
            raise EnvironmentNotBuilt(
                f"it took longer than the {within_s:g} s that are allowed; pip's last words: "
                f"{_last_words(log)}"
            )
        if now >= weighs_at:
            _check_size(folder, most_bytes)
            weighs_at = now + _WEIGHS_EVERY_S
        if not installing and _installs(log):
            installing = True
            on_step(_INSTALLING)


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
    told = "; ".join(line[:300] for line in (errors or lines)[-_LAST_LINES:])
    return _CREDENTIALS.sub("://", told) or "it said nothing"


def _installed(report: Path) -> tuple[Package, ...]:
    try:
        if report.stat().st_size > _MOST_REPORT:
            raise EnvironmentNotBuilt(f"pip's report is beyond {_MOST_REPORT:,} bytes")
        told: Any = json.loads(report.read_bytes())
        found = [_package(one) for one in told["install"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EnvironmentNotBuilt(
            f"pip gave no report of what it installed: {error}", hint="pip 23.1 or newer is needed"
        ) from error
    return tuple(sorted(found, key=lambda one: one.name))


def _package(told: Any) -> Package:
    archive = told.get("download_info", {}).get("archive_info", {})
    digest = archive.get("hashes", {}).get("sha256", "")
    metadata = told["metadata"]
    return Package(package_name(metadata["name"]), metadata["version"], (digest,) if digest else ())

"""One sandbox process: started, asked, and ended when it does not answer in time."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import msgspec

from windvane.adapters.sandbox.isolation import start_with
from windvane.adapters.sandbox.limits import Limits
from windvane.adapters.sandbox.reserve import reserve
from windvane.ports.artifacts import Artifact
from windvane.ports.message_line import MessageTooLarge, exchange
from windvane.ports.runtime import RuntimeFailed
from windvane.ports.sandbox import Answer, Failed, Order, Reply

_ENDS_WITHIN_S = 5.0
_replies = msgspec.msgpack.Decoder(Reply)


class SandboxProcess:
    """A started process with its private folder. Not for two threads at once."""

    def __init__(
        self, artifact: Artifact, limits: Limits, log: Path | None, spawner: ThreadPoolExecutor,
        log_format: str, packages: Path | None = None,
    ) -> None:  # fmt: skip
        """``packages``: those of its own, in place of ours."""
        self._held: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._folder, self._held = reserve(limits, log)
        try:
            (self._folder / "root").mkdir()
            (self._folder / "root").chmod(0o755)  # whatever this process' umask
            inside = self._folder / "inside"
            for name in ("", "files", "home", "tmp"):
                (inside / name).mkdir(mode=0o700)
            artifact.copy_to(inside / "files")
            ours, theirs = socket.socketpair()
            self._line = ours
            with theirs:
                # The kernel ends the sandbox with the *thread* that started it: this one stays.
                started = spawner.submit(_spawn, theirs, inside, limits, log, log_format, packages)
                self._process = started.result(timeout=limits.load_s)
        except BaseException:
            self.end()
            raise

    @property
    def memory(self) -> int:
        """Bytes that it holds in memory now; 0 if it is gone."""
        pages = 0
        for pid in (self.pid, *self._children()):
            with contextlib.suppress(OSError, IndexError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def _children(self) -> list[int]:
        """The process that runs the code, where the started one only waits for it."""
        try:
            return [
                *map(int, Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split())
            ]
        except OSError:  # gone, or a kernel that does not tell
            return []

    def ask(self, order: Order, within_s: float, most: int) -> Answer:
        """Its answer of at most ``most`` bytes; raises RuntimeFailed, also for its refusals."""
        until = time.monotonic() + within_s
        line = self._line
        assert line is not None
        try:
            body = msgspec.msgpack.encode(order)
            reply = _replies.decode(exchange(line, body, until, most))
        except MessageTooLarge as error:
            raise RuntimeFailed(str(error)) from None
        except TimeoutError:
            raise RuntimeFailed(f"no answer within {within_s:g} s, so it was ended") from None
        except OSError as error:
            raise RuntimeFailed(self._last_words(error)) from error
        except msgspec.MsgspecError as error:
            raise RuntimeFailed(f"it answered nonsense: {error}") from error
        if isinstance(reply, Failed):
            raise Refused(reply.message, at_load=reply.at_load)
        return reply

    def end(self) -> None:
        """Kill it with all that it started in its group, and forget its folder."""
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._process is not None:
            # The child first: so the process that waits for it collects it, and it is not left
            # to whatever is the first process of this machine or container.
            for pid in self._children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout=1.0)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_ENDS_WITHIN_S)
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._held is not None:
            self._held.close()
            self._held = None

    def _last_words(self, error: OSError) -> str:
        process = self._process
        assert process is not None
        try:
            status = process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return f"its process closed the line ({error})"
        if status < 0:
            return f"its process was ended by {signal.Signals(-status).name}"
        return f"its process ended with status {status}"


class Refused(RuntimeFailed):
    """The process lives and says what is wrong."""

    alive = True

    def __init__(self, message: str, *, at_load: bool) -> None:
        super().__init__(message)
        self.at_load = at_load


def _spawn(
    line: socket.socket, inside: Path, limits: Limits, log: Path | None, log_format: str,
    packages: Path | None,
) -> subprocess.Popen[bytes]:  # fmt: skip
    start = ["-m", "windvane.apps.sandbox"] if packages is None else start_with(packages)
    command = [
        sys.executable, "-I", "-B", *start,
        *map(str, (line.fileno(), os.getpid(), limits.memory, limits.file_bytes)),
        ",".join(sorted(limits.require)), log_format, log.stem if log else "sandbox",
    ]  # fmt: skip
    with open(log or os.devnull, "wb") as output:
        return subprocess.Popen(
            command, cwd=inside, env=_environment(inside), pass_fds=[line.fileno()],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True, umask=0o022,
        )  # fmt: skip


def _environment(inside: Path) -> dict[str, str]:
    """All that it inherits: no secret, one thread, nothing fetched."""
    one = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX")
    off = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "PYTHONDONTWRITEBYTECODE")
    return {
        "PATH": os.defpath,
        "HOME": str(inside / "home"),
        "TMPDIR": str(inside / "tmp"),
        "LANG": "C.UTF-8",
        "USER": "windvane",  # its user has a number only, and some libraries ask for a name
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
        **dict.fromkeys((*one, *off), "1"),
    }

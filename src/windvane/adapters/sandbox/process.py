"""One sandbox process: started, asked, and ended when it does not answer in time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from windvane.ports.artifacts import Artifact
from windvane.ports.runtime import RuntimeFailed
from windvane.ports.sandbox import LENGTH_BYTES, Answer, Failed, Order, Reply

_PREFIX = "windvane-sandbox-"
_ENDS_WITHIN_S = 5.0
_MIB = 1 << 20
_replies = msgspec.msgpack.Decoder(Reply)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one sandbox may use.

    ``memory``: bytes of address space (libraries count too: scikit-learn needs 1 GiB, PyTorch
    3). ``file_bytes``: of any one file that it writes, its log included. ``load_s`` and
    ``predict_s``: seconds on the wall's clock, after which it is killed. ``first_wait_s`` to
    ``last_wait_s``: how long a sandbox that failed rests, doubled with each failure.
    """

    memory: int = 4096 * _MIB
    file_bytes: int = 64 * _MIB
    load_s: float = 60.0
    predict_s: float = 5.0
    first_wait_s: float = 0.5
    last_wait_s: float = 60.0


class SandboxProcess:
    """A started process with its private folder. Not for two threads at once."""

    def __init__(
        self, artifact: Artifact, limits: Limits, log: Path | None, spawner: ThreadPoolExecutor
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._held: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        try:
            self._held = (self._folder / ".held").open("wb")
            fcntl.flock(self._held, fcntl.LOCK_EX)
            inside = self._folder / "inside"
            for name in ("", "files", "home", "tmp"):
                (inside / name).mkdir(mode=0o700)
            artifact.copy_to(inside / "files")
            ours, theirs = socket.socketpair()
            self._line = ours
            with theirs:
                # The kernel ends the sandbox with the *thread* that started it: this one stays.
                started = spawner.submit(_spawn, theirs, inside, limits, log)
                self._process = started.result(timeout=limits.load_s)
        except BaseException:
            self.end()
            raise

    @property
    def memory(self) -> int:
        """Bytes that it holds in memory now; 0 if it is gone."""
        if self._process is None:
            return 0
        try:
            pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def ask(self, order: Order, within_s: float, most: int) -> Answer:
        """Its answer of at most ``most`` bytes; raises RuntimeFailed, also for its refusals."""
        until = time.monotonic() + within_s
        body = msgspec.msgpack.encode(order)
        try:
            self._send(len(body).to_bytes(LENGTH_BYTES, "big") + body, until)
            size = int.from_bytes(self._receive(LENGTH_BYTES, until), "big")
            if size > most:
                raise RuntimeFailed(f"it answered {size:,} bytes, {most:,} allowed")
            reply = _replies.decode(self._receive(size, until))
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
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_ENDS_WITHIN_S)
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._held is not None:
            self._held.close()
            self._held = None

    def _send(self, body: bytes, until: float) -> None:
        line = self._line
        assert line is not None
        line.settimeout(max(until - time.monotonic(), 0.001))
        line.sendall(body)

    def _receive(self, size: int, until: float) -> bytes:
        line = self._line
        assert line is not None
        found = bytearray()
        while len(found) < size:
            left = until - time.monotonic()
            if left <= 0.0:
                raise TimeoutError
            line.settimeout(left)
            part = line.recv(min(size - len(found), _MIB))
            if not part:
                raise ConnectionResetError("it hung up")
            found += part
        return bytes(found)

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
    """The process lives and says what is wrong. Only this adapter sees the difference."""

    def __init__(self, message: str, *, at_load: bool) -> None:
        super().__init__(message)
        self.at_load = at_load


def sweep() -> None:
    """Remove the folders of processes that died without a chance to."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), _alone(folder / ".held"):
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _spawn(
    line: socket.socket, inside: Path, limits: Limits, log: Path | None
) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-I", "-m", "windvane.apps.sandbox",
        *map(str, (line.fileno(), os.getpid(), limits.memory, limits.file_bytes)),
    ]  # fmt: skip
    with open(log or os.devnull, "wb") as told:
        return subprocess.Popen(
            command, cwd=inside, env=_environment(inside), pass_fds=[line.fileno()],
            stdin=subprocess.DEVNULL, stdout=told, stderr=subprocess.STDOUT,
            start_new_session=True,
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
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
        **dict.fromkeys((*one, *off), "1"),
    }

"""Processes that measure: started, asked over a socket, and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from windvane.ports.measuring import (
    Executions,
    MeasureCommand,
    MeasureOrder,
    MeasureReply,
    MeasureRound,
    MeasureSteps,
    MeasuringFailed,
    NotMeasured,
    Started,
    StepTimes,
)
from windvane.ports.message_line import MessageTooLarge, exchange

_MODULE = "windvane.apps.gateway.measure"
_START_WITHIN_S = 60.0
_SLACK_S = 60.0  # one execution may take as long as the sandbox lets it
_ENDS_WITHIN_S = 5.0
_MOST_BYTES = 4 << 20
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_replies = msgspec.msgpack.Decoder(MeasureReply)


class Measured:
    """One process with a loaded version."""

    def __init__(self, order: MeasureOrder, folder: Path) -> None:
        log = folder / "logs" / "measure.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        self._line, theirs = socket.socketpair()
        try:
            with theirs, log.open("ab") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", _MODULE, str(theirs.fileno())],
                    env={**os.environ, **dict.fromkeys(_THREADS, str(order.threads))},
                    pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=output,
                    stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
        except BaseException:
            self._line.close()
            raise
        try:
            started = self._ask(order, _START_WITHIN_S)
            assert isinstance(started, Started)
        except BaseException:
            self.close()
            raise
        self.memory = started.memory

    def round(self, batch: int, within_s: float) -> Sequence[float]:
        found = self._ask(MeasureRound(batch, within_s), within_s + _SLACK_S)
        assert isinstance(found, Executions)
        return found.seconds

    def steps(self, within_s: float) -> StepTimes:
        found = self._ask(MeasureSteps(within_s), within_s + _SLACK_S)
        assert isinstance(found, StepTimes)
        return found

    def close(self) -> None:
        self._line.close()
        try:
            # It ends by itself, and its sandbox with it, once nobody is at the other end.
            self._process.wait(timeout=_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=_ENDS_WITHIN_S)

    def _ask(self, command: MeasureCommand, within_s: float) -> MeasureReply:
        until = time.monotonic() + within_s
        body = msgspec.msgpack.encode(command)
        try:
            reply = _replies.decode(exchange(self._line, body, until, _MOST_BYTES))
        except MessageTooLarge as error:
            raise MeasuringFailed(str(error)) from None
        except TimeoutError:
            raise MeasuringFailed(f"no measurement within {within_s:g} s") from None
        except OSError as error:
            raise MeasuringFailed(f"the process that measures ended: {error}") from error
        except msgspec.MsgspecError as error:
            raise MeasuringFailed(f"it answered nonsense: {error}") from error
        if isinstance(reply, NotMeasured):
            raise MeasuringFailed(reply.message)
        return reply


class MeasuringProcesses:
    """The measuring port: processes of the home in ``folder``, which the environment names to
    them as well."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def start(self, order: MeasureOrder) -> Measured:
        return Measured(order, self._folder)

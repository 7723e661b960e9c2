"""One loaded version, the rows that wait for it, and what was learnt about its speed."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

from windvane.core.execution import ALL_CLOSED, BreakerPolicy, Circuits
from windvane.core.task import OutputRow, Task
from windvane.inference.elsewhere import ElsewherePredictor
from windvane.ports.runtime import Explainer, Predictor, RemotePredictor
from windvane.ports.tracing import RequestTrace

RowOutputs = list[OutputRow | Exception]


class Waiter(Protocol):
    """Who waits for a job's outputs; a future is one. ``set_result`` does not raise."""

    def done(self) -> bool: ...
    def set_result(self, result: RowOutputs, /) -> None: ...


class Job:
    """The rows of one request for one version, whose they are (EVERYBODY if nobody says), and who
    waits for them until ``deadline``. A version has until ``until``, which is later where the
    client allows less than the model's file. All times are of the engine's monotonic clock.
    ``trace`` is the request's, if any. ``background``: rows that no client sent; their failure is
    nobody's fault and is not looked into.
    """

    __slots__ = (
        "background", "deadline", "rows", "tenant", "timer", "trace", "until", "waiter",
    )  # fmt: skip

    def __init__(
        self, rows: Sequence[Sequence[Any]], waiter: Waiter, deadline: float, tenant: str
    ) -> None:
        self.rows = rows
        self.waiter = waiter
        self.deadline = self.until = deadline
        self.tenant = tenant
        self.timer: Any = None
        self.background = False
        self.trace: RequestTrace | None = None


class ModelQueue:
    """One loaded version and the rows that wait for it.

    ``row_s`` is what a row cost lately, in seconds; ``threaded`` whether it runs on a thread, and
    ``against`` how many executions one after another said that it should not be so.
    ``running`` executions are under way, at most the predictor's ``concurrency`` of a remote one;
    ``leases`` are held by who uses it beside executions. ``background`` rows, of the contract, are
    what a row is compared with to be explained.
    """

    __slots__ = (
        "against", "background", "busy", "circuit", "circuits", "closed", "elsewhere",
        "executor", "explainer", "jobs", "leases", "local", "model", "predictor", "remote", "row_s",
        "running", "task", "threaded", "took_rows", "took_s", "used", "version", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        model: str,
        version: str,
        predictor: Predictor | RemotePredictor,
        task: Task,
        row_s: float,
        circuit: BreakerPolicy,
        *,
        threaded: bool = False,
        background: Sequence[tuple[Any, ...]] = (),
    ) -> None:
        self.model = model
        self.version = version
        self.predictor = predictor
        self.task = task
        self.circuit = circuit
        self.row_s = row_s
        self.took_s = row_s
        self.took_rows = 1.0
        self.remote = predictor if isinstance(predictor, RemotePredictor) else None
        self.local = predictor if not isinstance(predictor, RemotePredictor) else None
        self.explainer = predictor if isinstance(predictor, Explainer) else None
        self.background = background
        self.elsewhere = isinstance(predictor, ElsewherePredictor)
        self.leases = 0
        self.closed = False
        self.threaded = threaded or predictor.blocking
        self.against = 0
        self.jobs: list[Job] = []
        self.waiting = 0
        self.busy = 0
        self.running = 0
        self.used = 0.0
        self.circuits: Circuits = ALL_CLOSED
        self.executor: ThreadPoolExecutor | None = None

    @property
    def idle(self) -> bool:
        """Whether it may be unloaded."""
        return not self.busy and not self.jobs and not self.leases

    @property
    def apart(self) -> bool:
        """Whether its executions do not hold the event loop."""
        return self.threaded or self.remote is not None

    @property
    def full(self) -> bool:
        """Whether no execution more may begin."""
        most = self.remote.concurrency if self.remote is not None else 1
        return self.running >= most

    def wait_s(self) -> float:
        """About how long a row that comes now waits for its turn."""
        most = self.remote.concurrency if self.remote is not None else 1
        return (self.waiting + self.busy) * self.row_s / most

    @contextmanager
    def lease(self) -> Generator[None]:
        """It is not unloaded meanwhile."""
        self.leases += 1
        try:
            yield
        finally:
            self.leases -= 1

    def close(self) -> None:
        """Wait for nothing; to end a predictor may take long, so it is done on its own thread
        where it has one."""
        self.closed = True
        if self.executor is not None:
            self.executor.submit(self.predictor.close)
            self.executor.shutdown(wait=False)
        else:
            self.predictor.close()

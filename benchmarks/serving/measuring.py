"""One server: start it, hold its answers against the model's, load it, end it."""

from __future__ import annotations

import hashlib
import math
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from .cores import SERVER_CORE
from .load import Load, LoadGenerator, Requests, median
from .model import Model
from .processes import Running, ServerFailed, free_port, resident_mib
from .rows import Rows
from .servers import Kind, Server, Site
from .shapes import write_requests

TOLERANCE = 1e-6  # of a probability: runtimes may add trees in another order
UP_WITHIN_S = 120.0
_ASKED = 64
SETTLE_WITHIN_S = 60.0
_PAUSE_S = 1.0  # for what the load generator left behind unanswered when its time was over


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often, in seconds. The median over ``repeats`` counts, and over
    ``rounds``, each started afresh."""

    concurrencies: tuple[int, ...] = (1, 16, 64)
    warmup: float = 3.0
    seconds: float = 4.0
    repeats: int = 3
    rounds: int = 1


@dataclass(frozen=True, slots=True)
class Turns:
    """How often servers that run side by side are asked by turns, for so many seconds each: as
    fast as they can, and, fewer times, at half of what was found a moment before, and so on."""

    connections: int = 64
    turns: int = 25
    seconds: float = 2.0
    turns_at_half: int = 12
    seconds_at_half: float = 4.0
    turns_at_same: int = 8
    turns_of_many_rows: int = 8
    connections_of_many_rows: int = 16
    turns_of_tasks: int = 12
    turns_of_bad_rows: int = 12


@dataclass(frozen=True, slots=True)
class Mode:
    """How much of a run: what is measured is the same in all."""

    name: str
    ours: Plan
    peers: Plan
    turns: Turns


FULL = Mode("full", Plan(warmup=2.0, seconds=5.0, repeats=1, rounds=3), Plan(), Turns())
SHORT = Mode(
    "short",
    Plan((1, 64), warmup=1.0, seconds=3.0, repeats=1),
    Plan((1, 64), warmup=1.0, seconds=2.0, repeats=1),
    Turns(
        turns=4, turns_at_half=3, seconds_at_half=3.0, turns_at_same=3, turns_of_many_rows=2,
        turns_of_tasks=4, turns_of_bad_rows=3,
    ),
)  # fmt: skip
_TRY = Plan(warmup=1.0, seconds=3.0, repeats=1)
QUICK = Mode(
    "quick", _TRY, _TRY,
    Turns(
        turns=2, turns_at_half=2, turns_at_same=2, turns_of_many_rows=1, turns_of_tasks=2,
        turns_of_bad_rows=2,
    ),
)  # fmt: skip
Rates = Mapping[str, tuple[tuple[str, ...], float]]
"""By a name: which servers are asked, and how many requests a second; 0 for half of what the last
of them can do, found anew in each turn."""
MODES = {mode.name: mode for mode in (FULL, SHORT, QUICK)}
FAILURES = (ServerFailed, RuntimeError, OSError, subprocess.SubprocessError)


@dataclass(frozen=True, slots=True)
class Measured:
    """A server's figures; ``error`` says why there are none.

    ``loads`` by connections, as fast as it can; ``fixed`` at ``rate`` requests a second.
    ``difference`` is the largest from the model's own probabilities. ``after_s`` is the most
    processor time, in seconds, that it took after a load to come to rest. ``memory_mib`` is of
    all its processes after the load, ``worker_mib`` of the one that answers.
    """

    name: str
    kind: Kind
    error: str = ""
    loads: Mapping[int, Load] = field(default_factory=dict[int, Load])
    rate: float = math.nan
    fixed: Load | None = None
    difference: float = math.nan
    after_s: float = math.nan
    memory_mib: float = math.nan
    worker_mib: float = math.nan

    @property
    def clean(self) -> bool:
        """Every answer was a 2xx, and there were some."""
        return (
            not self.error
            and bool(self.loads)
            and all(load.clean for load in [*self.loads.values(), self.fixed] if load is not None)
        )

    @property
    def capacity(self) -> float:
        """Requests a second with the most connections, NaN if it was not measured."""
        return self.loads[max(self.loads)].rps if self.loads else math.nan

    def to_dict(self) -> dict[str, Any]:
        def number(value: float) -> float | None:
            return value if math.isfinite(value) else None

        return {
            "server": self.name,
            "kind": self.kind.value,
            "error": self.error,
            "loads": {str(c): load.to_dict() for c, load in self.loads.items()},
            "rate": number(self.rate),
            "fixed": self.fixed.to_dict() if self.fixed else None,
            "difference": number(self.difference),
            "after_s": number(self.after_s),
            "memory_mib": number(self.memory_mib),
            "worker_mib": number(self.worker_mib),
        }


def merge(rounds: Sequence[Measured]) -> Measured:
    """The medians of several rounds of one server; the most of what may only be so much. A
    round without figures stands for all."""
    failed = next((m for m in rounds if m.error), None)
    if failed is not None or len(rounds) == 1:
        return failed or rounds[0]
    first = rounds[0]
    fixed = [m.fixed for m in rounds if m.fixed is not None]
    return replace(
        first,
        loads={c: median([m.loads[c] for m in rounds]) for c in first.loads},
        rate=statistics.median(m.rate for m in rounds),
        fixed=median(fixed) if fixed else None,
        difference=max(m.difference for m in rounds),
        after_s=max(m.after_s for m in rounds),
        memory_mib=max(m.memory_mib for m in rounds),
        worker_mib=max(m.worker_mib for m in rounds),
    )


@contextmanager
def blamed(name: str, running: Running) -> Generator[None]:
    """What goes wrong with a load is told with whose it was, and with its last words."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise ServerFailed(f"{name}: {error}\n{running.last_words()}") from error


@dataclass(frozen=True, slots=True)
class Up:
    """A server that runs beside others; it is at rest again when a load's figures are given."""

    name: str
    port: int
    requests: Requests
    running: Running
    generator: LoadGenerator
    connections: int

    def closed(self, seconds: float) -> Load:
        with blamed(self.name, self.running):
            load = self.generator.closed(self.port, self.requests, self.connections, seconds)
        self.running.settle(SETTLE_WITHIN_S)
        return load

    def awake(self) -> AbstractContextManager[None]:
        """It alone goes on."""
        return self.running.awake(SETTLE_WITHIN_S)

    def fixed(self, rate: float, seconds: float) -> Load:
        with blamed(self.name, self.running):
            load = self.generator.fixed(self.port, self.requests, rate, seconds)
        self.running.settle(SETTLE_WITHIN_S)
        return load


class Bench:
    """All that the servers have in common: the model, the rows, the load generator."""

    def __init__(
        self,
        folder: Path,
        model: Model,
        rows: Rows,
        generator: LoadGenerator,
        plan: Plan,
        say: Callable[[str], None],
    ) -> None:
        self.folder = folder
        self.model = model
        self.rows = rows
        self.generator = generator
        self._plan = plan
        self.say = say
        self._few = rows.values[:: max(1, len(rows) // _ASKED)][:_ASKED]
        self._asked = self._few.tolist()
        self._expected: dict[Path, NDArray[np.float64]] = {}

    def measure(self, server: Server) -> Measured:
        """Its figures, the fixed rate being half of its own capacity."""
        if server.missing:
            return Measured(server.name, server.kind, error=server.missing)
        try:
            with self.started(server) as (site, running):
                return self._run(server, site, running)
        except FAILURES as error:
            self.say(f"{server.name}: FAILED: {error}")
            return Measured(server.name, server.kind, error=str(error))

    def take_turns(self, servers: Sequence[Server], plan: Turns) -> list[dict[str, Load]]:
        """Each turn's loads by server: one at a time is asked while the others stand still.
        Raises one of FAILURES."""
        with self.side_by_side(servers, plan.connections) as all_up:
            turns: list[dict[str, Load]] = []
            for turn in range(plan.turns):
                loads: dict[str, Load] = {}
                # Each begins as often as the others: who comes later may find a core that the
                # hypervisor wants back.
                first = turn % len(all_up)
                for up in all_up[first:] + all_up[:first]:
                    with up.awake():
                        loads[up.name] = up.closed(plan.seconds)
                turns.append(loads)
                told = ", ".join(f"{loads[up.name].rps:,.0f}/s" for up in all_up)
                self.say(f"turn {len(turns)}/{plan.turns}: {told}")
            return turns

    def take_turns_at_half(
        self, servers: Sequence[Server], plan: Turns, follows: Mapping[str, str]
    ) -> list[dict[str, Load]]:
        """The same at a fixed rate, half of the throughput that the server had just before in
        the same turn. Who ``follows`` another gets that one's rate. Raises one of FAILURES."""
        with self.side_by_side(servers, plan.connections) as all_up:
            turns: list[dict[str, Load]] = []
            for _ in range(plan.turns_at_half):
                rates: dict[str, float] = {}
                loads: dict[str, Load] = {}
                for up in all_up:
                    with up.awake():
                        # Who follows is asked as fast as it can too: what that leaves to be done
                        # later must weigh on both.
                        half = up.closed(plan.seconds).rps / 2
                        rate = rates[up.name] = rates.get(follows.get(up.name, ""), half)
                        loads[up.name] = up.fixed(rate, plan.seconds_at_half)
                turns.append(loads)
                told = ", ".join(
                    f"p99 {load.p99_ms:.2f} ms at {rates[name]:,.0f}/s"
                    for name, load in loads.items()
                )
                self.say(f"turn {len(turns)}/{plan.turns_at_half}: {told}")
            return turns

    def take_turns_at_same(
        self, servers: Sequence[Server], plan: Turns, rates: Rates
    ) -> list[dict[str, dict[str, Load]]]:
        """Each turn's loads by the rate's name and by server: all that are asked at a rate are
        asked at the very same. Raises one of FAILURES."""
        with self.side_by_side(servers, plan.connections) as all_up:
            by_name = {up.name: up for up in all_up}
            turns: list[dict[str, dict[str, Load]]] = []
            for turn in range(plan.turns_at_same):
                found: dict[str, dict[str, Load]] = {}
                for rate_name, (names, fixed) in rates.items():
                    rate = fixed
                    if not fixed:  # half of what the last one of them can do now
                        with by_name[names[-1]].awake():
                            rate = by_name[names[-1]].closed(plan.seconds).rps / 2
                    first = turn % len(names)
                    loads: dict[str, Load] = {}
                    for name in names[first:] + names[:first]:
                        with by_name[name].awake():
                            loads[name] = by_name[name].fixed(rate, plan.seconds_at_half)
                    found[rate_name] = loads
                    told = ", ".join(f"{n} p99 {load.p99_ms:.2f} ms" for n, load in loads.items())
                    self.say(f"turn {turn + 1}/{plan.turns_at_same} at {rate:,.0f}/s: {told}")
                turns.append(found)
            return turns

    @contextmanager
    def side_by_side(self, servers: Sequence[Server], connections: int) -> Generator[list[Up]]:
        """All of them, started, held against the model, warmed up and standing still."""
        with ExitStack() as stack:
            started = [(server, *stack.enter_context(self.started(server))) for server in servers]
            all_up: list[Up] = []
            for server, site, running in started:
                self._check(server, site, running)
                requests = self._requests(server, site)
                up = Up(server.name, site.port, requests, running, self.generator, connections)
                up.closed(self._plan.warmup)
                running.freeze()
                all_up.append(up)
            yield all_up

    @contextmanager
    def started(self, server: Server) -> Generator[tuple[Site, Running]]:
        name = "".join(c if c.isalnum() else "-" for c in server.name.lower())
        site = Site(server.model or self.model, self.folder / name, free_port())
        shutil.rmtree(site.folder, ignore_errors=True)  # of the round before
        site.folder.mkdir()
        self.say(f"{server.name}: start")
        launch = server.launch(site)
        running = Running(
            launch.command, core=SERVER_CORE, folder=launch.folder,
            environment=launch.environment, log=self.folder / f"{name}.log",
        )  # fmt: skip
        try:
            yield site, running
        finally:
            running.stop()

    def _requests(self, server: Server, site: Site) -> Requests:
        shape = server.shape(site)
        # A site that is started afresh may have issued keys of its own.
        asked = hashlib.sha256(repr((shape.paths, shape.keys)).encode()).hexdigest()[:16]
        path = self.folder / f"{shape.name}-{asked}.requests"
        if not path.exists():
            write_requests(path, shape, self.rows)
        return Requests(path, len(self.rows))

    def _run(self, server: Server, site: Site, running: Running) -> Measured:
        plan, port = self._plan, site.port
        difference = self._check(server, site, running)
        requests = self._requests(server, site)
        running.settle(SETTLE_WITHIN_S)
        loads: dict[int, Load] = {}
        after = 0.0
        for connections in plan.concurrencies:
            self.generator.closed(port, requests, connections, plan.warmup)
            runs: list[Load] = []
            for _ in range(plan.repeats):
                time.sleep(_PAUSE_S)
                runs.append(self.generator.closed(port, requests, connections, plan.seconds))
            running.check()
            loads[connections] = median(runs)
            if not loads[connections].answered:
                raise ServerFailed(f"no answer to any request of {connections} connections")
            after = max(after, running.settle(SETTLE_WITHIN_S))
            self.say(f"{server.name}: c={connections} {loads[connections].rps:,.0f}/s")
        rate = loads[max(loads)].rps / 2
        fixed = median(
            [self.generator.fixed(port, requests, rate, plan.seconds) for _ in range(plan.repeats)]
        )
        running.check()
        after = max(after, running.settle(SETTLE_WITHIN_S))
        worker = resident_mib(server.worker(site)) if server.worker else math.nan
        self.say(f"{server.name}: p99 {fixed.p99_ms:.2f} ms at {rate:,.0f}/s")
        return Measured(
            server.name, server.kind, "", loads, rate, fixed, difference, after,
            running.memory_mib(), worker,
        )  # fmt: skip

    def _check(self, server: Server, site: Site, running: Running) -> float:
        """Wait until it answers; the largest difference from the model over some real rows."""
        shape = server.shape(site)
        headers = {"authorization": f"Bearer {shape.keys[0]}"} if shape.keys else {}
        url = f"http://127.0.0.1:{site.port}{shape.paths[0]}"
        deadline = time.monotonic() + UP_WITHIN_S
        with httpx.Client(headers=headers, timeout=10.0) as client:
            said = "nothing"
            while True:
                running.check()
                try:
                    answer = client.post(url, json=shape.body(self._asked[0]))
                    if answer.status_code == 200:
                        break
                    said = f"{answer.status_code} {answer.text[:200]}"
                except httpx.HTTPError as error:
                    said = repr(error)
                if time.monotonic() > deadline:
                    words = running.last_words()
                    raise ServerFailed(f"no answer in {UP_WITHIN_S:.0f} s, but {said}\n{words}")
                time.sleep(0.2)
            if not server.exact:
                return math.nan
            found = [
                shape.read(client.post(url, json=shape.body(row)).raise_for_status().json())
                for row in self._asked
            ]
        expected = self._expected.setdefault(
            site.model.estimator, site.model.probabilities(self._few)
        )
        difference = float(np.abs(np.array(found) - expected).max())
        if not difference <= TOLERANCE:
            raise ServerFailed(f"its probabilities differ by {difference:.2g} from the model's")
        return difference

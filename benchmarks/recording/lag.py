"""How far a recorder is behind, on the two cores that also run a gateway under load."""

from __future__ import annotations

import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from serving.cores import LOAD_CORE, SERVER_CORE
from serving.model import BENCHMARKS, MODEL, make_model
from serving.rows import read_rows
from staying_up.gateway import up
from staying_up.homes import control, thin
from staying_up.load import Flow, Loader

from .fleet import install, make_fleet

SPOOL = "bench-w0"
GATEWAY_RATE = 300.0  # requests a second
_LOOK_S = 0.25
_WARM_S = 5.0
_PATIENCE_S = 60.0


class Order(msgspec.Struct, frozen=True):
    """What a writer of events is told: where, which, how many a second and for how long."""

    folder: str
    marks: str
    models: int
    tenants: int
    rate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Lag:
    """Seconds from an event to its sketch, at each look; and what the gateway answered."""

    seconds: Sequence[float]
    written: int
    answered: float
    gateway_p99_ms: float

    def quantile(self, share: float) -> float:
        return float(np.quantile(self.seconds, share)) if self.seconds else float("nan")


def measure_lag(
    folder: Path, rate: float, seconds: float, models: int, tenants: int,
    say: Callable[[str], None],
) -> Lag:  # fmt: skip
    """``windvane up`` answers ``GATEWAY_RATE`` requests a second while another worker's spool
    gets ``rate`` events a second, all on the same two cores."""
    rows = thin(read_rows())
    made = make_model(folder, rows, say)
    loader = Loader(folder, LOAD_CORE, rows)
    fleet = make_fleet(models, tenants)

    def prepare(home: Path) -> None:
        with control(home) as (store, _):
            install(store, fleet)

    scratch = folder / "lag"
    scratch.mkdir()
    say(f"write {rate:,.0f} events a second for {seconds:.0f} s")
    with up(made.home, scratch, prepare, core=f"{SERVER_CORE},{LOAD_CORE}") as gateway:
        marks = folder / "marks"
        order = Order(
            str(gateway.home / "spool" / SPOOL), str(marks), models, tenants, rate,
            seconds + _WARM_S,
        )  # fmt: skip
        flow = Flow(loader.requests("lag", [MODEL], made.key), GATEWAY_RATE)
        with loader.start(gateway.port, {"gateway": flow}, seconds + _WARM_S) as load:
            load.began()
            writer = subprocess.Popen(
                [sys.executable, "-m", "recording.writer"], cwd=BENCHMARKS, stdin=subprocess.PIPE
            )
            assert writer.stdin is not None
            writer.stdin.write(msgspec.json.encode(order))
            writer.stdin.close()
            try:
                looks = _look(gateway.home, seconds + _WARM_S)
                answers = load.wait()["gateway"]
                if writer.wait(_PATIENCE_S):
                    raise RuntimeError("the writer of events failed")
            finally:
                writer.kill()
        written = _read_marks(marks)
        gateway.settle()
    ok = answers.ok
    return Lag(
        lags(looks, written, _WARM_S), written[-1][1], len(ok) / (seconds + _WARM_S),
        ok.quantile_ms(0.99),
    )  # fmt: skip


def _look(home: Path, seconds: float) -> list[tuple[float, int]]:
    """(time, position up to which the spool is recorded), again and again."""
    out: list[tuple[float, int]] = []
    with control(home) as (store, _):
        until = time.time() + seconds
        while (now := time.time()) < until:
            with store.read() as tx:
                marks = {one.spool: one.position for one in tx.checkpoints()}
            out.append((now, marks.get(SPOOL, 0)))
            time.sleep(_LOOK_S)
    return out


def _read_marks(path: Path) -> list[tuple[float, int, int]]:
    """(time, events, position) after each piece that the writer appended."""
    lines = (line.split() for line in path.read_text().splitlines())
    return [(float(at), int(events), int(position)) for at, events, position in lines]


def lags(
    looks: Sequence[tuple[float, int]], written: Sequence[tuple[float, int, int]], warm_s: float
) -> list[float]:
    """At each look the age of the oldest event that is not recorded yet; 0 where all are."""
    begin, end = written[0][0] + warm_s, written[-1][0]
    positions = [position for _, _, position in written]
    out: list[float] = []
    for at, position in looks:
        if not begin <= at <= end:
            continue
        first = bisect_right(positions, position)
        waits = first < len(written) and written[first][0] <= at
        out.append(at - written[first][0] if waits else 0.0)
    return out

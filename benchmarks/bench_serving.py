"""`make bench-serving`: Windvane's gateway, its floors, and its peers under the same load.

One model, the same rows, one core for the server with all its processes and the other for the
load. No row comes again before all others, so no cache could answer. benchmarks/serving/README.md
says how to read it.
"""

from __future__ import annotations

import json
import math
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from results import FOLDER, Measure, machine, mid_ratio, quieter, ratio, read_options, write_results
from rich.console import Console
from rich.table import Table
from serving.cores import LOAD_CORE, SERVER_CORE
from serving.load import Load, LoadGenerator, missing_tools
from serving.measuring import (
    FAILURES,
    OURS,
    PEERS,
    QUICK,
    Bench,
    Measured,
    Turns,
    merge,
)
from serving.model import make_model
from serving.peers import LOCKS, all_peers
from serving.rows import read_rows
from serving.servers import Kind, Server
from serving.windvane_server import (
    ALL_IN,
    BARE,
    BATCH,
    CROWDED,
    FOLLOWS,
    REGISTERED,
    all_windvane,
)

TakeTurns = Callable[[Bench, Sequence[Server]], list[dict[str, Load]]]
_VERSIONS = ("windvane", "numpy", "onnxruntime", "scikit-learn", "uvicorn")
_PACKAGES = ("mlflow", "bentoml", "litserve", "mlserver", "ray", "fastapi", "scikit-learn")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, write; 0 if every measure holds."""
    options = read_options(
        arguments,
        about=__doc__,
        only="servers with this in their name; a,b for some",
        out=FOLDER / "serving.json",
    )
    console = Console(width=None if sys.stdout.isatty() else 150, log_path=False)
    progress = Console(stderr=True, log_path=False, width=150) if options.json else console
    for problem in problems():
        console.print(problem)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are ended too
    plans = (QUICK, QUICK) if options.quick else (OURS, PEERS)
    groups = [
        [s for s in group if wanted(s.name, options.only)]
        for group in (all_windvane(), all_peers())
    ]
    if not any(groups):
        console.print(f"no server's name has {options.only!r} in it")
        return 2
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as scratch:
        folder = Path(scratch)
        progress.log("read the rows")
        rows = read_rows()
        model = make_model(folder, rows, progress.log)
        generator = LoadGenerator(folder, LOAD_CORE)
        found: dict[str, Measured] = {}
        for servers, plan in zip(groups, plans, strict=True):
            bench = Bench(folder, model, rows, generator, plan, progress.log)
            found |= measure_all(bench, servers, plan.rounds)
        turns = Turns(turns=2, turns_at_half=2) if options.quick else Turns()
        bench = Bench(folder, model, rows, generator, plans[0], progress.log)
        servers = [server for group in groups for server in group]
        compared = side_by_side(bench, servers, (BATCH, BARE, ALL_IN), full_turns(turns))
        names = (ALL_IN, REGISTERED, CROWDED)
        halves = side_by_side(bench, servers, names, half_turns(turns))
        peer, beside = beside_a_peer(bench, servers, peers_at_half(found), half_turns(turns))
        halves += beside
    measures = serving_measures(found, compared, halves, peer)
    settings = {
        "windvane": asdict(plans[0]), "peers": asdict(plans[1]), "turns": asdict(turns),
        "rows": len(rows), "features": rows.values.shape[1],
        "server_core": SERVER_CORE, "load_core": LOAD_CORE, "versions": peer_versions(),
    }  # fmt: skip
    notes = [m.to_dict() for m in found.values()]
    notes += [{"turn": {name: load.rps for name, load in turn.items()}} for turn in compared]
    notes += [{"half": {n: load.to_dict() for n, load in turn.items()}} for turn in halves]
    ok = all(m.ok for m in measures)
    if options.out:
        ok = write_results(
            options.out, measures, settings=settings, informational=notes, versions=_VERSIONS
        )
    if options.json:
        body = {"measures": [m.to_dict() for m in measures], "servers": notes}
        print(json.dumps({"machine": machine(), "settings": settings, **body}, indent=1))
        return 0 if ok else 1
    show_servers(console, found.values(), len(rows))
    show_verdicts(console, measures)
    if options.out:
        console.print(f"written: {options.out.name}; {'all hold' if ok else 'NOT all hold'}")
    return 0 if ok else 1


def problems() -> list[str]:
    """Why it cannot run here, if so."""
    cores = os.sched_getaffinity(0)
    found = missing_tools()
    if not {SERVER_CORE, LOAD_CORE} <= cores:
        found.append(f"cores {SERVER_CORE} and {LOAD_CORE} are needed, {sorted(cores)} are there")
    return found


def wanted(name: str, only: str) -> bool:
    """Whether ``only``, names or parts of them between commas, has this one; "" has all."""
    return not only or any(part.strip().lower() in name.lower() for part in only.split(","))


def measure_all(bench: Bench, servers: Sequence[Server], rounds: int) -> dict[str, Measured]:
    """One after another, ``rounds`` times: a machine has its faster and its slower minutes. Who
    is held to nothing but another's rate is asked beside that one only."""
    found: dict[str, list[Measured]] = {s.name: [] for s in servers if s.name not in FOLLOWS}
    for _ in range(rounds):
        for server in servers:
            if server.name in found:
                found[server.name].append(bench.measure(server))
    return {name: merge(measured) for name, measured in found.items()}


def side_by_side(
    bench: Bench, servers: Sequence[Server], names: Sequence[str], take: TakeTurns
) -> list[dict[str, Load]]:
    """What is close, or rests on the slowest of a hundred, runs side by side and is asked by
    turns, for a machine's pace may change within seconds; nothing if one of them failed."""
    chosen = [server for name in names for server in servers if server.name == name]
    if len(chosen) < 2:
        return []
    try:
        return take(bench, chosen)
    except FAILURES as error:
        bench.say(f"side by side: FAILED: {error}")
        return []


def beside_a_peer(
    bench: Bench, servers: Sequence[Server], peers: Sequence[str], take: TakeTurns
) -> tuple[str, list[dict[str, Load]]]:
    """Windvane and the first of ``peers`` that outlives to be stopped between its turns: its
    name, and the turns; "" and nothing if none does."""
    for peer in peers:
        turns = side_by_side(bench, servers, (ALL_IN, peer), take)
        if turns:
            return peer, turns
    return "", []


def full_turns(plan: Turns) -> TakeTurns:
    return lambda bench, servers: bench.take_turns(servers, plan)


def half_turns(plan: Turns) -> TakeTurns:
    return lambda bench, servers: bench.take_turns_at_half(servers, plan, FOLLOWS)


def by_turns(
    turns: Sequence[Mapping[str, Load]], ours: str, other: str, figure: Callable[[Load], float]
) -> float:
    """The median over the quieter turns of the ratio of a figure, NaN if an answer of any was
    no 2xx."""
    pairs = [(turn[ours], turn[other]) for turn in turns if ours in turn and other in turn]
    if not pairs or not all(load.clean for pair in pairs for load in pair):
        return math.nan
    return mid_ratio((figure(one), figure(two)) for one, two in quieter(pairs))


def peers_at_half(found: Mapping[str, Measured]) -> list[str]:
    """Those that failed nothing, the one with the shortest p99 at half of its own capacity
    first."""
    peers = [m for m in found.values() if m.kind is Kind.PEER and m.clean and m.fixed]
    return [m.name for m in sorted(peers, key=p99_fixed)]


def serving_measures(
    found: Mapping[str, Measured],
    turns: Sequence[Mapping[str, Load]],
    halves: Sequence[Mapping[str, Load]],
    peer: str,
) -> list[Measure]:
    """What Windvane is held to; what was not measured, or not cleanly, never holds. ``peer`` is
    the one that it is held against at half of its own capacity."""

    def of(name: str, value: Callable[[Measured], float]) -> float:
        measured = found.get(name)
        return value(measured) if measured and measured.clean else math.nan

    def best(value: Callable[[Measured], float], pick: Callable[..., float]) -> float:
        values = [value(m) for m in found.values() if m.kind is Kind.PEER and m.clean]
        return pick((v for v in values if math.isfinite(v)), default=math.nan)

    return [
        Measure(
            "throughput with 64 connections, times the best peer's",
            ratio(of(ALL_IN, capacity), best(capacity, max)),
            at_least=10.0,
        ),
        Measure(
            "p50 with 1 connection, share of the best peer's",
            ratio(of(ALL_IN, p50_alone), best(p50_alone, min)),
            at_most=0.35,
        ),
        Measure(
            "throughput with 64 connections, share of floor 2's",
            by_turns(turns, ALL_IN, BATCH, rps),
            at_least=0.75,
        ),
        Measure(
            "throughput with 64 connections, share of that without events, sketches, conformance",
            by_turns(turns, ALL_IN, BARE, rps),
            at_least=0.90,
        ),
        Measure(
            "p99 at half of the own capacity, share of the best peer's",
            by_turns(halves, ALL_IN, peer, p99),
            at_most=0.30,
        ),
        Measure(
            "p99 with 1,000 tenants and 200 models registered, times that with 1 and 1, same load",
            by_turns(halves, REGISTERED, ALL_IN, p99),
            at_most=1.3,
        ),
        Measure(
            "p99 with 50 of these tenants and 10 of these models asked, times the same, same rate",
            by_turns(halves, CROWDED, ALL_IN, p99),
            at_most=1.3,
        ),
        Measure(
            "memory of a gateway worker with one model, RSS in MiB",
            of(ALL_IN, lambda m: m.worker_mib),
            at_most=150.0,
        ),
    ]


def rps(load: Load) -> float:
    return load.rps


def p99(load: Load) -> float:
    return load.p99_ms


def capacity(m: Measured) -> float:
    return m.capacity


def p50_alone(m: Measured) -> float:
    return m.loads[1].p50_ms if 1 in m.loads else math.nan


def p99_fixed(m: Measured) -> float:
    return m.fixed.p99_ms if m.fixed else math.nan


def missed_by(measure: Measure) -> str:
    """How far from its bound, in per cent of the bound; "" if it holds."""
    if measure.ok:
        return ""
    if not math.isfinite(measure.value):
        return "not measured"
    bound = measure.at_least if measure.at_least is not None else measure.at_most
    assert bound is not None
    return f"missed by {abs(measure.value - bound) / bound:.0%}"


def show_servers(console: Console, found: Iterable[Measured], rows: int) -> None:
    table = Table(
        title=f"One row a request; {rows:,} distinct rows, each sent before any comes again: "
        "no cache could answer",
        title_justify="left",
        caption="c: connections, each with one request under way. "
        "half: a fixed rate, half of the server's own capacity; latency from when each was due.",
        caption_justify="left",
    )
    table.add_column("server")
    for name in ("c=1 /s", "p50 ms", "p99", "c=16 /s", "p50 ms", "p99", "c=64 /s", "p50 ms", "p99",
                 "half /s", "p50 ms", "p99", "MiB", "failed"):  # fmt: skip
        table.add_column(name, justify="right")
    for m in found:
        if m.error:
            table.add_row(m.name, f"[bold red]missing[/]: {m.error.splitlines()[0][:70]}")
            continue
        runs = [*m.loads.values(), *([m.fixed] if m.fixed else [])]
        cells = [
            text
            for load, rate in zip(runs, [*(r.rps for r in m.loads.values()), m.rate], strict=True)
            for text in (f"{rate:,.0f}", f"{load.p50_ms:.2f}", f"{load.p99_ms:.2f}")
        ]
        failed = sum(load.not_2xx + load.broken for load in runs)
        flag = f"[bold red]{failed:,}[/]" if failed else "0"
        style = "bold" if m.kind is Kind.WINDVANE else ""
        table.add_row(m.name, *cells, f"{m.memory_mib:.0f}", flag, style=style)
    console.print(table)


def show_verdicts(console: Console, measures: Sequence[Measure]) -> None:
    table = Table("measure", "value", "bound", "", title="Held to", title_justify="left")
    for m in measures:
        bound = f">= {m.at_least:g}" if m.at_least is not None else f"<= {m.at_most:g}"
        word = "[green]ok[/]" if m.ok else f"[bold red]{missed_by(m)}[/]"
        table.add_row(m.measure, f"{m.value:.3g}", bound, word)
    console.print(table)


def peer_versions() -> dict[str, str]:
    """Of the peers' packages, as locked."""
    found: dict[str, str] = {}
    for lock in sorted(LOCKS.glob("*/requirements.txt")):
        pins = dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", lock.read_text(), re.MULTILINE))
        found.update({f"{lock.parent.name}: {p}": pins[p] for p in _PACKAGES if p in pins})
    return found


if __name__ == "__main__":
    raise SystemExit(main())

"""`make bench-serving`: Windvane's gateway, its floors, and its peers under the same load.

One model, the same rows, one core for the server with all its processes and the other for the
load. No row comes again before all others, so no cache could answer. benchmarks/serving/README.md
says how to read it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from results import FOLDER, Measure, machine, missed_by, read_options, write_results
from rich.console import Console
from rich.table import Table
from serving import bounds
from serving.bounds import AT_2000, AT_PEERS_HALF
from serving.cores import LOAD_CORE, SERVER_CORE
from serving.load import Load, LoadGenerator, missing_tools
from serving.many_rows import ManyRows, take_many_rows
from serving.measuring import (
    FAILURES,
    MODES,
    Bench,
    Measured,
    Mode,
    Rates,
    Turns,
    merge,
)
from serving.model import Model, make_model
from serving.more_models import GOOD_RATE, add_models, take_bad_rows, take_tasks
from serving.old_commit import OLD, old_server
from serving.peers import LOCKS, all_onnx_mlservers, all_peers
from serving.rows import read_rows
from serving.servers import Kind, Server
from serving.windvane_server import (
    ALL_IN,
    BARE,
    BATCH,
    CROWDED,
    ECHO,
    FOLLOWS,
    REGISTERED,
    all_windvane,
)

T = TypeVar("T")
TakeTurns = Callable[[Bench, Sequence[Server]], list[dict[str, Load]]]
_VERSIONS = ("windvane", "numpy", "onnxruntime", "scikit-learn", "uvicorn")
_PACKAGES = ("mlflow", "bentoml", "litserve", "mlserver", "ray", "fastapi", "scikit-learn")
SERVERS, TURNS, TENANTS, HALF = "servers", "turns", "tenants", "half"
OLD_COMMIT, SAME_RATE, MANY_ROWS = "old-commit", "same-rate", "many-rows"
TASKS, BAD_ROWS = "tasks", "bad-rows"
OF_SERVERS = (SERVERS, TURNS, TENANTS, HALF)
GROUPS = (*OF_SERVERS, OLD_COMMIT, SAME_RATE, MANY_ROWS, TASKS, BAD_ROWS)
"""Of rows, as ``--only`` names them; the first are of servers that it may name too."""
_NEED_PEERS = frozenset({SERVERS, HALF, SAME_RATE})


@dataclass(slots=True)
class Results:
    """What each group found; empty where it was not asked for, or failed."""

    found: dict[str, Measured] = field(default_factory=dict[str, Measured])
    turns: list[dict[str, Load]] = field(default_factory=list[dict[str, Load]])
    tenants: list[dict[str, Load]] = field(default_factory=list[dict[str, Load]])
    halves: list[dict[str, Load]] = field(default_factory=list[dict[str, Load]])
    half_peer: str = ""
    old: list[dict[str, Load]] = field(default_factory=list[dict[str, Load]])
    same_rate: list[dict[str, dict[str, Load]]] = field(
        default_factory=list[dict[str, dict[str, Load]]]
    )
    same_rate_peer: str = ""
    many_rows: list[ManyRows] = field(default_factory=list[ManyRows])
    tasks: list[dict[str, Load]] = field(default_factory=list[dict[str, Load]])
    bad_rows: list[dict[str, Load]] = field(default_factory=list[dict[str, Load]])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, write; 0 if every measure holds."""
    options = read_options(
        arguments,
        about=__doc__,
        only=f"groups of rows ({', '.join(GROUPS)}), and servers with this in their name; a,b for "
        "some",
        short="every row with fewer turns: at most 25 minutes on a quiet machine",
        out=FOLDER / "serving.json",
    )
    console = Console(width=None if sys.stdout.isatty() else 150, log_path=False)
    progress = Console(stderr=True, log_path=False, width=150) if options.json else console
    for problem in problems():
        console.print(problem)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are ended too
    mode = MODES["quick" if options.quick else "short" if options.short else "full"]
    groups, of_ours, names = chosen(options.only)
    ours = [server for server in all_windvane() if wanted(server.name, of_ours)]
    peers = [server for server in all_peers() if wanted(server.name, names)]
    if not ours and not peers:
        console.print(f"no server's name has {names!r} in it")
        return 2
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as scratch:
        folder = Path(scratch)
        progress.log("read the rows")
        rows = read_rows()
        model = make_model(folder, rows, progress.log)
        generator = LoadGenerator(folder, LOAD_CORE)
        bench = Bench(folder, model, rows, generator, mode.ours, progress.log)
        of_peers = Bench(folder, model, rows, generator, mode.peers, progress.log)
        results = measure_groups(bench, of_peers, groups, ours, peers, mode)
    measures = measures_of(results, groups)
    settings = {
        "mode": mode.name, "groups": [g for g in GROUPS if g in groups],
        "windvane": asdict(mode.ours), "peers": asdict(mode.peers), "turns": asdict(mode.turns),
        "rows": len(rows), "features": rows.values.shape[1], "good_rate": GOOD_RATE,
        "server_core": SERVER_CORE, "load_core": LOAD_CORE, "versions": peer_versions(),
        "best_peers": {"half": results.half_peer, "same_rate": results.same_rate_peer},
    }  # fmt: skip
    notes = notes_of(results)
    ok = all(m.ok for m in measures)
    if options.out:
        ok = write_results(
            options.out, measures, settings=settings, informational=notes, versions=_VERSIONS
        )
    if options.json:
        body = {"measures": [m.to_dict() for m in measures], "servers": notes}
        print(json.dumps({"machine": machine(), "settings": settings, **body}, indent=1))
        return 0 if ok else 1
    if results.found:
        show_servers(console, results.found.values(), len(rows))
    show_verdicts(console, measures)
    if options.out:
        console.print(f"written: {options.out.name}; {'all hold' if ok else 'NOT all hold'}")
    return 0 if ok else 1


def chosen(only: str) -> tuple[frozenset[str], str, str]:
    """Which groups of rows, and the names of Windvane's servers and of peers, "" for all of them.

    Names alone are of the groups that are of servers. Beside groups they are the peers' alone,
    for all groups hold Windvane against something."""
    parts = [part.strip() for part in only.split(",") if part.strip()]
    groups = frozenset(part for part in parts if part in GROUPS)
    names = ",".join(part for part in parts if part not in GROUPS)
    if groups:
        return groups, "", names
    return frozenset(OF_SERVERS if names else GROUPS), names, names


def measure_groups(
    bench: Bench,
    of_peers: Bench,
    groups: frozenset[str],
    ours: Sequence[Server],
    peers: Sequence[Server],
    mode: Mode,
) -> Results:
    """One group after another; one that fails leaves the others alone."""
    results, turns, servers = Results(), mode.turns, [*ours, *peers]
    if SERVERS in groups:
        results.found |= measure_all(bench, ours, mode.ours.rounds)
    if groups & _NEED_PEERS:
        results.found |= measure_all(of_peers, peers, mode.peers.rounds)
    if TURNS in groups:
        names = (BATCH, BARE, ALL_IN)
        results.turns = side_by_side(bench, servers, names, full_turns(turns))
    if TENANTS in groups:
        names = (ALL_IN, REGISTERED, CROWDED)
        results.tenants = side_by_side(bench, servers, names, half_turns(turns))
    if HALF in groups:
        best = bounds.peers_at_half(results.found)
        results.half_peer, results.halves = beside_a_peer(bench, servers, best, half_turns(turns))
    if SAME_RATE in groups:
        best = bounds.peers_by_capacity(results.found)
        results.same_rate_peer, results.same_rate = at_same_rates(bench, servers, best, turns)
    warmup = mode.ours.warmup
    if OLD_COMMIT in groups:
        results.old = or_nothing(bench, OLD, lambda: beside_the_old_commit(bench, servers, turns))
    if MANY_ROWS in groups:
        results.many_rows = or_nothing(
            bench, "many rows", lambda: take_many_rows(bench, turns, warmup)
        )
    if groups & {TASKS, BAD_ROWS}:
        more: list[Model] = or_nothing(bench, "more models", lambda: [add_models(bench)])
        for model in more:
            if TASKS in groups:
                results.tasks = or_nothing(
                    bench, "tasks", lambda m=model: take_tasks(bench, m, turns, warmup)
                )
            if BAD_ROWS in groups:
                results.bad_rows = or_nothing(
                    bench, "bad rows", lambda m=model: take_bad_rows(bench, m, turns, warmup)
                )
    return results


def measures_of(results: Results, groups: frozenset[str]) -> list[Measure]:
    """Of the groups that were asked for; one that failed is not measured."""
    mlservers = [server.name for server in all_onnx_mlservers()]
    by_group = {
        SERVERS: lambda: bounds.server_measures(results.found),
        OLD_COMMIT: lambda: bounds.old_measures(results.old),
        TURNS: lambda: bounds.turn_measures(results.turns),
        MANY_ROWS: lambda: bounds.many_rows_measures(results.many_rows, mlservers),
        HALF: lambda: bounds.half_measures(results.halves, results.half_peer),
        SAME_RATE: lambda: bounds.same_rate_measures(results.same_rate, results.same_rate_peer),
        TENANTS: lambda: bounds.tenant_measures(results.tenants),
        TASKS: lambda: bounds.task_measures(results.tasks),
        BAD_ROWS: lambda: bounds.bad_row_measures(results.bad_rows),
    }
    return [m for group, make in by_group.items() if group in groups for m in make()]


def notes_of(results: Results) -> list[dict[str, Any]]:
    """Every load that was measured."""
    notes: list[dict[str, Any]] = [m.to_dict() for m in results.found.values()]
    notes += [{"turn": {name: load.rps for name, load in turn.items()}} for turn in results.turns]
    for name, turns in (
        ("half", [*results.tenants, *results.halves]),
        ("old_commit", results.old),
        ("tasks", results.tasks),
        ("bad_rows", results.bad_rows),
    ):
        notes += [{name: {n: load.to_dict() for n, load in turn.items()}} for turn in turns]
    for name, nested in (("same_rate", results.same_rate), ("many_rows", results.many_rows)):
        notes += [
            {name: {k: {n: load.to_dict() for n, load in by.items()} for k, by in turn.items()}}
            for turn in nested
        ]
    mlservers = [server.name for server in all_onnx_mlservers()]
    return notes + bounds.many_rows_ratios(results.many_rows, mlservers)


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


def or_nothing(bench: Bench, what: str, take: Callable[[], list[T]]) -> list[T]:
    """What ``take`` gives; nothing, and why, if it fails."""
    try:
        return take()
    except (*FAILURES, SystemExit) as error:
        if isinstance(error, SystemExit) and not isinstance(error.code, str):
            raise  # somebody ends this run
        bench.say(f"{what}: FAILED: {error}")
        return []


def side_by_side(
    bench: Bench, servers: Sequence[Server], names: Sequence[str], take: TakeTurns
) -> list[dict[str, Load]]:
    """What is close, or rests on the slowest of a hundred, runs side by side and is asked by
    turns, for a machine's pace may change within seconds; nothing if one of them failed."""
    found = picked(servers, names)
    if len(found) < 2:
        return []
    return or_nothing(bench, "side by side", lambda: take(bench, found))


def picked(servers: Sequence[Server], names: Sequence[str]) -> list[Server]:
    return [server for name in names for server in servers if server.name == name]


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


def at_same_rates(
    bench: Bench, servers: Sequence[Server], peers: Sequence[str], plan: Turns
) -> tuple[str, list[dict[str, dict[str, Load]]]]:
    """Windvane, floor 1 and the first of ``peers`` that outlives to be stopped: its name, and the
    turns. Without any peer there are floor 1's alone."""
    at_2000: Rates = {AT_2000: ((ALL_IN, ECHO), GOOD_RATE)}
    for peer in [*peers, ""]:
        rates = {**({AT_PEERS_HALF: ((ALL_IN, peer), 0.0)} if peer else {}), **at_2000}
        asked = picked(servers, (ALL_IN, ECHO, peer))
        if len(asked) < (3 if peer else 2):
            continue
        turns = or_nothing(
            bench, "the same rate",
            lambda a=asked, r=rates: bench.take_turns_at_same(a, plan, r),
        )  # fmt: skip
        if turns:
            return peer, turns
    return "", []


def beside_the_old_commit(
    bench: Bench, servers: Sequence[Server], plan: Turns
) -> list[dict[str, Load]]:
    """Raises one of FAILURES."""
    return bench.take_turns(
        [*picked(servers, (ALL_IN,)), old_server(bench.folder, bench.say)], plan
    )


def full_turns(plan: Turns) -> TakeTurns:
    return lambda bench, servers: bench.take_turns(servers, plan)


def half_turns(plan: Turns) -> TakeTurns:
    return lambda bench, servers: bench.take_turns_at_half(servers, plan, FOLLOWS)


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

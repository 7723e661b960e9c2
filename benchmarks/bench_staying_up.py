"""`make bench-staying-up`: floods, overload, a slow model beside a fast one, swaps, little memory.

Each measure is held against its own baseline of the same run: the same gateway on the same core
without the trouble. benchmarks/staying_up/README.md says how to read it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench_serving import problems, wanted
from results import FOLDER, machine, read_options, show_measures, write_results
from rich.console import Console
from rich.table import Table
from serving.cores import LOAD_CORE, SERVER_CORE
from serving.processes import ServerFailed
from serving.rows import Rows, read_rows
from staying_up.answers import Seen
from staying_up.beside import beside
from staying_up.budget import budget
from staying_up.gateway import up
from staying_up.homes import NOISY_RATE, SLOW_DEADLINE_MS, make_home, thin
from staying_up.load import Loader
from staying_up.neighbour import FLOOD, QUIET_RATE, neighbour
from staying_up.overload import connections, overload
from staying_up.plan import QUICK, Bench, Found, Plan
from staying_up.slow_model import TIMES
from staying_up.swap import swap

PARTS = ("neighbour", "overload", "connections", "beside", "swap", "budget")
NOT_QUIET = 0.05  # of the servers' core, with others; figures of such a run mean little
_VERSIONS = ("windvane", "numpy", "onnxruntime", "uvicorn")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, write; 0 if every measure holds."""
    options = read_options(
        arguments,
        about=__doc__,
        only=f"some of {', '.join(PARTS)}; a,b for several",
        out=FOLDER / "staying_up.json",
    )
    console = Console(width=None if sys.stdout.isatty() else 150, log_path=False)
    progress = Console(stderr=True, log_path=False, width=150) if options.json else console
    for problem in problems():
        console.print(problem)
        return 2
    parts = [part for part in PARTS if wanted(part, options.only)]
    if not parts:
        console.print(f"no part has {options.only!r} in its name: {', '.join(PARTS)}")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are ended too
    plan = QUICK if options.quick else Plan()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-staying-up-") as scratch:
        progress.log("read the rows")
        try:
            found = run_parts(Path(scratch), thin(read_rows()), plan, parts, progress.log)
        except (ServerFailed, RuntimeError, OSError, subprocess.SubprocessError) as error:
            console.print(f"[bold red]failed[/]: {error}")
            return 2
    measures, seen = found.measures, found.seen
    settings = {
        **asdict(plan), "server_core": SERVER_CORE, "load_core": LOAD_CORE,
        "quiet_rate": QUIET_RATE, "noisy_limit": NOISY_RATE, "noisy_rate": FLOOD,
        "slow_deadline_ms": SLOW_DEADLINE_MS, "slow_times": TIMES,
        "seconds": round(time.monotonic() - began),
        "others_on_server_core": [round(share, 3) for share in found.others],
    }  # fmt: skip
    notes = [one.to_dict() for one in seen]
    ok = all(m.ok for m in measures)
    if options.out:
        ok = write_results(
            options.out, measures, settings=settings, informational=notes, versions=_VERSIONS
        )
    if options.json:
        body: dict[str, Any] = {"measures": [m.to_dict() for m in measures], "seen": notes}
        print(json.dumps({"machine": machine(), "settings": settings, **body}, indent=1))
        return 0 if ok else 1
    show_seen(console, seen)
    show_measures(console, measures)
    if max(found.others) > NOT_QUIET:
        console.print(
            f"[bold red]not a quiet machine[/]: processes of others had up to "
            f"{max(found.others):.0%} of the servers' core during a load"
        )
    if options.out:
        console.print(f"written: {options.out.name}; {'all hold' if ok else 'NOT all hold'}")
    return 0 if ok else 1


def run_parts(
    folder: Path, rows: Rows, plan: Plan, parts: Sequence[str], say: Callable[[str], None]
) -> Found:
    """The parts in their order; those of one installation share its gateway."""
    home = make_home(folder, rows, say)
    bench = Bench(folder, home, Loader(folder, LOAD_CORE, rows), plan, say)
    os.sched_setaffinity(0, {LOAD_CORE})  # not where the servers are timed
    found = Found()
    if {"neighbour", "overload", "connections", "beside"} & set(parts):
        with up(home.folder, bench.scratch("main")) as gateway:
            if "neighbour" in parts:
                found.add(neighbour(bench, gateway))
            if "connections" in parts:
                found.add(connections(bench, gateway))
            if {"overload", "beside"} & set(parts):
                more, capacity = overload(bench, gateway)
                found.add(more)
                if "beside" in parts:
                    found.add(beside(bench, gateway, capacity))
            found.others.extend(gateway.others)
    if "swap" in parts:
        found.add(swap(bench))
    if "budget" in parts:
        found.add(budget(bench))
    return found


def show_seen(console: Console, seen: Sequence[Seen]) -> None:
    table = Table(
        title="One row a request; the gateway and all its processes on one core",
        title_justify="left",
        caption="Latency in ms of predictions; at a rate, from when each was due. "
        "refused: 429 and 503; late: given up at the deadline (504); stolen: what the "
        "hypervisor took of each second of both cores.",
        caption_justify="left",
    )
    table.add_column("part")
    table.add_column("case")
    for name in (
        "asked /s",
        "answered /s",
        "p50",
        "p99",
        "max",
        "refused",
        "late",
        "failed",
        "stolen",
    ):
        table.add_column(name, justify="right")
    part = ""
    for s in seen:
        if s.part != part and part:
            table.add_section()
        table.add_row(
            s.part if s.part != part else "", s.case, f"{s.rate:,.0f}", f"{s.answered:,.1f}",
            f"{s.p50_ms:.2f}", f"{s.p99_ms:.2f}", f"{s.max_ms:.1f}", f"{s.refused:,}",
            f"{s.late:,}", f"[bold red]{s.failed:,}[/]" if s.failed else "0",
            f"{s.stolen:.1%}",
        )  # fmt: skip
        part = s.part
    console.print(table)


if __name__ == "__main__":
    raise SystemExit(main())

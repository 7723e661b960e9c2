"""False alarms where nothing changed, faults that are found, real flights, and the cost.

What runs is the product's own: the baseline of a past, the monitor of sudden shifts with the
sketches of each tenant, the thresholds of the default budget, and the gathering into incidents.
Rows are simulated with fixed seeds; flights are real, in their real order.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import Any

from results import FOLDER, Measure, read_options, show_measures, write_results
from rich.console import Console
from rich.table import Table
from watch_cost import cost_measures, run_cost
from watch_false_alarms import FULL, QUICK, Length, false_alarm_measures, loosened, run_world
from watch_faults import FAULTS, fault_measures, fault_table, run_faults
from watch_flights import TRAINED_TO, flight_measures, run_flights
from watch_low_traffic import low_traffic_measures, low_traffic_table, run_low_traffic
from watch_worlds import WORLDS

PARTS = ("alarms", "faults", "low", "flights", "cost")
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of everything."""

    length: Length = FULL
    worlds: tuple[str, ...] = tuple(WORLDS)
    world_seeds: tuple[int, ...] = (1,)
    faults: tuple[str, ...] = tuple(FAULTS)
    fault_seeds: tuple[int, ...] = (1, 2)
    low_seeds: tuple[int, ...] = tuple(range(1, 13))
    flight_days: float = 275.0
    flight_faults: bool = True
    cost_turns: int = 200


QUICK_AMOUNT = Amount(
    length=QUICK, worlds=("AR(.9) rows",), faults=("nulls 100%",), fault_seeds=(1,),
    low_seeds=(2,), flight_days=5.0, flight_faults=False, cost_turns=10,
)  # fmt: skip


def run_parts(parts: Sequence[str], amount: Amount, said: Callable[[str], None]) -> dict[str, Any]:
    """The results of each part, as many at a time as there are cores; ``said`` how far it is."""
    tasks: dict[str, list[Future[Any]]] = {part: [] for part in parts}
    cores = len(os.sched_getaffinity(0))
    # Forked processes would share the parent's threads' locks.
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        if "flights" in tasks:
            until = TRAINED_TO + amount.flight_days * DAY_S
            tasks["flights"].append(pool.submit(run_flights, until, faults=amount.flight_faults))
        if "alarms" in tasks:
            tasks["alarms"] = [
                pool.submit(run_world, name, seed, amount.length)
                for name in amount.worlds
                for seed in amount.world_seeds
            ]
            tasks["alarms"].append(pool.submit(loosened, amount.length))
        if "faults" in tasks:
            tasks["faults"] = [
                pool.submit(run_faults, seed, amount.faults) for seed in amount.fault_seeds
            ]
        if "low" in tasks:
            tasks["low"] = [pool.submit(run_low_traffic, seed) for seed in amount.low_seeds]
        everything = [one for futures in tasks.values() for one in futures]
        for done, _ in enumerate(as_completed(everything), start=1):
            said(f"{done} of {len(everything)} runs")
        out: dict[str, Any] = {
            part: [one.result() for one in futures] for part, futures in tasks.items()
        }
    if "cost" in parts:  # alone, so that nothing else is on the core
        out["cost"] = [run_cost(amount.cost_turns)]
    return out


def measures_of(found: dict[str, Any], *, quick: bool) -> list[Measure]:
    out: list[Measure] = []
    if "alarms" in found:
        *worlds, loose = found["alarms"]
        out += false_alarm_measures(worlds, loose, quick=quick)
    if "faults" in found:
        out += fault_measures([e for run in found["faults"] for e in run])
    if "low" in found:
        out += low_traffic_measures(found["low"])
    if "flights" in found:
        out += flight_measures(found["flights"][0])
    if "cost" in found:
        out += cost_measures(found["cost"][0])
    return out


def tables_of(found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What has no bound of its own: title -> lines."""
    out: dict[str, list[dict[str, Any]]] = {}
    if "alarms" in found:
        *worlds, loose = found["alarms"]
        out["No drift"] = worlds
        out["Evidence multiplied until it alarms three times too often"] = [loose]
    if "faults" in found:
        out["Faults"] = fault_table([e for run in found["faults"] for e in run])
    if "low" in found:
        out["Total faults at 20 rows an hour"] = low_traffic_table(found["low"])
    if "flights" in found:
        run = found["flights"][0]
        out["Flights in real order"] = [
            {"windows": run["windows"], "incidents": run["incidents"], **run["by_kind"],
             "told": json.dumps(run["told"]), "by month": json.dumps(run["by_month"])}
        ]  # fmt: skip
        if run["episodes"]:
            out["Faults put into flights"] = run["episodes"]
    if "cost" in found:
        out["Cost"] = found["cost"]
    return out


def show(console: Console, title: str, lines: Sequence[dict[str, Any]]) -> None:
    if not lines:
        return
    table = Table(*lines[0], title=title, title_justify="left")
    for line in lines:
        table.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in line.values()))
    console.print(table)


def without_infinity(line: dict[str, Any]) -> dict[str, Any]:
    """JSON has none: null is "never"."""
    return {
        k: None if isinstance(v, float) and not abs(v) < float("inf") else v
        for k, v in line.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    given = read_options(
        arguments, about=__doc__, only=f"a part: {', '.join(PARTS)}", out=FOLDER / "watch.json"
    )
    console = Console(stderr=given.json, width=160)
    if given.only and given.only not in PARTS:
        console.print(f"there is no part {given.only!r}: {', '.join(PARTS)}")
        return 2
    amount = QUICK_AMOUNT if given.quick else Amount()
    log = Console(stderr=True)
    found = run_parts([given.only] if given.only else PARTS, amount, log.print)
    measures, tables = measures_of(found, quick=given.quick), tables_of(found)
    for title, lines in tables.items():
        show(console, title, lines)
    show_measures(console, measures)
    informational = [
        {"table": title, **without_infinity(line)} for title, lines in tables.items()
        for line in lines
    ]  # fmt: skip
    ok = all(m.ok for m in measures)
    if given.out is not None:
        settings = {"quick": given.quick, **asdict(amount)}
        write_results(given.out, measures, settings=settings, informational=informational)
    if given.json:
        sys.stdout.write(json.dumps({"measures": [m.to_dict() for m in measures]}) + "\n")
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())

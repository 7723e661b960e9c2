"""False alarms where nothing changed, faults that are found, real rows, peers, and the cost.

What runs is the product's own: the baseline of a past, the monitors with the sketches of each
tenant, the thresholds of the default budget, and the gathering into incidents. Rows are simulated
with fixed seeds, or real and in their real order. Peers are measured on the same rows.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from results import (
    FOLDER,
    Measure,
    fill_page,
    markdown_measures,
    markdown_table,
    read_options,
    show_measures,
    write_results,
)
from rich.console import Console
from rich.table import Table
from watch_cost import cost_measures, cost_table, run_cost, run_libraries_cost, run_report
from watch_estimates import TABLES as LABELLED
from watch_estimates import estimate_measures, run_estimates
from watch_false_alarms import FULL, QUICK, Length, false_alarm_measures, loosened, run_world
from watch_faults import FAULTS, fault_measures, fault_table, run_faults
from watch_flights import flight_measures, run_flights
from watch_libraries import Extent, library_measures, library_table, run_libraries
from watch_low_traffic import low_traffic_measures, low_traffic_table, run_low_traffic
from watch_real import (
    ALL_WEEKS,
    STEADY,
    episode_measures,
    episode_table,
    run_episodes,
    run_steady,
    steady_measures,
    steady_table,
)
from watch_small_shifts import (
    FOUND_WITHIN,
    run_small_shifts,
    small_shift_measures,
    small_shift_table,
)
from watch_tables import EVERYONE, LARGE, SMALL, TABLES
from watch_truth import run_truth, truth_measures, truth_runs, truth_table
from watch_worlds import DAY, WORLDS

PARTS = (
    "alarms", "small", "faults", "low", "steady", "tables", "peers", "flights", "truth",
    "estimates", "cost",
)  # fmt: skip
PAGE = Path(__file__).parents[1] / "docs/explain/watching-measured.md"


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of everything."""

    length: Length = FULL
    worlds: tuple[str, ...] = tuple(WORLDS)
    world_seeds: tuple[int, ...] = (1,)
    faults: tuple[str, ...] = tuple(FAULTS)
    fault_seeds: tuple[int, ...] = (1, 2)
    small_windows: int = 10_080
    small_repetitions: int = 20
    low_seeds: tuple[int, ...] = tuple(range(1, 13))
    steady_weeks: float = 60.0
    loosened_weeks: float = 12.0
    tables: tuple[str, ...] = tuple(TABLES)
    table_faults: tuple[str, ...] = ()
    table_weeks: float = ALL_WEEKS  # before a fault
    peers: tuple[str, ...] = STEADY
    extent: Extent = field(default_factory=Extent)
    flight_days: float = 275.0
    truth_seeds: tuple[int, ...] = (1, 2, 3)
    estimate_windows: int = 1_000
    cost_turns: int = 200
    library_turns: int = 5
    library_reference: int = 100_000
    report_rows: int = 1_000_000


WHOLE_AMOUNT = Amount(
    length=Length(bare=12 * 7 * DAY, pages=12 * 7 * DAY), world_seeds=(1, 2, 3, 4, 5),
    fault_seeds=(1, 2, 3, 4, 5),
)  # fmt: skip
SHORT_AMOUNT = Amount(
    length=Length(past=2 * DAY, warm=120, bare=240, pages=120),
    worlds=("AR(.9) rows", "day, night and weekend", "bursts of 20"), fault_seeds=(1,),
    faults=("nulls 100%", "nulls 10%", "variance x4", "category casing", "two columns swapped"),
    small_windows=1_008, small_repetitions=5, low_seeds=(1, 2), steady_weeks=6.0,
    loosened_weeks=4.0, flight_days=30.0, truth_seeds=(1,), cost_turns=50,
    table_faults=("nulls 100%", "all zero", "category casing", "timezone shift", "stale day",
                  "duplicate burst", "columns swapped"),
    extent=Extent(calm=30, faulty=6, reference=5_000, whose=(EVERYONE,),
                  faults=("nulls 100%", "nulls 10%", "columns swapped", "category renamed")),
    library_turns=2, library_reference=20_000, report_rows=100_000,
)  # fmt: skip
QUICK_AMOUNT = Amount(
    length=QUICK, worlds=("AR(.9) rows",), faults=("nulls 100%",), fault_seeds=(1,),
    small_windows=100, small_repetitions=1, low_seeds=(2,), flight_days=5.0, cost_turns=10,
    table_weeks=2.0, tables=("flights",), table_faults=("nulls 100%",), peers=(), library_turns=0,
    truth_seeds=(), estimate_windows=0, report_rows=20_000,
)  # fmt: skip


def run_parts(parts: Sequence[str], amount: Amount, said: Callable[[str], None]) -> dict[str, Any]:
    """The results of each part, as many at a time as there are cores; ``said`` how far it is."""
    tasks: dict[str, list[Future[Any]]] = {}
    cores = len(os.sched_getaffinity(0))
    # Forked processes would share the parent's threads' locks.
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        for part in parts:
            tasks[part] = [pool.submit(one) for one in _jobs(part, amount)]
        everything = [one for futures in tasks.values() for one in futures]
        for done, _ in enumerate(as_completed(everything), start=1):
            said(f"{done} of {len(everything)} runs")
        out: dict[str, Any] = {
            part: [one.result() for one in futures] for part, futures in tasks.items()
        }
    if "cost" in parts:  # alone, so that nothing else is on the core
        out["cost"] = {
            "window": run_cost(amount.cost_turns),
            "libraries": run_libraries_cost(amount.library_reference, amount.library_turns)
            if amount.library_turns else {},
            "report": run_report(amount.report_rows, libraries=amount.library_turns > 0),
            "report_rows": amount.report_rows,
        }  # fmt: skip
    return out


def _jobs(part: str, amount: Amount) -> list[Callable[[], Any]]:
    """What a part runs; each may run by itself."""
    match part:
        case "alarms":
            worlds = [
                partial(run_world, name, seed, amount.length)
                for name in amount.worlds
                for seed in amount.world_seeds
            ]
            return [*worlds, partial(loosened, min(amount.length, FULL, key=lambda x: x.bare))]
        case "small":
            return [partial(run_small_shifts, rows, amount.small_windows, amount.small_repetitions)
                    for rows in FOUND_WITHIN]  # fmt: skip
        case "faults":
            return [partial(run_faults, seed, amount.faults) for seed in amount.fault_seeds]
        case "low":
            return [partial(run_low_traffic, seed) for seed in amount.low_seeds]
        case "steady":
            return [
                partial(run_steady, name, amount.steady_weeks, amount.loosened_weeks)
                for name in STEADY
                if name in amount.tables
            ]
        case "tables":
            whose = (EVERYONE, LARGE, SMALL)
            return [partial(run_episodes, name, whose, amount.table_faults, amount.table_weeks)
                    for name in amount.tables]  # fmt: skip
        case "peers":
            return [partial(run_libraries, name, amount.extent) for name in amount.peers]
        case "flights":
            return [partial(run_flights, amount.flight_days)]
        case "truth":
            return [partial(run_truth, *one) for one in truth_runs(amount.truth_seeds)]
        case "estimates":
            return [partial(run_estimates, name, 1_000, amount.estimate_windows)
                    for name in (LABELLED if amount.estimate_windows else ())]  # fmt: skip
        case _:
            return []


def measures_of(found: dict[str, Any], amount: Amount, *, quick: bool) -> list[Measure]:
    out: list[Measure] = []
    if "alarms" in found:
        *worlds, loose = found["alarms"]
        out += false_alarm_measures(worlds, loose, quick=quick)
    if "small" in found:
        out += small_shift_measures(found["small"])
    if "faults" in found:
        out += fault_measures([e for run in found["faults"] for e in run])
    if "low" in found:
        out += low_traffic_measures(found["low"])
    if found.get("steady"):
        out += steady_measures(found["steady"])
    if "tables" in found:
        out += episode_measures([e for run in found["tables"] for e in run])
    if found.get("peers"):
        out += library_measures([e for run in found["peers"] for e in run], amount.extent)
    if "flights" in found:
        out += flight_measures(found["flights"][0])
    if found.get("truth"):
        out += truth_measures(found["truth"])
    if found.get("estimates"):
        out += estimate_measures(found["estimates"])
    if "cost" in found:
        out += cost_measures(found["cost"])
    return out


def tables_of(found: dict[str, Any], amount: Amount) -> dict[str, list[dict[str, Any]]]:
    """What has no bound of its own: title -> lines."""
    out: dict[str, list[dict[str, Any]]] = {}
    if "alarms" in found:
        *worlds, loose = found["alarms"]
        out["No drift"] = worlds
        out["Evidence multiplied until it alarms three times too often"] = [loose]
    if "small" in found:
        out["Flights without drift, and a small shift"] = small_shift_table(found["small"])
    if "faults" in found:
        out["Faults"] = fault_table([e for run in found["faults"] for e in run])
    if "low" in found:
        out["Total faults at 20 rows an hour"] = low_traffic_table(found["low"])
    if found.get("steady"):
        out["Real rows without drift, in real order"] = steady_table(found["steady"])
    if "tables" in found:
        out["Faults put into real rows"] = episode_table(
            [e for run in found["tables"] for e in run]
        )
    if found.get("peers"):
        lines = [e for run in found["peers"] for e in run]
        out["Beside peers, on the same windows"] = library_table(lines, amount.extent)
    if "flights" in found:
        run = found["flights"][0]
        out["Flights in real order"] = [
            {"windows": run["windows"], "incidents": run["incidents"], **run["by_kind"],
             "told": json.dumps(run["told"]), "by month": json.dumps(run["by_month"])}
        ]  # fmt: skip
    if found.get("truth"):
        out["Labels that are spoiled"] = truth_table(found["truth"])
    if found.get("estimates"):
        out["Estimates before labels come"] = found["estimates"]
    if "cost" in found:
        out["Cost"] = cost_table(found["cost"])
    return out


def page_of(found: dict[str, Any], amount: Amount, mode: str) -> str:
    """What was found, as Markdown; by which mode, for a shorter one has less to say."""
    measures = measures_of(found, amount, quick=mode == "quick")
    held = sum(m.ok for m in measures)
    head = f"Mode `{mode}`: {held} of {len(measures)} bounds hold."
    tables = [markdown_table(title, lines) for title, lines in tables_of(found, amount).items()]
    return "\n\n".join([head, markdown_measures(measures), *tables])


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
        arguments, about=__doc__, only=f"a part: {', '.join(PARTS)}", out=FOLDER / "watch.json",
        short="the same measures on less of everything: ten minutes of two cores",
        whole="12 weeks of each simulated world with five seeds: days of two cores",
    )  # fmt: skip
    console = Console(stderr=given.json, width=160)
    if given.only and given.only not in PARTS:
        console.print(f"there is no part {given.only!r}: {', '.join(PARTS)}")
        return 2
    mode = next((m for m in ("quick", "short", "whole") if getattr(given, m)), "default")
    amount = {"quick": QUICK_AMOUNT, "short": SHORT_AMOUNT, "whole": WHOLE_AMOUNT}.get(
        mode, Amount()
    )
    log = Console(stderr=True)
    found = run_parts([given.only] if given.only else PARTS, amount, log.print)
    measures = measures_of(found, amount, quick=given.quick)
    tables = tables_of(found, amount)
    for title, lines in tables.items():
        show(console, title, lines)
    show_measures(console, measures)
    informational = [
        {"title": title, **without_infinity(line)} for title, lines in tables.items()
        for line in lines
    ]  # fmt: skip
    ok = all(m.ok for m in measures)
    if given.out is not None:
        settings = {"quick": given.quick, "mode": mode, **asdict(amount)}
        write_results(given.out, measures, settings=settings, informational=informational)
    if given.page:
        for part in found:
            fill_page(PAGE, part, page_of({part: found[part]}, amount, mode))
    if given.json:
        sys.stdout.write(json.dumps({"measures": [m.to_dict() for m in measures]}) + "\n")
    missed = sum(not m.ok for m in measures)
    console.print(f"{len(measures) - missed} of {len(measures)} bounds hold, {missed} are missed")
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())

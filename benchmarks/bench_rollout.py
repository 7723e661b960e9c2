"""Rollouts, simulated: how often equal versions are taken back, how soon worse ones are, and what
silence promotes.

The gate is the product's own, judged each minute; what happens to units is kept as the control
store keeps it. Peers judge the same worlds by requests.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
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
from rollout_worlds import MINUTES, PEERS, Driven, World, drive, peers
from scipy.special import betaincinv

from windvane.core.rollout import GatePolicy

PAGE = Path(__file__).parents[1] / "docs/explain/rollouts-measured.md"
SOAK_S = 600.0
ALPHA = 0.05
POLICY = GatePolicy(soak_s=SOAK_S, outcomes=False)
WITH_OUTCOMES = GatePolicy(soak_s=SOAK_S)
EQUAL = {
    "no errors": World(base=0.0),
    ".1% errors": World(base=0.001),
    "2% errors": World(),
    "20% errors": World(base=0.2),
    "1% of 20,000 units always fail": World(base=0.0, always=0.01),
    "1% of 4,000 units always fail": World(base=0.0, always=0.01, units=4_000),
    "five tenants, 0 to 30%": World(rates=(0.0, 0.05, 0.1, 0.2, 0.3)),
    "heavy-tailed activity": World(tail=1.1),
    "a burst of five minutes": World(burst=(20, 25)),
    "steps 50% to 5%": World(steps=(0.5,), edited=(0.05, 0.25), always=0.01),
    "steps 5% to 50%": World(steps=(0.05, 0.25), edited=(0.5,), always=0.01),
    "outcomes, 1 row a unit": World(base=0.001, positives=0.2, units=10**6),
    "outcomes, 100 rows a unit": World(base=0.001, positives=0.2, units=400),
}
WORSE = {
    "6% errors for 2%": World(worse=3.0),
    "1% errors for .1%": World(base=0.001, worse=10.0),
    "30% of 504s": World(base=0.0, unanswered=0.3),
    "nobody sends anything after the first stage": World(stops=12),
    "p99 three times": World(slower=3.0),
    "p99 twice": World(slower=2.0),
    "one of five tenants broken": World(base=0.001, broken=2),
    "answers with noise": World(base=0.001, positives=0.2, noise=3.0, units=10**6),
    "a constant 0, .5% positives": World(base=0.001, positives=0.005, constant=True, units=10**6),
}
PEERED = ("2% errors", "1% of 20,000 units always fail", "five tenants, 0 to 30%",
          "a burst of five minutes", "6% errors for 2%", "1% errors for .1%")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Amount:
    rollouts: int = 1_000
    peered: int = 200


def lower_95(found: int, of: int) -> float:
    """The lower 95% bound of a share (Clopper & Pearson)."""
    return float(betaincinv(found, of - found + 1, 0.05)) if found else 0.0


def run_one(world: World, seed: int) -> Driven:
    return drive(world, seed, WITH_OUTCOMES if world.positives is not None else POLICY)


def run(amount: Amount, only: Sequence[str], console: Console) -> dict[str, Any]:
    cores = len(os.sched_getaffinity(0))
    found: dict[str, list[Driven]] = {}
    beside: dict[str, list[dict[str, int | None]]] = {}
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        for name, world in {**EQUAL, **WORSE}.items():
            if only and name not in only:
                continue
            tasks = pool.map(partial(run_one, world), range(amount.rollouts), chunksize=4)
            found[name] = list(tasks)
            if name in PEERED:
                beside[name] = list(pool.map(partial(peers, world), range(amount.peered)))
            console.print(f"{name}: {_ends(found[name])}")
    return {"found": found, "peers": beside}


def _ends(rollouts: Sequence[Driven]) -> str:
    kinds = ("rolled back", "promoted", "held")
    return ", ".join(f"{sum(r.end == k for r in rollouts):,} {k}" for k in kinds)


def _median(rollouts: Sequence[Driven], end: str) -> float:
    minutes = [r.minute for r in rollouts if r.end == end]
    return statistics.median(minutes) if minutes else float("nan")


def _share(rollouts: Sequence[Driven], end: str) -> float:
    return sum(r.end == end for r in rollouts) / len(rollouts)


def measures_of(found: dict[str, list[Driven]]) -> list[Measure]:
    out: list[Measure] = []
    for name in EQUAL:
        if name in found:
            back = sum(r.end == "rolled back" for r in found[name])
            bound = lower_95(back, len(found[name]))
            what = f"equal versions, {name}: rolled back, lower 95% bound of the share"
            out.append(Measure(what, bound, at_most=ALPHA))
    for name, within in (("6% errors for 2%", 15.0), ("1% errors for .1%", 45.0)):
        if name in found:
            out.append(Measure(f"{name}: minutes until it is rolled back, median",
                               _median(found[name], "rolled back"), at_most=within))  # fmt: skip
    for name, most in (
        ("1% errors for .1%", 0.05), ("30% of 504s", 0.0),
        ("nobody sends anything after the first stage", 0.0), ("p99 twice", 0.05),
        ("p99 three times", 0.05), ("one of five tenants broken", 0.05),
        ("answers with noise", 0.05), ("a constant 0, .5% positives", 0.05),
    ):  # fmt: skip
        if name in found:
            what = f"{name}: promoted (share)"
            out.append(Measure(what, _share(found[name], "promoted"), at_most=most))
    for name in ("p99 three times", "one of five tenants broken", "answers with noise"):
        if name in found:
            what = f"{name}: rolled back (share)"
            out.append(Measure(what, _share(found[name], "rolled back"), at_least=0.95))
    return out


def table_of(
    found: dict[str, list[Driven]], beside: dict[str, list[dict[str, int | None]]]
) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for name, rollouts in found.items():
        line: dict[str, Any] = {
            "world": name, "rollouts": len(rollouts),
            **{end: _share(rollouts, end) for end in ("rolled back", "promoted", "held")},
            "minutes to roll back": _median(rollouts, "rolled back"),
            "minutes to promote": _median(rollouts, "promoted"),
        }  # fmt: skip
        told = beside.get(name, [])
        for peer in PEERS:
            hits = [one[peer] for one in told if one[peer] is not None]
            line[f"{peer}: rolled back"] = len(hits) / len(told) if told else float("nan")
        out.append(line)
    return out


def _finite(value: Any) -> Any:
    """JSON has no NaN: null is "never"."""
    return None if isinstance(value, float) and math.isnan(value) else value


def main(arguments: Sequence[str] | None = None) -> int:
    given = read_options(
        arguments, about=__doc__, only="a world, by its name", out=FOLDER / "rollout.json",
        short="100 rollouts of each world: twenty minutes of two cores",
        whole="5,000 rollouts of each world",
    )  # fmt: skip
    console, log = Console(stderr=given.json, width=160), Console(stderr=True)
    if given.only and given.only not in {**EQUAL, **WORSE}:
        console.print(f"there is no world {given.only!r}: {', '.join({**EQUAL, **WORSE})}")
        return 2
    mode = next((m for m in ("quick", "short", "whole") if getattr(given, m)), "default")
    amount = {
        "quick": Amount(2, 2), "short": Amount(100, 50), "whole": Amount(5_000, 1_000)
    }.get(mode, Amount())  # fmt: skip
    ran = run(amount, [given.only] if given.only else [], log)
    measures = measures_of(ran["found"])
    lines = table_of(ran["found"], ran["peers"])
    show_measures(console, measures)
    settings = {"mode": mode, "rollouts": amount.rollouts, "minutes": MINUTES, "soak_s": SOAK_S}
    if given.out is not None:
        clean = [{k: _finite(v) for k, v in line.items()} for line in lines]
        write_results(given.out, measures, settings=settings, informational=clean)
    if given.page:
        held = sum(m.ok for m in measures)
        head = f"Mode `{mode}`: {held} of {len(measures)} bounds hold."
        table = markdown_table("Worlds", lines)
        fill_page(PAGE, "rollouts", "\n\n".join([head, markdown_measures(measures), table]))
    if given.json:
        sys.stdout.write(json.dumps({"measures": [m.to_dict() for m in measures]}) + "\n")
    missed = sum(not m.ok for m in measures)
    console.print(f"{len(measures) - missed} of {len(measures)} bounds hold, {missed} are missed")
    return 0 if missed == 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())

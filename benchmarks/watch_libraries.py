"""Windvane beside libraries that people use for drift, on the same windows in the same run.

Each library lives in an environment of its own (`tools/make_peers.sh --of watching`) and is asked
by `watching/peers/NAME/score.py`. Two questions: what it flags by its own defaults where nothing
drifts, and how long it takes to flag a fault at the threshold that gives it as many false alarms
as Windvane had on the same calm windows. That threshold is set on what the library itself scored
on those windows, feature by feature as a multiple of the feature's middle score: no user has it.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results import Measure
from watch_peers import KS_AT, PSI_AT, TableReference
from watch_real import ALL_WEEKS, WEEK_S, get_ready, pages, run_episodes
from watch_tables import EVERYONE, LARGE, Columns, Table

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "benchmarks/watching"
LIBRARIES = ("Evidently", "NannyML", "whylogs")
PSI_NAME, KS_NAME, OURS = "PSI > 0.2", "KS p < .05", "Windvane"
LEAST_ROWS = 50  # of a window: fewer are judged by nobody
_TINY = 1e-9
_SECONDS = 1_800.0
_QUIET = {
    "DO_NOT_TRACK": "1",
    "NML_DISABLE_USAGE_LOGGING": "1",
    "WHYLOGS_NO_ANALYTICS": "True",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


@dataclass(frozen=True, slots=True)
class Scored:
    """What a peer says of windows: larger scores are more drift; ``alarms`` by its defaults."""

    scores: Sequence[Mapping[str, float]]
    alarms: Sequence[Sequence[str]]
    cpu_s: Sequence[float] = ()
    ready_s: float = 0.0
    version: str = ""


@dataclass(frozen=True, slots=True)
class Extent:
    """How many calm windows, how many faulty ones, and rows of the reference."""

    calm: int = 200
    faulty: int = 24
    reference: int = 20_000
    whose: tuple[str, ...] = (EVERYONE, LARGE)
    faults: tuple[str, ...] = ()


def installed(library: str) -> bool:
    return (ROOT / ".bench" / library.lower() / ".stamp").exists()


def ask(library: str, reference: Columns, windows: Sequence[Columns]) -> Scored:
    """Raises SystemExit with the peer's last words where it fails."""
    name = library.lower()
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npz", Path(folder) / "out.json"
        held: dict[str, NDArray[Any]] = {
            "bounds": np.cumsum([0, *(_rows(w) for w in windows)]), "names": np.array([*reference]),
        }  # fmt: skip
        for feature, values in reference.items():
            held[f"reference/{feature}"] = _plain(values)
            held[f"current/{feature}"] = _plain(np.concatenate([w[feature] for w in windows]))
        np.savez(source, allow_pickle=False, **held)
        done = subprocess.run(
            [str(ROOT / ".bench" / name / "bin/python"), str(SCRIPTS / "peers" / name / "score.py"),
             str(source), str(target)],
            env={**os.environ, **_QUIET, "PYTHONPATH": str(SCRIPTS)}, cwd=folder,
            capture_output=True, text=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{library} failed: {done.stderr[-1_500:]}")
        return Scored(**json.loads(target.read_text()))


def _rows(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """Texts of one width, for an archive without pickles: a null is empty."""
    if values.dtype != object:
        return values.astype(np.float64)
    return np.array(["" if v is None else v for v in values], dtype=np.str_)


def _by_hand(reference: Columns, windows: Sequence[Columns]) -> dict[str, Scored]:
    held = TableReference.of(reference)
    psi = [held.psi(w) for w in windows]
    p = [held.ks_p(w) for w in windows]
    return {
        PSI_NAME: Scored(psi, [[n for n, v in one.items() if v > PSI_AT] for one in psi]),
        KS_NAME: Scored(
            [{n: -math.log10(max(v, 1e-300)) for n, v in one.items()} for one in p],
            [[n for n, v in one.items() if v < KS_AT] for one in p],
        ),
    }


def equal_rate(
    calm: Sequence[Mapping[str, float]], scores: Sequence[Mapping[str, float]], allowed: int
) -> list[list[str]]:
    """The features of each window that are beyond the threshold that flags ``allowed`` of the calm
    windows."""
    names = {name for one in calm for name in one}
    middle = {
        name: max(statistics.median(one.get(name, 0.0) for one in calm), _TINY) for name in names
    }

    ranked = sorted(
        (max((v / middle[n] for n, v in one.items()), default=0.0) for one in calm), reverse=True
    )
    limit = ranked[allowed] if allowed < len(ranked) else -math.inf
    return [[n for n, v in one.items() if n in middle and v / middle[n] > limit] for one in scores]


def _calm(table: Table, extent: Extent, target: str) -> list[float]:
    known = [
        s for s in table.windows
        if table.trained_to <= s < table.fault_at and len(table.rows_of(s, target)) >= LEAST_ROWS
    ]  # fmt: skip
    return known[-extent.calm :]


def _reference(table: Table, extent: Extent, target: str) -> Columns:
    rows = np.concatenate([table.rows_of(s, target) for s in table.windows if s < table.trained_to])
    return table.take(rows[:: max(1, len(rows) // extent.reference)])


def run_libraries(name: str, extent: Extent) -> list[dict[str, Any]]:
    """A line for each detector and ``whose``: of a tenant the peers are given its rows alone."""
    ready = get_ready(name, ALL_WEEKS)  # as the faults' own
    table = ready.table
    out: list[dict[str, Any]] = []
    for whose in extent.whose:
        target = table.targets[whose]
        calm = _calm(table, extent, target)
        faulty = [s for s in table.windows if s >= table.fault_at][: extent.faulty]
        faulty = [s for s in faulty if len(table.rows_of(s, target)) >= LEAST_ROWS]
        faults = extent.faults or tuple(table.faults)
        windows = [table.take(table.rows_of(s, target)) for s in calm]
        for fault in faults:
            changed = table.faults[fault].changed
            windows += [changed(table, s, table.rows_of(s, target)) for s in faulty]
        reference = _reference(table, extent, target)
        scored = _by_hand(reference, windows)
        scored |= {one: ask(one, reference, windows) for one in LIBRARIES if installed(one)}
        told = [a for a in ready.replay.alarms if calm[0] < a.opened and a.told == "notify"]
        allowed = pages(told)
        weeks = (calm[-1] + table.window_s - calm[0]) / WEEK_S
        common = {"table": name, "target": whose, "calm": len(calm), "faults": len(faults)}
        delays = _ours(name, whose, faults, faulty)
        out.append({
            **common, "detector": OURS, "calm_flagged": allowed / len(calm),
            "pages_a_week": allowed / weeks, "at_defaults": delays, "at_equal_rate": delays,
            "cpu_ms": math.nan,
        })  # fmt: skip
        for peer, said in scored.items():
            guilty = [table.faults[fault].guilty for fault in faults]
            flagged = [bool(one) for one in said.alarms[: len(calm)]]
            even = equal_rate(said.scores[: len(calm)], said.scores, allowed)
            out.append({
                **common, "detector": f"{peer} {said.version}".strip(),
                "calm_flagged": statistics.fmean(flagged),
                "pages_a_week": sum(flagged) / weeks,
                "at_defaults": _delays(said.alarms[len(calm) :], guilty),
                "at_equal_rate": _delays(even[len(calm) :], guilty),
                "cpu_ms": 1e3 * statistics.median(said.cpu_s) if said.cpu_s else math.nan,
            })  # fmt: skip
    return out


def _ours(name: str, whose: str, faults: Sequence[str], faulty: Sequence[float]) -> list[float]:
    """Windows until each fault is told, of those that the peers see as well."""
    found = {e["fault"]: e for e in run_episodes(name, (whose,), faults)}
    delays = [float(found[f]["windows"]) for f in faults]
    return [min(d, len(faulty)) if d <= len(faulty) else math.inf for d in delays]


def _delays(flags: Sequence[Sequence[str]], guilty: Sequence[Sequence[str]]) -> list[float]:
    """Of each fault the first of its windows with a guilty feature among those that are flagged."""
    windows = len(flags) // len(guilty)
    out: list[float] = []
    for i, names in enumerate(guilty):
        mine = flags[i * windows : (i + 1) * windows]
        hits = [k for k, flagged in enumerate(mine, start=1) if set(flagged) & set(names)]
        out.append(float(hits[0]) if hits else math.inf)
    return out


def mean_delay(delays: Sequence[float], never: float) -> float:
    """In windows; a fault that is never found counts as ``never``."""
    return statistics.fmean(min(d, never) for d in delays)


def library_table(lines: Sequence[Mapping[str, Any]], extent: Extent) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for one in lines:
        found = [d for d in one["at_equal_rate"] if math.isfinite(d)]
        out.append({
            "table": one["table"], "of": one["target"], "detector": one["detector"],
            "calm windows flagged": one["calm_flagged"], "false pages a week": one["pages_a_week"],
            "delay by defaults": mean_delay(one["at_defaults"], extent.faulty),
            "delay at equal rate": mean_delay(one["at_equal_rate"], extent.faulty),
            "found at equal rate": f"{len(found)} of {one['faults']}", "ms a window": one["cpu_ms"],
        })  # fmt: skip
    return out


def library_measures(lines: Sequence[Mapping[str, Any]], extent: Extent) -> list[Measure]:
    out: list[Measure] = []
    for name, whose in dict.fromkeys((one["table"], one["target"]) for one in lines):
        mine = [one for one in lines if (one["table"], one["target"]) == (name, whose)]
        delay = {o["detector"]: mean_delay(o["at_equal_rate"], extent.faulty) for o in mine}
        ours = delay.pop(OURS)
        best = min(delay, key=lambda peer: delay[peer])
        out.append(
            Measure(f"{name}, faults of {whose}: mean delay at equal false-alarm rate, as a"
                    f" share of the best peer's ({best})", ours / delay[best], at_most=0.5)
        )  # fmt: skip
    missing = [one for one in LIBRARIES if not installed(one)]
    out.append(Measure(f"peers that are not installed{': ' if missing else ''}{', '.join(missing)}",
                       len(missing), at_most=0.0))  # fmt: skip
    return out

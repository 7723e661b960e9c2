"""`make bench-recorder`: events a second, sketch keys a minute, and how far it is behind.

One recorder on one core replays encoded events from full spools into sketches (SQLite and
PostgreSQL) and the Delta log; then `windvane up` records half of that rate while its gateway
answers on the same two cores; and a driven clock goes through thirty days.
benchmarks/recording/README.md says how to read it.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench_steward import store_url
from recording.fleet import Fleet, encoded, encoded_of_each, make_fleet
from recording.growth import KEPT, Day, at_rate, describe_day, simulate, with_days
from recording.lag import GATEWAY_RATE, measure_lag
from recording.replay import Replayed, fill, read_all, replay
from results import FOLDER, Measure, ratio, read_options, show_measures, write_results
from rich.console import Console

from windvane.core.health import DAY_S
from windvane.usecases.read_settings import Retention

EVENTS_A_SECOND = 20_000.0
KEYS_A_MINUTE = 10_000.0
LAG_S = 5.0
PARTS = ("sqlite", "postgresql", "lag", "growth")
GROWTH_RATE = 1_000.0
_VERSIONS = ("windvane", "numpy", "deltalake", "sqlalchemy")


def main(arguments: Sequence[str] | None = None) -> int:
    given = read_options(
        arguments, about=__doc__, only=f"some of {', '.join(PARTS)}; a,b for several",
        out=FOLDER / "recorder.json", short="a third of the events; two minutes in all",
    )  # fmt: skip
    console = Console(stderr=given.json, log_path=False)
    wanted = given.only.split(",") if given.only else PARTS
    events = 20_000 if given.quick else 150_000 if given.short else 450_000
    models = 20 if given.quick else 200
    windows = 1 if given.quick else 2 if given.short else 5
    lag_s = 5.0 if given.quick else 15.0 if given.short else 45.0
    settings = {
        "mode": "quick" if given.quick else "short" if given.short else "full",
        "events": events, "models": 20, "tenants": 50, "models_of_keys": models,
        "windows": windows, "lag_s": lag_s, "gateway_rate": GATEWAY_RATE,
    }  # fmt: skip
    found: list[Measure] = []
    notes: list[dict[str, Any]] = []
    for kind in ("sqlite", "postgresql"):
        if kind not in wanted:
            continue
        console.log(f"{kind}: {events:,} events, then the floor")
        fleet = make_fleet(20, 50)
        many = run(kind, fleet, encoded(fleet, events, EVENTS_A_SECOND))
        floor = read_floor(fleet, min(events, 100_000))
        console.log(f"{kind}: {models * 50:,} keys in each of {windows} windows")
        wide = make_fleet(models, 50)
        keyed = run(kind, wide, encoded_of_each(wide, windows))
        found += measures(kind, many, keyed, floor)
        notes += [
            describe(kind, "events", many, floor=round(floor)), describe(kind, "keys", keyed),
        ]  # fmt: skip
        console.log(*notes[-2:])
    if "lag" in wanted:
        with tempfile.TemporaryDirectory(prefix="bench-recorder-") as scratch:
            lag = measure_lag(Path(scratch), EVENTS_A_SECOND / 2, lag_s, 20, 50, console.log)
        found.append(Measure("lag at half the rate, p99 (s)", lag.quantile(0.99), at_most=LAG_S))
        notes.append(
            {
                "part": "lag", "p50_s": round(lag.quantile(0.5), 2),
                "max_s": round(lag.quantile(1.0), 2), "events": lag.written,
                "gateway_answered_a_s": round(lag.answered, 1),
                "gateway_p99_ms": round(lag.gateway_p99_ms, 2),
            }
        )  # fmt: skip
        console.log(notes[-1])
    if "growth" in wanted:
        days = 4 if given.quick else 12 if given.short else 30
        with tempfile.TemporaryDirectory(prefix="bench-growth-") as scratch:
            grown = simulate(Path(scratch), make_fleet(2, 2), days, console.log)
        if not given.quick:
            found += growth_measures(grown)
        notes += growth_notes(grown)
        console.log(notes[-1])
    show_measures(console, found)
    if given.out is None:
        return 0 if all(m.ok for m in found) else 1
    ok = write_results(given.out, found, settings=settings, informational=notes, versions=_VERSIONS)
    return 0 if ok else 1


def run(kind: str, fleet: Fleet, events: Iterable[tuple[float, bytes]]) -> Replayed:
    with tempfile.TemporaryDirectory() as place, store_url(kind, Path(place)) as url:
        return replay(url, Path(place), fleet, events)


def read_floor(fleet: Fleet, events: int) -> float:
    """Events that are read and decoded in a second of the processor, and no more."""
    with tempfile.TemporaryDirectory() as place:
        fill(Path(place), encoded(fleet, events, EVENTS_A_SECOND))
        count, cpu_s = read_all(Path(place))
    return ratio(count, cpu_s)


def measures(kind: str, many: Replayed, keyed: Replayed, floor: float) -> list[Measure]:
    return [
        Measure(f"{kind}: events a second", many.events / many.wall_s, at_least=EVENTS_A_SECOND),
        Measure(
            f"{kind}: CPU of an event, times reading and decoding it",
            ratio(floor, many.events_a_cpu_s),
            at_most=25.0,
        ),
        Measure(f"{kind}: sketch keys a minute", keyed.keys_a_minute, at_least=KEYS_A_MINUTE),
    ]


def growth_measures(days: Sequence[Day]) -> list[Measure]:
    """Of the last day against the first one that has all that is kept: nothing grows on."""
    last = days[-1]
    full = days[min(round(KEPT.predictions), len(days) - 1)]
    bounded = [
        Measure(
            "growth: the log on the last day, times what was forecast before it was full",
            ratio(last.log_bytes, days[2].forecast.level_bytes), at_most=1.1,
        ),
        Measure(
            "growth: the same, not forecast much too high either",
            ratio(last.log_bytes, days[2].forecast.level_bytes), at_least=0.6,
        ),
        Measure(
            "growth: the same, forecast on the first day",
            ratio(last.log_bytes, days[0].forecast.level_bytes), at_most=1.25,
        ),
        Measure(
            "growth: bytes of the log on the last day, times those of a full one",
            ratio(last.log_bytes, full.log_bytes), at_most=1.1,
        ),
    ]  # fmt: skip
    kept = round(KEPT.sketches)
    if len(days) > kept + 1:
        rows = ratio(last.sketches, days[kept].sketches)
        size = ratio(last.database_bytes, days[kept].database_bytes)
        bounded += [
            Measure(
                "growth: sketches on the last day, times those of a full one", rows, at_most=1.1
            ),
            Measure("growth: bytes of the database, times those of a full one", size, at_most=1.1),
        ]
    return bounded


def growth_notes(days: Sequence[Day]) -> list[dict[str, Any]]:
    events = 2 * 2 * 2 * DAY_S / 60.0
    scaled = at_rate(days[-1], events, GROWTH_RATE)
    scale = scaled["log_scale"]
    default = round(with_days(days[-1].forecast, scale, Retention()))
    at_a_rate = {**scaled, "level_bytes_by_default_retention": default}
    return [
        *({"part": "growth", "day": i + 1, **describe_day(day)} for i, day in enumerate(days)),
        {"part": "growth at a rate", **at_a_rate},
    ]


def describe(kind: str, part: str, found: Replayed, **more: float) -> dict[str, Any]:
    return {
        "store": kind, "part": part, "events": found.events, "keys": found.keys,
        "wall_s": round(found.wall_s, 2), "cpu_s": round(found.cpu_s, 2),
        "spool_bytes_an_event": round(found.spool_bytes / found.events),
        "log_bytes_an_event": round(found.log_bytes / found.events),
        "log_files": found.log_files, **more,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())

"""Keep an installation bounded: roll up what is old, remove what is older, a little at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

from windvane.core.drift import block_seconds
from windvane.ports.clock import Clock
from windvane.ports.control_store import AgedRows, ControlStore, Tx
from windvane.ports.event_log import EventLog
from windvane.usecases.expire_events import expire_events
from windvane.usecases.read_model_file import (
    BadModelFile,
    ModelFile,
    parse_duration,
    read_model_file,
)
from windvane.usecases.read_settings import Retention

_log = logging.getLogger(__name__)
_DAY_S, _HOUR_S = 86_400.0, 3_600.0
_AT_ONCE = 500
_EFFECTS_DAYS = 7.0
_STATES_DAYS = 30.0
Step = Callable[[Tx], int]


def keep_bounded(
    store: ControlStore,
    clock: Clock,
    retention: Retention,
    within_s: float,
    elapsed: Callable[[], float] = time.monotonic,
) -> int:
    """Steps of a few hundred rows each for ``within_s`` seconds at most; how many rows there were.

    Each is a transaction of its own, so that nobody waits long. Sums stay what they were: a
    sketch of an hour is the exact sum of its windows.
    """
    until = elapsed() + within_s
    touched = 0
    for models, step in _steps(store, clock, retention):
        while elapsed() < until:
            with store.begin(models) as tx:
                done = step(tx)
            touched += done
            if done < _AT_ONCE:
                break
        else:
            return touched
    return touched


def keep_log_bounded(store: ControlStore, log: EventLog, clock: Clock, retention: Retention) -> int:
    """A bounded step on each table of the log; the rows that were removed."""
    kept = {
        "predictions": retention.predictions * _DAY_S,
        "refusals": retention.refusals * _DAY_S,
        "outcomes": retention.outcomes * _DAY_S,
    }
    removed = expire_events(store, log, clock.now(), kept, {})  # pyright: ignore[reportArgumentType]
    return sum(one.rows for one in removed.values())


def _steps(
    store: ControlStore, clock: Clock, retention: Retention
) -> Iterator[tuple[list[str], Step]]:
    now, wall = clock.now(), clock.wall()
    with store.read() as tx:
        records = tx.models()

    def aged(kind: AgedRows, model: str, days: float, at: float = now) -> Step:
        return lambda tx: tx.drop_aged(kind, model, at - days * _DAY_S, _AT_ONCE)

    for record in records:
        name = record.name
        try:
            file = read_model_file(record.text)
        except BadModelFile:
            continue  # nobody knows what of it is still needed
        for before, span_s in _roll_ups(file, now, retention):
            yield (
                [name],
                lambda tx, of=name, to=before, by=span_s: tx.roll_up_sketches(of, to, by, _AT_ONCE),
            )
        yield [name], aged(AgedRows.SKETCHES, name, retention.sketches)
        yield [name], aged(AgedRows.VERDICT_DETAILS, name, retention.details)
        yield [name], aged(AgedRows.VERDICTS, name, retention.verdicts)
        yield [name], aged(AgedRows.DECISIONS, name, retention.decisions)
    yield [], aged(AgedRows.DECISIONS, "", retention.decisions)
    yield [], aged(AgedRows.EFFECTS, "", _EFFECTS_DAYS, wall)
    yield [], aged(AgedRows.ACCESS, "", retention.access, wall)
    yield [], aged(AgedRows.UNITS, "", 0.0)
    yield [], lambda tx: tx.prune_monitor_states(now - _STATES_DAYS * _DAY_S, _AT_ONCE)


def _roll_ups(file: ModelFile, now: float, retention: Retention) -> Iterator[tuple[float, float]]:
    """(windows that began before, span) in seconds, the shorter span first. The recent past that
    monitors compare with is read in blocks: what is rolled up must not straddle two of them."""
    window_s, recent_s = parse_duration(file.watch.window), parse_duration(file.watch.recent)
    block_s = block_seconds(window_s, recent_s)
    for days, span_s in ((retention.windows, _HOUR_S), (retention.hours, _DAY_S)):
        kept_s = days * _DAY_S
        if block_s % span_s:
            kept_s = max(kept_s, 2.0 * recent_s)
        if window_s < span_s:
            yield (now - kept_s) // span_s * span_s, span_s

"""Keep an installation bounded: roll up what is old, remove what is older, a little at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from windvane.core.drift import block_seconds
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, Tx
from windvane.ports.event_log import EventLog
from windvane.ports.quarantine import Counted, CountName
from windvane.ports.retention import AgedRows
from windvane.usecases.expire_events import expire_events
from windvane.usecases.forecast_log import log_retention_s
from windvane.usecases.monitors import MONITORS
from windvane.usecases.read_model_file import (
    BadModelFile,
    ModelFile,
    parse_duration,
    read_model_file,
)
from windvane.usecases.read_settings import Retention

_DAY_S, _HOUR_S = 86_400.0, 3_600.0
_AT_ONCE = 500
_EFFECTS_DAYS = 7.0
_STATES_DAYS = 30.0
# What they said last holds until their next look, which may be longer than verdicts are kept.
_SLOW = tuple(monitor.name for monitor in MONITORS if monitor.slow)
_DETAILS = 120  # windows: a steward that begins anew learns from them what sizes are usual
ROLLED_UP = "sketches rolled up"
Step = Callable[[Tx], int]


@dataclass
class Turn:
    """Which model is next: what is not reached in one call comes first in the following."""

    after: str = ""


def keep_bounded(
    store: ControlStore,
    clock: Clock,
    retention: Retention,
    within_s: float,
    turn: Turn,
    elapsed: Callable[[], float] = time.monotonic,
) -> int:
    """Steps of a few hundred rows each for ``within_s`` seconds at most; how many rows there were.

    Each is a transaction of its own, so that nobody waits long. Sums stay what they were: a
    sketch of an hour is the exact sum of its windows. A window that is not judged yet is left.
    """
    until = elapsed() + within_s
    touched = 0
    for model, kind, step in _steps(store, clock, retention, turn.after):
        while elapsed() < until:
            with store.begin([model] if model else []) as tx:
                done = step(tx)
                tx.add_counts({Counted(CountName.RETENTION_ROWS, kind): done})
            touched += done
            if done < _AT_ONCE:
                break
        else:
            return touched
        turn.after = model or turn.after
    turn.after = ""
    return touched


def keep_log_bounded(store: ControlStore, log: EventLog, clock: Clock, retention: Retention) -> int:
    """A bounded step on each table of the log; the rows that were removed."""
    removed = expire_events(store, log, clock.now(), log_retention_s(retention), {})
    rows = {Counted(CountName.RETENTION_ROWS, kind): one.rows for kind, one in removed.items()}
    with store.begin([]) as tx:
        tx.add_counts(rows)
    return sum(rows.values())


def _steps(
    store: ControlStore, clock: Clock, retention: Retention, after: str
) -> Iterator[tuple[str, str, Step]]:
    """(model, kind, step): those of no model first, then those of each model from the one behind
    ``after`` on."""
    now, wall = clock.now(), clock.wall()

    def aged(kind: AgedRows, model: str, kept_s: float, at: float = now) -> tuple[str, str, Step]:
        return model, kind, lambda tx: tx.drop_aged(kind, model, at - kept_s, _AT_ONCE)

    def aged_but_newest(kind: AgedRows, model: str, kept_s: float) -> tuple[str, str, Step]:
        return model, kind, lambda tx: tx.drop_aged(kind, model, now - kept_s, _AT_ONCE, _SLOW)

    yield aged(AgedRows.DECISIONS, "", retention.decisions * _DAY_S)
    yield aged(AgedRows.EFFECTS, "", _EFFECTS_DAYS * _DAY_S, wall)
    yield aged(AgedRows.ACCESS, "", retention.access * _DAY_S, wall)
    yield aged(AgedRows.UNITS, "", 0.0)
    states_before = now - _STATES_DAYS * _DAY_S
    yield "", "monitor states", lambda tx: tx.prune_monitor_states(states_before, _AT_ONCE)
    with store.read() as tx:
        names = sorted(tx.applied_at())
    for name in [*(n for n in names if n > after), *(n for n in names if n <= after)]:
        with store.read() as tx:
            (record,) = tx.model_records([name]) or (None,)
        if record is None:
            continue
        try:
            file = read_model_file(record.text)
        except BadModelFile:
            # Its windows' length is not known, and nothing of it is judged until it is mended.
            default = Retention()
            verdicts_s = max(retention.verdicts, default.verdicts) * _DAY_S
            sketches_s = max(retention.sketches, default.sketches) * _DAY_S
            yield aged(AgedRows.SKETCHES, name, sketches_s)
            yield aged(AgedRows.SEGMENTS, name, sketches_s)
            yield aged(AgedRows.VERDICT_DETAILS, name, verdicts_s)
            yield aged(AgedRows.VERDICTS, name, verdicts_s)
            yield aged(AgedRows.DECISIONS, name, retention.decisions * _DAY_S)
            yield aged(AgedRows.INCIDENTS, name, retention.decisions * _DAY_S)
            continue
        for kept_s, span_s in _roll_ups(file, retention):
            yield name, ROLLED_UP, partial(_roll_up, name, now - kept_s, span_s)
        # They are never summed up: only windows are judged by segment.
        apart_s = min((kept_s for kept_s, _ in _roll_ups(file, retention)), default=math.inf)
        segments_before = now - min(apart_s, retention.sketches * _DAY_S)
        yield name, AgedRows.SEGMENTS, partial(_drop, AgedRows.SEGMENTS, name, segments_before)
        sketches_before = now - retention.sketches * _DAY_S
        yield name, AgedRows.SKETCHES, partial(_drop, AgedRows.SKETCHES, name, sketches_before)
        details_s, verdicts_s = _details_s(file, retention), _verdicts_s(file, retention)
        yield aged_but_newest(AgedRows.VERDICT_DETAILS, name, details_s)
        yield aged_but_newest(AgedRows.VERDICTS, name, verdicts_s)
        yield aged(AgedRows.VERDICTS, name, max(verdicts_s, _look_holds_s(file)))
        yield aged(AgedRows.DECISIONS, name, retention.decisions * _DAY_S)
        yield aged(AgedRows.INCIDENTS, name, retention.decisions * _DAY_S)


def kept_for(files: Iterable[ModelFile], retention: Retention) -> Mapping[AgedRows, float]:
    """For how many seconds rows are kept at most, by what is set and what the files need."""
    verdicts = [max(_verdicts_s(file, retention), _look_holds_s(file)) for file in files]
    return {
        AgedRows.SKETCHES: retention.sketches * _DAY_S,
        AgedRows.VERDICTS: max(verdicts, default=retention.verdicts * _DAY_S),
        AgedRows.DECISIONS: retention.decisions * _DAY_S,
        AgedRows.EFFECTS: _EFFECTS_DAYS * _DAY_S,
        AgedRows.ACCESS: retention.access * _DAY_S,
    }


def _details_s(file: ModelFile, retention: Retention) -> float:
    return max(retention.details * _DAY_S, _DETAILS * parse_duration(file.watch.window))


def _verdicts_s(file: ModelFile, retention: Retention) -> float:
    return max(retention.verdicts * _DAY_S, _details_s(file, retention))


def _look_holds_s(file: ModelFile) -> float:
    """For how long the last look of a slow monitor may be the newest, in seconds: one that is
    older has no successor."""
    return 2.0 * parse_duration(file.watch.drift_over) + _DAY_S


def _judged(tx: Tx, model: str, before: float) -> float:
    """``before``, or up to where the model's windows are judged: what is not judged is needed as
    it is, however old. 0.0 where none ever was."""
    held = tx.progress([model]).get(model)
    return min(before, held.until) if held is not None else 0.0


def _roll_up(model: str, before: float, span_s: float, tx: Tx) -> int:
    whole = _judged(tx, model, before) // span_s * span_s
    return tx.roll_up_sketches(model, whole, span_s, _AT_ONCE)


def _drop(kind: AgedRows, model: str, before: float, tx: Tx) -> int:
    return tx.drop_aged(kind, model, _judged(tx, model, before), _AT_ONCE)


def _roll_ups(file: ModelFile, retention: Retention) -> Iterator[tuple[float, float]]:
    """(for how long windows are kept as they are, span) in seconds, the shorter span first. The
    recent past that monitors compare with is read in blocks: what is rolled up must not straddle
    two of them."""
    window_s, recent_s = parse_duration(file.watch.window), parse_duration(file.watch.recent)
    block_s = block_seconds(window_s, recent_s)
    for days, span_s in ((retention.windows, _HOUR_S), (retention.hours, _DAY_S)):
        kept_s = days * _DAY_S
        if block_s % span_s:
            kept_s = max(kept_s, 2.0 * recent_s)
        if window_s < span_s:
            yield kept_s, span_s

"""A model's recorded windows through today's policy: what would have been told, and when.

From a fresh state, by the monitors that need nothing but sketches. Reads; nothing is written, and
nobody is told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from windvane.core.errors import WindvaneError
from windvane.core.sketch import Sketch
from windvane.ports.control_store import ControlStore, Incident, Tx, WindowKey
from windvane.ports.judging import Progress
from windvane.usecases.load_windows import (
    WindowCache,
    load_window,
    model_files,
    watch_policies,
)
from windvane.usecases.monitors.base import moment
from windvane.usecases.read_model_file import ModelFile, parse_budget
from windvane.usecases.replay_windows import Replay, ToldAlarm
from windvane.usecases.window_policy import WindowPolicy

_READ_AT_ONCE = 200  # windows
_MOST_WINDOWS = 1_000_000
_MOST_INCIDENTS = 5_000
_NEAR_WINDOWS, _NEAR_S = 2.0, 300.0


class NothingToReplay(WindvaneError):
    """A model has no recorded windows to replay, or nothing to judge them by."""

    code: ClassVar[str] = "CHK-102"
    hint = "a model is deployed and has answered for a while before its past can be replayed"


@dataclass(frozen=True, slots=True)
class Replayed:
    """An alarm of the replay, and the incident that was really told of it; "" for none."""

    alarm: ToldAlarm
    incident: str


@dataclass(frozen=True, slots=True, eq=False)
class AlarmBacktest:
    """Of ``windows`` in [start, end) (s). ``alarm_at``: the evidence that an alarm takes;
    ``allowed``: false alarms that the whole installation's budget has for the span. ``missed``:
    incidents that were told and are not replayed. ``left_out``: monitors with the reason.
    ``rolled_up``: sums of older windows, which are kept no longer one by one."""

    model: str
    champion: str
    start: float
    end: float
    windows: int
    window_s: float
    budget: str
    allowed: float
    alarm_at: float
    alarms: tuple[Replayed, ...]
    missed: tuple[Incident, ...]
    left_out: Mapping[str, str]
    rolled_up: int


def backtest_alarms(
    store: ControlStore,
    model: str,
    since: float | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> AlarmBacktest:
    """The windows that begin at ``since`` (s) or later, all by default. Raises NothingToReplay,
    UnknownName."""
    cache = WindowCache()
    with store.read() as tx:
        file, policy, first, end = _span(tx, model, since, cache)
    window_s = policy.window_s
    total = math.ceil((end - first) / window_s)
    if total > _MOST_WINDOWS:
        raise NothingToReplay(
            f"{total:,} windows since {moment(first)}, {_MOST_WINDOWS:,} are replayed at most",
            hint="--since a later time",
        )
    replay = Replay()
    rolled_up = 0
    began: float | None = None
    for i in range(0, total, _READ_AT_ONCE):
        if on_step is not None:
            on_step(i, total)
        start = first + i * window_s
        stop = min(start + _READ_AT_ONCE * window_s, end)
        with store.read() as tx:
            found, sums = _by_window(tx.sketches(model, start, stop))
            rolled_up += sums
            live = tx.deployment(model)
            if live is None:
                raise NothingToReplay(f"model {model} is not deployed any more")
            keys = tx.key_records()
            for j in range(i, min(i + _READ_AT_ONCE, total)):
                at = first + j * window_s
                if began is None and at not in found:
                    continue  # of what was summed up, or before anything was recorded
                began = at if began is None else began
                where = Progress(model, began, at, 0.0)
                window = load_window(
                    tx, file, policy, live, where, found.get(at, []), replay.states, cache, keys,
                    True,
                )  # fmt: skip
                replay.judge(window)
    if began is None:
        raise NothingToReplay(f"no window of {model} is kept by itself since {moment(first)}")
    if on_step is not None:
        on_step(total, total)
    with store.read() as tx:
        told = [i for i in tx.incidents(model, _MOST_INCIDENTS) if _in(i, began, end)]
    matched, missed = _match(replay.alarms, told, window_s)
    allowed, per_s = parse_budget(file.watch.false_alarms)
    return AlarmBacktest(
        model, live.champion, began, end, replay.windows, window_s, file.watch.false_alarms,
        allowed * (end - began) / per_s, policy.alarm_at, matched, missed, replay.left_out,
        rolled_up,
    )  # fmt: skip


def _span(
    tx: Tx, model: str, since: float | None, cache: WindowCache
) -> tuple[ModelFile, WindowPolicy, float, float]:
    tx.model(model)
    if tx.deployment(model) is None:
        raise NothingToReplay(f"model {model} is not deployed: no champion to compare with")
    files = model_files(tx, [model], cache)
    if model not in files:
        raise NothingToReplay(f"the file of model {model} cannot be read", hint="apply it again")
    tenants = len({record.entry.tenant for record in tx.key_records()})
    policy = watch_policies(files, models=len(tx.applied_at()), tenants=tenants)[model]
    first = tx.first_windows({model: since if since is not None else 0.0}).get(model)
    if first is None:
        asked = f" since {moment(since)}" if since is not None else ""
        raise NothingToReplay(f"no window of model {model} is recorded{asked}")
    judged = tx.progress([model]).get(model)
    if judged is None or judged.until <= first:
        raise NothingToReplay(f"no window of model {model} is closed since {moment(first)}")
    return files[model], policy, first, judged.until


def _by_window(
    found: Sequence[tuple[WindowKey, Sketch]],
) -> tuple[dict[float, list[tuple[WindowKey, Sketch]]], int]:
    """Sketches by the start of their window; and how many sums of many windows are left out."""
    out: dict[float, list[tuple[WindowKey, Sketch]]] = {}
    sums = 0
    for key, sketch in found:
        if key.span_s is not None:
            sums += 1
            continue
        out.setdefault(key.start, []).append((key, sketch))
    return out, sums


def _in(incident: Incident, start: float, end: float) -> bool:
    return incident.opened_at < end and (incident.closed_at is None or incident.closed_at >= start)


def _match(
    alarms: Sequence[ToldAlarm], told: Sequence[Incident], window_s: float
) -> tuple[tuple[Replayed, ...], tuple[Incident, ...]]:
    """Each alarm with the incident that was open while it was, of the same cause or opened by the
    same window: what leads an incident may change while it is open."""
    near_s = max(_NEAR_WINDOWS * window_s, _NEAR_S)
    left = sorted(told, key=lambda i: i.opened_at)
    out: list[Replayed] = []
    for alarm in alarms:
        until = math.inf if alarm.closed is None else alarm.closed + window_s
        found = [
            i
            for i in left
            if i.opened_at <= until
            and (i.closed_at is None or i.closed_at >= alarm.since - window_s)
            and (i.cause == alarm.cause or abs(i.opened_at - alarm.opened) <= near_s)
        ]
        best = min(
            found, key=lambda i: (i.cause != alarm.cause, abs(i.opened_at - alarm.opened)),
            default=None,
        )  # fmt: skip
        if best is not None:
            left.remove(best)
        out.append(Replayed(alarm, best.id if best is not None else ""))
    return tuple(out), tuple(left)


def backtest_json(found: AlarmBacktest) -> dict[str, Any]:
    """Times in s since the epoch."""
    return {
        "format": 1,
        "model": found.model,
        "champion": found.champion,
        "start": found.start,
        "end": found.end,
        "windows": {"count": found.windows, "seconds": found.window_s,
                    "rolled_up": found.rolled_up},
        "budget": {"text": found.budget, "allowed": round(found.allowed, 4),
                   "alarm_at": round(found.alarm_at, 4)},
        "alarms": [
            {
                "cause": one.alarm.cause, "kind": one.alarm.kind, "tenant": one.alarm.whom,
                "severity": one.alarm.severity, "told": one.alarm.told,
                "title": one.alarm.title, "since": one.alarm.since, "opened": one.alarm.opened,
                "closed": one.alarm.closed,
                "suspects": [{"feature": n, "size": round(s, 4)} for n, s in one.alarm.suspects],
                "incident": one.incident,
            }
            for one in found.alarms
        ],
        "not_replayed": [
            {"incident": i.id, "cause": i.cause, "kind": i.kind, "title": i.title,
             "opened": i.opened_at, "closed": i.closed_at}
            for i in found.missed
        ],
        "left_out": dict(found.left_out),
    }  # fmt: skip

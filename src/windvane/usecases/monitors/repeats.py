"""Sources that serve what they served before, or few values only."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from windvane.core.alerting import Cause, Finding
from windvane.core.freshness import (
    RepeatFacts,
    RepeatHistory,
    RepeatPolicy,
    RepeatReading,
    RepeatState,
    block_seconds_of,
    judge_repeats,
    lags_of,
    learn_block,
    read_block,
)
from windvane.core.signature import FINGERPRINTS
from windvane.ports.event_log import EventLog
from windvane.usecases.closed_window import ClosedWindow, StateRows
from windvane.usecases.derived_axes import fingerprint_name
from windvane.usecases.gather_evidence import sample_requests
from windvane.usecases.monitors.base import (
    AlarmState,
    Judge,
    Judged,
    Monitor,
    moment,
    read_row,
    read_rows,
)
from windvane.usecases.monitors.freshness import STALE
from windvane.usecases.read_model_file import ModelFile, parse_duration
from windvane.usecases.window_policy import WindowPolicy

Counts = NDArray[np.int64]
_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class RepeatRow:
    """What is carried of a view between windows: the fingerprints of the open ``block`` (its
    number, -1 for none) and its detectors. ``relearn``: a person accepted what it finds."""

    block: int = -1
    counts: tuple[int, ...] = ()
    streams: Mapping[str, RepeatState] = field(default_factory=dict[str, RepeatState])
    relearn: bool = False

    @property
    def alarmed(self) -> bool:
        return any(state.alarmed for state in self.streams.values())


class Repeats(Monitor):
    """What each view of ``watch.repeats`` serves, by the fingerprints of its rows: of an hour (a
    window, where that is longer) against the hour, the day and the week before, and how few values
    there are, each against what is usual of the view."""

    name = "repeats"
    title = "Repeats"
    cause = STALE
    closable = False
    acceptable = True
    judge = Judge(
        "repeats", RepeatFacts, RepeatPolicy, lambda f, p, now: judge_repeats(f, p, now)[0]
    )

    def streams(self, file: ModelFile, tenants: int) -> int:
        del tenants
        of_view = len(lags_of(block_seconds_of(parse_duration(file.watch.window)))) + 1
        return of_view * len(file.watch.repeats)

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        del log
        held = read_rows(rows, RepeatRow)
        watched = window.file.watch.repeats
        judged = [self._look(window, view, held.get(view, RepeatRow())) for view in watched]
        gone = [
            _forget(self.name, window, view, before)
            for view, before in held.items()
            if view not in watched
        ]
        return [*judged, *gone]

    def _look(self, window: ClosedWindow, view: str, held: RepeatRow) -> Judged:
        """The window is gathered, and a block that is over is judged: in its last window, or in the
        next one that there is."""
        block_s = block_seconds_of(window.policy.window_s)
        number = math.floor(window.start / block_s)
        came = window.derived.fingerprints.get(fingerprint_name(view))
        fresh = np.zeros(FINGERPRINTS, np.int64) if came is None else came[1:]
        if held.block in (-1, number):
            gathered = fresh + (np.array(held.counts, np.int64) if held.counts else 0)
            if window.end < (number + 1) * block_s:
                return _wait(window, view, replace(held, block=number, counts=_tuple(gathered)))
            return self._judge(window, view, number, gathered, replace(held, block=-1, counts=()))
        before = np.array(held.counts, np.int64)
        after = replace(held, block=number, counts=_tuple(fresh))
        return self._judge(window, view, held.block, before, after)

    def _judge(
        self, window: ClosedWindow, view: str, number: int, counts: Counts, held: RepeatRow
    ) -> Judged:
        policy = _policy(window.policy)
        block_s = block_seconds_of(window.policy.window_s)
        history = RepeatHistory()
        if not held.relearn:
            packed = window.learned(self.name, [view]).get(view)
            history = _unpack(packed) if packed is not None else history
        facts = RepeatFacts(
            view, number * block_s, (number + 1) * block_s, int(counts.sum()),
            read_block(history, number, counts, block_s, policy), held.streams,
        )  # fmt: skip
        verdict, streams = judge_repeats(facts, policy, window.end)
        learned = learn_block(history, number, counts, block_s, facts, streams)
        after = replace(held, streams=streams, relearn=False)
        findings: tuple[Finding, ...] = ()
        cause = Cause(STALE, view)
        since = min((s.since for s in streams.values() if s.alarmed), default=0.0)
        if after.alarmed and not held.alarmed:
            title = f"{verdict.sentence}, since {moment(since)}"
            findings = (Finding(self.name, cause, True, since, title, (), (view,)),)
        elif held.alarmed and not after.alarmed:
            began = min(s.since for s in held.streams.values() if s.alarmed)
            line = f"{view} repeats itself no more"
            findings = (Finding(self.name, cause, False, began, line, (), (view,)),)
        detail = {"rows": facts.rows, "readings": [_shown(one) for one in facts.readings]}
        return Judged(
            view, facts, policy, verdict, findings, {view: after}, detail,
            learned={view: _pack(learned)},
        )  # fmt: skip

    def evidence(
        self, window: ClosedWindow, found: Judged, finding: Finding, log: EventLog
    ) -> Mapping[str, Any]:
        samples = log.samples(
            window.model, window.file.contract, window.start, window.end, {}, _SAMPLES
        )
        return {
            "view": found.subject,
            "first_window": finding.since,
            "repeats": found.detail["readings"],
            "samples": sample_requests(samples),
            "last_good": {"version": window.live.champion, "before": finding.since},
        }

    def accept(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        """What is usual is learned anew."""
        if cause.subject not in rows:
            return {}
        held = read_row(rows, RepeatRow, cause.subject)
        return {cause.subject: RepeatRow(held.block, held.counts, relearn=True)}

    def about(self, subject: str) -> str:
        return f"repeats of {subject}" if subject else self.title

    def about_cause(self, cause: Cause) -> str:
        return f"source {cause.subject}"


def _policy(policy: WindowPolicy) -> RepeatPolicy:
    """A block is looked at once, so its alarms may be as much more likely as it is longer."""
    share = policy.window_s / block_seconds_of(policy.window_s)
    return RepeatPolicy(max(policy.alarm_at * share, math.e), policy.min_rows)


def _wait(window: ClosedWindow, view: str, after: RepeatRow) -> Judged:
    """Nothing is judged before the block is over."""
    facts = RepeatFacts(view, window.start, window.end, 0, (), after.streams)
    policy = _policy(window.policy)
    verdict, _ = judge_repeats(facts, policy, window.end)
    return Judged(view, facts, policy, verdict, (), {view: after}, shown=False)


def _forget(monitor: str, window: ClosedWindow, view: str, before: RepeatRow) -> Judged:
    """A view that the file does not have watched any more."""
    facts = RepeatFacts(view, window.start, window.end, 0, ())
    policy = _policy(window.policy)
    verdict, _ = judge_repeats(facts, policy, window.end)
    findings: tuple[Finding, ...] = ()
    if before.alarmed:
        began = min(s.since for s in before.streams.values() if s.alarmed)
        line = f"the file has repeats of {view} watched no more"
        findings = (Finding(monitor, Cause(STALE, view), False, began, line, (), (view,)),)
    return Judged(view, facts, policy, verdict, findings, {view: None}, shown=bool(findings))


def _shown(reading: RepeatReading) -> dict[str, Any]:
    return {
        "stream": reading.stream,
        "value": None if reading.value is None else round(reading.value, 4),
        "usual": None if reading.usual is None else round(reading.usual, 4),
        "limit": None if reading.limit is None else round(reading.limit, 4),
        "known": reading.known,
        "blind": reading.blind,
    }


def _tuple(counts: Counts) -> tuple[int, ...]:
    return tuple(counts.tolist())


def _pack(history: RepeatHistory) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(history), 1)


def _unpack(packed: bytes) -> RepeatHistory:
    return msgspec.msgpack.decode(zlib.decompress(packed), type=RepeatHistory)

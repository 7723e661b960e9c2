"""A table window by window, against what the reference's own windows teach."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from windvane.core.alerting import Severity
from windvane.core.drift import (
    PAST_LOOKS,
    alarm_threshold,
    block_seconds,
    build_baseline,
    find_null_stretch,
    rows_of,
)
from windvane.core.signature import FeatureType
from windvane.core.sketch import TRAFFIC, Layout, Sketch
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.control_store import Deployment, WindowKey
from windvane.ports.event_log import EventLog
from windvane.ports.frames import BadFrame, Frame
from windvane.usecases.closed_window import ClosedWindow, StateRows, tenant_of, tenant_subject
from windvane.usecases.count_frames import FrameCounts, Grouped
from windvane.usecases.monitors.base import Judged, moment
from windvane.usecases.monitors.cells import HeldCell
from windvane.usecases.monitors.sudden_shift import TENANT_FEED, SuddenShift
from windvane.usecases.read_model_file import Feature, ModelFile
from windvane.usecases.replay_windows import Replay, ToldAlarm
from windvane.usecases.window_policy import WindowPolicy

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
MOST_SEGMENTS = 50
OTHERS = "(others)"
NOBODY = ""
_LENGTHS_S = (
    60.0, 300.0, 900.0, 3_600.0, 3 * 3_600.0, 6 * 3_600.0, 86_400.0, 7 * 86_400.0, 28 * 86_400.0,
)  # fmt: skip
_MOST_WINDOWS = 1_000  # of either table
_MOST_PAIRS = 20_000  # windows of segments, that are learned from
_MOST_COUNTS = 60_000_000
_BINS = 30  # that a feature has, or so
_WORTH = 2.0  # times the least rows: a window of them is looked at by itself
_RECENT_S = 14 * 86_400.0
_OWN_PAST = 100  # rows of the reference by which a segment's outage can be told


@dataclass(frozen=True, slots=True, eq=False)
class TableWindows:
    """Windows of one table: ``keys`` (start, segment) of each group that has rows, in order, the
    ``groups`` of the rows, the ``order`` (rows,) of the rows in time, and how many had no time."""

    keys: Sequence[tuple[float, str]]
    groups: Grouped
    order: NDArray[np.int64]
    untimed: int


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Both tables by windows of ``window_s`` seconds and by ``segments``."""

    window_s: float
    segments: Sequence[str]
    before: TableWindows
    after: TableWindows


@dataclass(frozen=True, slots=True)
class SegmentCheck:
    """What is known of one segment: HOLD where none of its windows could be judged, and why, with
    what is ``missing``. ``learned``, ``rows``: of the reference and of the current table;
    ``judged`` windows."""

    name: str
    outcome: Outcome
    sentence: str
    missing: str
    learned: int
    rows: int
    judged: int


@dataclass(slots=True)
class WatchedReplay(Replay):
    """``judged``: windows of each segment that were more than gathered; ``said``: the last verdict
    of those that were not."""

    judged: dict[str, int] = field(default_factory=dict[str, int])
    said: dict[str, Verdict] = field(default_factory=dict[str, Verdict])


class _WatchedShift(SuddenShift):
    """Keeps of which segments something was judged: a replay tells of what was found only."""

    def __init__(self) -> None:
        self.judged: dict[str, int] = {}
        self.said: dict[str, Verdict] = {}

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        found = super().look(window, rows, log)
        for one in found:
            name = tenant_of(one.subject)
            if name is not None and one.verdict.outcome is Outcome.HOLD:
                self.said[name] = one.verdict
            elif name is not None:
                self.judged[name] = self.judged.get(name, 0) + 1
        return found


def cut_windows(
    reference: Frame, current: Frame, time: str, segments: Sequence[str], features: int, rows: int
) -> Spans:
    """Windows of a length by which most of them have enough ``rows``. Raises BadFrame."""
    past, now = reference.times(time), current.times(time)
    for frame, times in ((reference, past), (current, now)):
        if not np.isfinite(times).any():
            raise BadFrame(f"{frame.place}: no row has a time in {time!r}")
    ends, begins = float(np.nanmax(past)), float(np.nanmin(now))
    if begins < ends:
        raise BadFrame(
            f"{current.place} begins on {moment(begins)}, and {reference.place} ends on "
            f"{moment(ends)}: what is watched comes after what it is compared with",
            hint="leave --time out, and both are compared as a whole",
        )
    names, codes = _segments(reference, current, segments)
    length = _length(past, now, max(len(names), 1) + 1, features, rows)
    return Spans(
        length,
        names,
        _windows(past, codes[0], names, length),
        _windows(now, codes[1], names, length),
    )


def _length(past: Floats, now: Floats, cells: int, features: int, rows: int) -> float:
    for length in _LENGTHS_S:
        found = [np.unique(np.floor(t[np.isfinite(t)] / length)) for t in (past, now)]
        most = max(len(one) for one in found)
        pairs = most * cells
        if most > _MOST_WINDOWS or pairs > _MOST_PAIRS or pairs * features * _BINS > _MOST_COUNTS:
            continue
        if np.isfinite(past).sum() / len(found[0]) >= _WORTH * rows:
            return length
    return _LENGTHS_S[-1]


def _segments(
    reference: Frame, current: Frame, columns: Sequence[str]
) -> tuple[list[str], tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The names of the segments, the largest first, and which each row is of; several columns
    make one name each."""
    labels: list[NDArray[Any]] = []
    for frame in (reference, current):
        parts = [_texts(frame, name) for name in columns]
        joined = parts[0] if parts else np.full(frame.rows, NOBODY, object)
        for part in parts[1:]:
            joined = joined + " / " + part
        labels.append(joined)
    names, rows = np.unique(np.concatenate(labels).astype(str), return_counts=True)
    kept = [str(names[i]) for i in np.argsort(-rows, kind="stable")[:MOST_SEGMENTS]]
    if len(names) > MOST_SEGMENTS:
        kept = [*kept[: MOST_SEGMENTS - 1], OTHERS]
    place = {name: i for i, name in enumerate(kept)}
    table = np.array([place.get(str(name), len(kept) - 1) for name in names], np.int64)
    codes = [table[np.searchsorted(names, one.astype(str))] for one in labels]
    return kept, (codes[0], codes[1])


def _texts(frame: Frame, name: str) -> NDArray[Any]:
    column = frame.column(name)
    if column.codes is not None:
        return np.array([*column.labels, "(none)"], object)[column.codes]
    if column.numbers is None or column.type is FeatureType.DATETIME:
        held = column.held or "times"
        raise BadFrame(
            f"{frame.place}: a segment is named by texts or numbers, {name!r} has {held}"
        )
    values, places = np.unique(column.numbers, return_inverse=True)
    return np.array(["(none)" if np.isnan(v) else f"{v:g}" for v in values], object)[places]


def _windows(
    times: Floats, codes: NDArray[np.int64], names: Sequence[str], length: float
) -> TableWindows:
    known = np.isfinite(times)
    at = np.where(known, np.floor(np.where(known, times, 0.0) / length), 0.0).astype(np.int64)
    pairs, places = np.unique(at[known] * len(names) + codes[known], return_inverse=True)
    groups = np.full(len(times), -1, np.int64)
    groups[known] = places
    flat: list[int] = pairs.tolist()
    keys = [(float(p // len(names)) * length, names[p % len(names)]) for p in flat]
    order = np.empty(len(times), np.int64)
    order[np.argsort(np.where(known, times, np.inf), kind="stable")] = np.arange(len(times))
    return TableWindows(keys, Grouped(groups, len(keys)), order, int((~known).sum()))


def watch_windows(
    counts: FrameCounts,
    spans: Spans,
    file: ModelFile,
    alpha: float,
    on_step: Callable[[str, int, int], None],
) -> WatchedReplay:
    """The current table's windows through the monitor of sudden shifts; all of its streams
    together raise at most ``alpha`` false alarms on average."""
    layout, window_s = counts.layout, spans.window_s
    watched = [name for name in spans.segments if name != NOBODY]
    starts = sorted({start for start, _ in spans.after.keys})
    monitor = _WatchedShift()
    rows = file.watch.min_rows
    learned = _by_segment(counts, spans.before, current=False)
    everyone = _merged(learned.values())
    first, last = min(everyone), max(everyone) + window_s
    # One window at least: of few rows windows are long.
    recent_s = max(window_s, min(_RECENT_S, last - first))
    streams = _streams(monitor, file, len(watched))
    policy = WindowPolicy(
        window_s=window_s, grace_s=0.0, recent_s=recent_s,
        block_s=block_seconds(window_s, recent_s), drift_over_s=recent_s, min_rows=rows,
        alarm_at=alarm_threshold(streams, window_s, alpha, window_s * len(starts)),
        slow_alarm_at=alarm_threshold(1, window_s, alpha, window_s),
    )  # fmt: skip
    on_step("learn from the reference", 0, len(watched) + 1)
    baseline = build_baseline(layout, everyone, window_s, recent_s, rows)
    replay = WatchedReplay((monitor,), judged=monitor.judged, said=monitor.said)
    if len(watched) > 1:
        held = replay.states.setdefault(monitor.name, {})
        for i, name in enumerate(watched):
            on_step("learn from the reference", i + 1, len(watched) + 1)
            if name in learned:
                cell = build_baseline(layout, learned[name], window_s, recent_s, rows).cell
                one = HeldCell.of(tenant_subject(name), layout, cell, first)
                held[one.subject] = msgspec.to_builtins(one.row(0.0))
                for subject, packed in one.learned().items():
                    replay.learned[monitor.name, subject] = packed
    now = _by_segment(counts, spans.after, current=True)
    live = Deployment(file.model, "current")
    for i, start in enumerate(starts):
        on_step("watch the windows", i, len(starts))
        parts = {name: windows[start] for name, windows in now.items() if start in windows}
        sketches = tuple(
            (
                WindowKey(file.model, start, "current", "champion", name or "default", ""),
                Sketch(layout.id, found, np.zeros(len(TRAFFIC), np.int64), np.zeros(0, np.int64)),
            )
            for name, found in parts.items()
        )
        replay.judge(
            ClosedWindow(
                file, policy, live, layout, baseline, start, sketches,
                np.sum(list(parts.values()), axis=0),
                # Whoever the reference has not is new, however short that is.
                first - 100.0 * recent_s,
                layouts={layout.id: layout},
            )
        )  # fmt: skip
    on_step("watch the windows", len(starts), len(starts))
    return replay


def _streams(monitor: SuddenShift, file: ModelFile, segments: int) -> int:
    """With those of `judge_segments`: one of each feature of each segment."""
    return monitor.streams(file, segments) + len(file.schema) * segments


def judge_segments(
    counts: FrameCounts, spans: Spans, replay: WatchedReplay, file: ModelFile, alpha: float
) -> tuple[SegmentCheck, ...]:
    """Of each of several segments whether it was judged. Segments of too few rows for the monitor
    are looked at for what few rows show, too: no value of a feature at all. Adds those alarms to
    the ``replay``'s; all of both raise at most ``alpha`` false alarms on average."""
    names = [name for name in spans.segments if name != NOBODY]
    if len(names) < 2 or replay.left_out:
        return ()
    layout = counts.layout
    before = _by_segment(counts, spans.before, current=False)
    after = _by_segment(counts, spans.after, current=True)
    level = alpha / _streams(SuddenShift(), file, len(names))
    enough = PAST_LOOKS * file.watch.min_rows
    out: list[SegmentCheck] = []
    for name in names:
        past, now = before.get(name, {}), after.get(name, {})
        learned, rows = _rows(layout, past), _rows(layout, now)
        judged = replay.judged.get(name, 0)
        if learned >= _OWN_PAST and (learned < enough or not judged):
            replay.alarms += [
                found
                for feature in layout.names
                if not _is_told(replay.alarms, name, feature)
                and (found := _outage(layout, spans.window_s, name, feature, past, now, level))
            ]
        if any(alarm.whom == name for alarm in replay.alarms):
            said = Verdict(Outcome.FAIL, "", "it has an alarm")
        elif judged:
            said = Verdict(Outcome.PASS, "", "")
        elif not rows:
            said = Verdict(Outcome.HOLD, "", "it has no row now", "rows")
        elif not learned:
            said = Verdict(Outcome.HOLD, "", "the reference has no row of it", f"{enough:,} rows")
        elif learned < enough:
            message = f"{learned:,} rows of it in the reference, {enough:,} needed"
            said = Verdict(Outcome.HOLD, "", message, f"{enough - learned:,} rows of the reference")
        else:
            held = replay.said.get(name)
            said = Verdict(
                Outcome.HOLD, "", "no window of it has rows enough" if held is None
                else held.sentence, "rows" if held is None else held.missing,
            )  # fmt: skip
        out.append(
            SegmentCheck(name, said.outcome, said.sentence, said.missing, learned, rows, judged)
        )
    return tuple(out)


def _rows(layout: Layout, windows: Mapping[float, Counts]) -> int:
    return rows_of(layout, sum(windows.values(), np.zeros(layout.size, np.int64)))


def _is_told(alarms: Sequence[ToldAlarm], name: str, feature: str) -> bool:
    """Whether an alarm of the segment, or of everyone, is of the feature."""
    return any(one.whom in ("", name) and feature in dict(one.suspects) for one in alarms)


def _outage(
    layout: Layout,
    window_s: float,
    name: str,
    feature: str,
    past: Mapping[float, Counts],
    now: Mapping[float, Counts],
    level: float,
) -> ToldAlarm | None:
    earlier = [layout.part(past[start], feature) for start in sorted(past)]
    later = {start: layout.part(found, feature) for start, found in now.items()}
    found = find_null_stretch(earlier, later, level)
    if found is None:
        return None
    title = (
        f"what tenant {name} sends of {feature} changed: {feature} has no value in all rows since "
        f"{moment(found.since)} ({found.rows:,} rows)"
    )
    return ToldAlarm(
        name, TENANT_FEED.name, name, Severity.HIGH.value, "", title, found.since,
        found.told_at + window_s, found.ended, ((feature, found.rise),), (feature,),
    )  # fmt: skip


def _by_segment(
    counts: FrameCounts, table: TableWindows, *, current: bool
) -> dict[str, dict[float, Counts]]:
    out: dict[str, dict[float, Counts]] = {}
    for group, (start, name) in enumerate(table.keys):
        out.setdefault(name, {})[start] = counts.window(group, current=current)
    return out


def _merged(parts: Any) -> dict[float, Counts]:
    out: dict[float, Counts] = {}
    for windows in parts:
        for start, found in windows.items():
            held = out.get(start)
            out[start] = found if held is None else held + found
    return dict(sorted(out.items()))


def file_of(
    features: Mapping[str, FeatureType], sources: Mapping[str, str], given: ModelFile | None
) -> ModelFile:
    """A model's file of a table's features, with how they are watched from the ``given`` one. A
    feature without a source is its own."""
    by_source: dict[str, dict[str, Feature]] = {}
    for name, kind in features.items():
        by_source.setdefault(sources.get(name, name), {})[name] = Feature(kind, nullable=True)
    base = given or ModelFile("table", {})
    return msgspec.structs.replace(base, features=by_source)

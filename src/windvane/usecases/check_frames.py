"""Is this table as that one was? The judges of the platform on two tables, without it.

One look at everything, and where the rows have times also every window of them. Reads and judges;
nothing is recorded, and nothing is acted on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift import change_sentence, describe_change
from windvane.core.drift.describe import Quartile, quartiles_of_change
from windvane.core.drift.two_samples import (
    LEAST_CHUNKS,
    ROWS_A_CHUNK,
    Sizes,
    chunk_count,
    compare_samples,
    holm,
    wasserstein,
    wasserstein_chance,
)
from windvane.core.errors import did_you_mean
from windvane.core.signature import FeatureType
from windvane.core.sketch import Axis
from windvane.core.verdict import Outcome, Verdict, worst
from windvane.ports.frames import BadFrame, Frame
from windvane.usecases.check_quality import QualityChange, compare_quality
from windvane.usecases.count_frames import ColumnProblem, FrameCounts, count_frames
from windvane.usecases.monitors.base import moment
from windvane.usecases.monitors.drift_table import Bands
from windvane.usecases.read_model_file import ModelFile
from windvane.usecases.replay_windows import Replay, ToldAlarm
from windvane.usecases.watch_frames import (
    NOBODY,
    SegmentCheck,
    Spans,
    WatchedReplay,
    cut_windows,
    file_of,
    judge_segments,
    watch_windows,
)

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
MOST_COLUMNS = 2_000
LEAST_REFERENCE = LEAST_CHUNKS * ROWS_A_CHUNK
_NULLS = (0.05, 0.1, 0.25)  # rises of a share that are worth what the bands of a PSI are worth
_MOST_NOTES = 10  # of segments that are not judged
_DEPENDS = 2.0  # rows that count as one, from which a sentence says so
_JUDGED = 0.5  # of the windows, for no alarm to mean something
_BANDS = ("", "look", "investigate", "alert")
OnStep = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """Which columns are what; ``alpha``: with what probability anything is found where nothing
    changed, over all that is looked at together. ``file``: features, bands and least rows of a
    model's file, else all columns and the defaults."""

    time: str = ""
    segments: tuple[str, ...] = ()
    label: str = ""
    prediction: str = ""
    alpha: float = 0.05
    file: ModelFile | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FeatureCheck:
    """One feature as a whole. ``role``: feature, label or prediction. ``sentence``: from what to
    what, or what is wrong; ``code`` and ``missing`` as of a verdict. ``p``: adjusted for all
    features. ``wasserstein``: in the feature's own unit, None for names. ``bins``: labels with the
    counts of both tables."""

    name: str
    role: str
    type: str
    source: str
    outcome: Outcome
    band: str
    sentence: str
    p: float
    sizes: Sizes | None
    wasserstein: float | None
    change: Mapping[str, Any]
    bins: tuple[Sequence[str], Sequence[int], Sequence[int]]
    code: str
    missing: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class CheckReport:
    """``features`` are ranked, the worst first; ``windows`` None without times."""

    reference: str
    current: str
    rows: tuple[int, int]
    verdict: Verdict
    features: tuple[FeatureCheck, ...]
    alarms: tuple[ToldAlarm, ...]
    windows: WindowCheck | None
    quality: QualityChange | None
    notes: tuple[str, ...]
    alpha: float


@dataclass(frozen=True, slots=True)
class WindowCheck:
    """``window_s`` long, ``learned`` of the reference and ``judged`` of the current table;
    ``segments`` that there are, ``new`` those that the reference has not, ``by_segment`` what is
    known of each where there are several."""

    window_s: float
    learned: int
    judged: int
    segments: tuple[str, ...]
    new: tuple[str, ...]
    verdict: Verdict
    by_segment: tuple[SegmentCheck, ...] = ()


def _silent(step: str, done: int, of: int) -> None:
    del step, done, of


def check_frames(
    reference: Frame, current: Frame, options: CheckOptions, on_step: OnStep = _silent
) -> CheckReport:
    """Raises BadFrame where there is nothing that can be compared; what can be is a verdict."""
    features, roles = _features(reference, current, options)
    looks = 1 + bool(options.time) + bool(options.label and options.prediction)
    alpha = options.alpha / looks
    least = options.file.watch.min_rows if options.file is not None else 50
    spans = None
    if options.time:
        on_step("cut into windows", 0, 1)
        spans = cut_windows(
            reference, current, options.time, options.segments, len(features), least
        )
    counts = count_frames(
        reference, current, features,
        None if spans is None else spans.before.order,
        None if spans is None else (spans.before.groups, spans.after.groups),
        lambda i, of: on_step("count the columns", i, of),
    )  # fmt: skip
    sources = {} if options.file is None else {s.name: s.view for s in options.file.schema}
    checks = _checks(counts, reference, current, options, roles, sources, alpha, least)
    verdicts = [_table_verdict(checks, reference, current, alpha, least)]
    notes = list(counts.notes)
    extra = [n for n in current.names if n not in reference.names]
    if extra:
        notes.append(f"{len(extra)} columns that the reference has not: {', '.join(extra[:5])}")
    alarms: tuple[ToldAlarm, ...] = ()
    windows = None
    if spans is not None and counts.layout.axes:
        file = file_of(counts.types, sources, options.file)
        replay = watch_windows(counts, spans, file, alpha, on_step)
        by_segment = judge_segments(counts, spans, replay, file, alpha)
        windows = _windows(spans, replay, by_segment)
        alarms = tuple(sorted(replay.alarms, key=lambda a: (_severity(a), a.since)))
        unjudged = [one for one in by_segment if one.outcome is Outcome.HOLD]
        notes += [
            f"segment {one.name} is not judged: {one.sentence}" for one in unjudged[:_MOST_NOTES]
        ]
        if len(unjudged) > _MOST_NOTES:
            notes.append(f"{len(unjudged) - _MOST_NOTES} more segments are not judged")
        verdicts.append(windows.verdict)
        for table, place in ((spans.before, reference.place), (spans.after, current.place)):
            if table.untimed:
                notes.append(f"{place}: {table.untimed:,} rows have no time and are in no window")
    quality = None
    if options.label and options.prediction:
        on_step("score the predictions", 0, 1)
        quality = compare_quality(
            reference, current, options.label, options.prediction, options.file, alpha
        )
        verdicts.append(quality.verdict)
    return CheckReport(
        reference.place, current.place, (reference.rows, current.rows), worst(verdicts),
        tuple(sorted(checks, key=_rank)), alarms, windows, quality, tuple(notes), options.alpha,
    )  # fmt: skip


def _features(
    reference: Frame, current: Frame, options: CheckOptions
) -> tuple[list[str], Mapping[str, str]]:
    """What is looked at, in order, and what is not a feature of it."""
    roles = {options.label: "label", options.prediction: "prediction"}
    asked = [
        ("--time", options.time), ("--label", options.label), ("--prediction", options.prediction),
        *(("--segment", one) for one in options.segments),
    ]  # fmt: skip
    for frame in (reference, current):
        if not frame.rows:
            raise BadFrame(f"{frame.place} has no rows", hint="")
        for option, name in asked:
            if name and name not in frame.names:
                raise BadFrame(
                    f"{option}: {frame.place} has no column {name!r}",
                    hint=did_you_mean(name, frame.names),
                )
    if bool(options.label) != bool(options.prediction):
        given, other = ("label", "prediction") if options.label else ("prediction", "label")
        raise BadFrame(f"--{given} without --{other}", hint="quality takes both")
    if options.segments and not options.time:
        raise BadFrame("--segment without --time", hint="segments are watched window by window")
    if options.file is not None:
        named = [spec.name for spec in options.file.schema]
        for name in named:
            if name not in reference.names:
                raise BadFrame(
                    f"{reference.place} has no column {name!r}, which the model's file names",
                    hint=did_you_mean(name, reference.names),
                )
        features = [*named, *(n for n in roles if n and n not in named)]
    else:
        features = [name for name in reference.names if name != options.time]
    if len(features) > MOST_COLUMNS:
        raise BadFrame(
            f"{reference.place} has {len(features):,} columns, {MOST_COLUMNS:,} are the most",
            hint="--config names the features to look at",
        )
    return features, roles


def _checks(
    counts: FrameCounts,
    reference: Frame,
    current: Frame,
    options: CheckOptions,
    roles: Mapping[str, str],
    sources: Mapping[str, str],
    alpha: float,
    least: int,
) -> list[FeatureCheck]:
    layout = counts.layout
    out = [_problem(one, roles, sources) for one in counts.problems]
    if not layout.axes:
        return out
    given = options.file.watch.bands if options.file is not None else None
    bands = Bands(given.look, given.investigate, given.alert) if given else Bands(0.1, 0.2, 0.25)
    found = compare_samples(layout, counts.chunks, counts.current, alpha)
    adjusted = holm(np.array([one.p for one in found]))
    past: Counts = counts.chunks.sum(axis=0)
    whole = chunk_count(reference.rows) > 0 and current.rows >= least
    for name, sizes, p in zip(layout.names, found, adjusted.tolist(), strict=True):
        axis = layout.axes[layout.names.index(name)]
        before, after = layout.part(past, name), layout.part(counts.current, name)
        change = {**describe_change(layout, name, past, counts.current)}
        if name in counts.samples and change.get("quartiles"):
            change["quartiles"] = [_quartiles(side, counts.types[name])
                                   for side in counts.samples[name]]  # fmt: skip
            del change["quartiles_beyond"]  # these are values that came
        band = _band(sizes, bands)
        sentence = _sentence(change, counts.types[name])
        new = counts.new_names.get(name, [])
        if new and sizes.unseen:
            names = ", ".join(repr(label[:40]) for label, _ in new)
            sentence = f"new names in {sizes.unseen:.1%} of rows ({names}); {sentence}"
        if not whole:
            said = Verdict(Outcome.HOLD, "CHK-202", sentence)
        elif p < alpha and band:
            said = Verdict(Outcome.FAIL, "CHK-201", _total(after, axis, counts) or sentence)
        else:
            said = _not_found(sizes, p, alpha, bands, before, after, least, sentence)
        kind = counts.types[name]
        out.append(
            FeatureCheck(
                name, roles.get(name, "feature"), kind.value, sources.get(name, name),
                said.outcome, band, said.sentence, p, sizes, _wasserstein(counts, name, sizes),
                change, (axis.labels(), before.tolist(), after.tolist()), said.code, said.missing,
            )
        )  # fmt: skip
    return out


def _not_found(
    sizes: Sizes,
    p: float,
    alpha: float,
    bands: Bands,
    before: Counts,
    after: Counts,
    least: int,
    sentence: str,
) -> Verdict:
    """Of a feature in which no change was found: PASS only where one that matters would have
    been."""
    # `before` and `after` begin with the rows without a value.
    known, past_known = int(after[1:].sum()), int(before[1:].sum())
    if min(known, past_known) < least:
        message = f"{min(known, past_known):,} rows with a value, {least} needed"
        return Verdict(Outcome.HOLD, "CHK-202", message, "rows")
    share = float(before[0]) / max(float(before.sum()), 1.0)
    # Among rows of which half have no value anyway a rise matters by its index, as of values.
    most = max(_NULLS[0], (bands.look * share * (1.0 - share)) ** 0.5)
    short = [
        (f"only from a {word} of {one.size:.3g}, {limit:.3g} is what matters",
         one.more_rows(target, rows, past_rows))
        for word, one, limit, target, rows, past_rows in (
            ("PSI", sizes.values, bands.look, bands.look, known, past_known),
            ("rise of nulls", sizes.null_share, most, most**2, int(after.sum()), int(before.sum())),
        )
        if one.at_best > limit
    ]  # fmt: skip
    missing = ""
    if short:
        rows, of_both = max((rows for _, rows in short), key=lambda one: (one[1], one[0]))
        missing = (
            f"about {rows:,} independent rows in each table"
            if of_both
            else f"about {rows:,} more independent rows"
        )
    if p < alpha and bands.word(sizes.as_independent):
        message = (
            f"changed by a PSI of {sizes.as_independent:.2f} beyond chance (p {p:.2g}) if rows "
            "were independent, but parts of the reference differ as much from each other"
        )
        return Verdict(Outcome.HOLD, "CHK-204", message, missing or "independent rows")
    if short:
        depends = max(sizes.values.depends, sizes.null_share.depends)
        why = f" ({depends:,.0f} rows count as one)" if depends >= _DEPENDS else ""
        message = f"a change would be seen {' and '.join(one for one, _ in short)}{why}"
        return Verdict(Outcome.HOLD, "CHK-204", message, missing)
    if bands.word(sizes.psi) or abs(sizes.nulls) >= most:
        message = f"{sentence}; chance does as much (p {p:.2g}, level {alpha:.3g})"
        return Verdict(Outcome.HOLD, "CHK-204", message, "independent rows")
    return Verdict(Outcome.PASS, "CHK-200", sentence if p < alpha else "")


def _sentence(change: Mapping[str, Any], kind: FeatureType) -> str:
    """From what to what, without the feature's name; times as people write them."""
    was, now = quartiles_of_change(change)
    if kind is FeatureType.DATETIME and was is not None and now is not None:
        return f"median {_moment(was[1])} to {_moment(now[1])}"
    return change_sentence(change).partition(": ")[2]


def _moment(one: Quartile) -> str:
    return f"{one.side} {moment(one.value)}".lstrip()


def _problem(
    one: ColumnProblem, roles: Mapping[str, str], sources: Mapping[str, str]
) -> FeatureCheck:
    sentence = f"{one.sentence}; {one.hint}" if one.hint else one.sentence
    return FeatureCheck(
        one.feature, roles.get(one.feature, "feature"), "", sources.get(one.feature, one.feature),
        Outcome.FAIL, "alert", sentence, 0.0, None, None, {}, ((), (), ()), "CHK-201",
    )  # fmt: skip


def _quartiles(values: Floats, kind: FeatureType) -> list[float] | None:
    """Of sorted values, to as many digits as a person reads; None of none."""
    if not len(values):
        return None
    found: list[float] = np.quantile(values, (0.25, 0.5, 0.75), method="inverted_cdf").tolist()
    return found if kind is FeatureType.DATETIME else [float(f"{one:.4g}") for one in found]


def _total(after: Counts, axis: Axis, counts: FrameCounts) -> str:
    """What all rows are, where they are alike and more could be; "" where they are not."""
    values = after[1:]
    if not values.any():
        return "no value in any row"
    if axis.bins <= 2 or (values > 0).sum() != 1:
        return ""
    if axis.name not in counts.samples:
        return f"one value in all rows: {axis.labels()[1 + int(values.argmax())]}"
    held = counts.samples[axis.name][1]
    return f"one value in all rows: {held[0]:.6g}" if len(held) and held[0] == held[-1] else ""


def _band(sizes: Sizes, bands: Bands) -> str:
    moved = abs(sizes.nulls)
    of_nulls = _BANDS[sum(moved >= one for one in _NULLS)]
    return max(bands.word(sizes.psi), of_nulls, key=_BANDS.index)


def _wasserstein(counts: FrameCounts, name: str, sizes: Sizes) -> float | None:
    if name not in counts.samples:
        return None
    before, after = counts.samples[name]
    if not len(before) or not len(after):
        return 0.0
    scale = sizes.depends * (1.0 / len(before) + 1.0 / len(after))
    return max(wasserstein(after, before) - wasserstein_chance(before, scale), 0.0)


def _table_verdict(
    checks: Sequence[FeatureCheck], reference: Frame, current: Frame, alpha: float, least: int
) -> Verdict:
    failed = [c for c in checks if c.outcome is Outcome.FAIL]
    if failed:
        top = min(failed, key=_rank)
        message = (
            f"{len(failed)} of {len(checks)} columns changed, first {top.name}: {top.sentence}"
        )
        return Verdict(Outcome.FAIL, "CHK-201", message)
    if reference.rows < LEAST_REFERENCE or current.rows < least:
        message = (
            f"{reference.rows:,} rows of the reference, {LEAST_REFERENCE} needed; "
            f"{current.rows:,} now, {least} needed"
        )
        short = max(LEAST_REFERENCE - reference.rows, least - current.rows)
        return Verdict(Outcome.HOLD, "CHK-202", message, f"{short} rows")
    held = [c for c in checks if c.outcome is Outcome.HOLD]
    if held or not checks:
        if not held:
            return Verdict(Outcome.HOLD, "CHK-202", "there is no column to compare", "columns")
        first = min(held, key=_rank)
        message = (
            f"{len(held)} of {len(checks)} columns cannot be judged, first {first.name}: "
            f"{first.sentence}"
        )
        return Verdict(Outcome.HOLD, first.code, message, first.missing)
    low = min(checks, key=lambda c: c.p)
    message = (
        f"none of {len(checks)} columns changed by what matters beyond chance "
        f"(least p {low.p:.2g} of {low.name}, level {alpha:.3g}), n={current.rows:,}"
    )
    return Verdict(Outcome.PASS, "CHK-200", message)


def _windows(
    spans: Spans, replay: WatchedReplay, by_segment: tuple[SegmentCheck, ...]
) -> WindowCheck:
    names = tuple(n for n in spans.segments if n != NOBODY)
    known = {name for _, name in spans.before.keys}
    learned = len({start for start, _ in spans.before.keys})
    return WindowCheck(
        spans.window_s, learned, replay.windows, names,
        tuple(n for n in names if n not in known), _watch_verdict(replay, by_segment), by_segment,
    )  # fmt: skip


def _watch_verdict(replay: Replay, by_segment: Sequence[SegmentCheck]) -> Verdict:
    if replay.left_out:
        why = "; ".join(replay.left_out.values())
        return Verdict(Outcome.ERROR, "CHK-203", f"the windows could not be judged: {why}")
    if replay.alarms:
        message = f"{len(replay.alarms)} alarms in {replay.windows} windows"
        return Verdict(Outcome.FAIL, "CHK-201", f"{message}, first {replay.alarms[0].title}")
    passed = replay.outcomes.get(Outcome.PASS, 0)
    if not passed:
        last = next(iter(replay.last.values()), None)
        why = last.sentence if last is not None else "there is no window"
        missing = last.missing if last is not None else "windows"
        return Verdict(Outcome.HOLD, "CHK-202", f"no window could be judged: {why}", missing)
    unjudged = sum(one.outcome is Outcome.HOLD for one in by_segment)
    but = f"; {unjudged} of {len(by_segment)} segments are not judged" if unjudged else ""
    message = f"no alarm in {replay.windows} windows{but}"
    if passed < _JUDGED * replay.windows:
        first = (
            f"only {passed} of {replay.windows} windows were judged: the first taught what is usual"
        )
        missing = "a reference of more windows"
        return Verdict(Outcome.HOLD, "CHK-205", f"{message}; {first}", missing)
    return Verdict(Outcome.PASS, "CHK-200", message)


def _severity(alarm: ToldAlarm) -> int:
    return -("low", "medium", "high").index(alarm.severity)


def _rank(check: FeatureCheck) -> tuple[int, int, float, str]:
    order = {Outcome.FAIL: 0, Outcome.ERROR: 1, Outcome.HOLD: 2, Outcome.PASS: 3}
    sizes = check.sizes
    effect = max(sizes.psi, 4.0 * abs(sizes.nulls)) if sizes is not None else np.inf
    return order[check.outcome], -_BANDS.index(check.band), -float(effect), check.name


__all__ = [
    "CheckOptions", "CheckReport", "FeatureCheck", "FeatureType", "WindowCheck", "check_frames",
]  # fmt: skip

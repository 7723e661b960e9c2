"""How good a model's answers are, by outcomes, by estimates and by samples of labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from windvane.core.journal import Decision
from windvane.core.outcomes import SampledFacts
from windvane.ports.control_store import ControlStore, Tx, WindowVerdict
from windvane.ports.event_log import EventLog
from windvane.usecases.import_labels import IMPORTED
from windvane.usecases.measure_quality import measure_quality
from windvane.usecases.monitors.estimates import Estimates
from windvane.usecases.read_model_file import parse_duration, read_model_file

_MOST_ESTIMATES = 12
_MOST_SAMPLES = 5
_MOST_DECISIONS = 1_000


@dataclass(frozen=True, slots=True)
class QualityLine:
    """Of what ``version`` ("" for a rule or a constant) answered in [start, end) (s); no value
    where none can be told, and ``note`` says why, or what of it. ``of`` is a segment that the file
    declares or a tenant, "" for all rows."""

    version: str
    start: float
    end: float
    metric: str
    value: float | None
    lower: float | None
    upper: float | None
    rows: int
    note: str
    of: str = ""


@dataclass(frozen=True, slots=True)
class QualityReading:
    """``measured`` by outcomes that are known, a line a version and then a line a tenant and a
    segment; ``estimated`` and ``sampled``
    newest first. Of the imports of one sample the newest counts, and is the only one there;
    simulated labels are counted apart."""

    floor: float | None
    measured: Sequence[QualityLine]
    estimated: Sequence[QualityLine]
    sampled: Sequence[QualityLine]


def read_quality(
    store: ControlStore, log: EventLog, model: str, now: float, ago_s: float | None = None
) -> QualityReading:
    """Of the last ``ago_s`` seconds, ``watch.drift_over`` by default. Raises UnknownName,
    LogTooSlow, LogUnavailable."""
    with store.read() as tx:
        file = read_model_file(tx.model(model).text)
        start = now - (parse_duration(file.watch.drift_over) if ago_s is None else ago_s)
        estimated = latest_estimates(tx, model, start)
        sampled = _sampled(tx, model, start)
    report = measure_quality(log, file, start, now)
    measured: list[QualityLine] = []
    for one in (*report.whole, *report.parts):
        known, q = not one.short_of, one.quality
        measured.append(
            QualityLine(
                one.version, one.start, one.end, q.metric, q.value if known else None,
                q.lower if known else None, q.upper if known else None, q.rows,
                f"{one.short_of} needed" if one.short_of else "", one.of,
            )
        )  # fmt: skip
    return QualityReading(report.floor, measured, estimated, sampled)


def latest_estimates(tx: Tx, model: str, since: float) -> list[QualityLine]:
    """Of looks since then (s), newest first, each with its segments."""
    found = tx.verdicts(model, Estimates.name, since, _MOST_ESTIMATES)
    return [line for one in found for line in (estimate_line(one), *segment_estimates(one))]


def segment_estimates(look: WindowVerdict) -> list[QualityLine]:
    """What one look of the monitor says of each declared segment, those with most answers first."""
    whole = estimate_line(look)
    found: Sequence[Mapping[str, Any]] = look.detail.get("segments", ())
    lines = [
        replace(
            whole, value=one.get("value"), lower=one.get("lower"), upper=one.get("upper"),
            rows=int(one["rows"]), note=_with_check(one), of=f"segment {one['segment']}",
        )
        for one in found
    ]  # fmt: skip
    return sorted(lines, key=lambda line: (-line.rows, line.of))


def _with_check(one: Mapping[str, Any]) -> str:
    """Whether known outcomes were held against it is part of what is said."""
    if one.get("value") is None:
        return str(one["note"])
    checked = (
        f"{one['checked']:,} known outcomes agree" if one["checked"] else "calibration unchecked"
    )
    return f"{one['note']}; {checked}"


def estimate_line(look: WindowVerdict) -> QualityLine:
    """What one look of the monitor says."""
    held: Mapping[str, Any] = look.detail
    return QualityLine(
        str(held.get("version", "")), float(held.get("began", look.start)),
        float(held.get("ended", look.start)), str(held.get("metric", "")), held.get("value"),
        held.get("lower"), held.get("upper"), int(held.get("rows", 0)), look.sentence,
    )  # fmt: skip


def _sampled(tx: Tx, model: str, since: float) -> list[QualityLine]:
    taken = [
        (one, msgspec.convert(one.facts, SampledFacts))
        for one in tx.decisions(model, _MOST_DECISIONS)
        if one.action == IMPORTED and one.at >= since
    ]
    imports = Counter((facts.sample, facts.simulated) for _, facts in taken)
    newest: dict[tuple[str, bool], tuple[Decision, SampledFacts]] = {}
    for decision, facts in taken:
        newest.setdefault((facts.sample, facts.simulated), (decision, facts))
    out: list[QualityLine] = []
    for key, (decision, facts) in list(newest.items())[:_MOST_SAMPLES]:
        known, q = not facts.quality.missing, facts.quality
        replaced = imports[key] - 1
        others = f"{replaced:,} earlier import{'s' * (replaced > 1)} of the sample"
        out.append(
            QualityLine(
                facts.version, facts.start, facts.end, q.metric, q.value if known else None,
                q.lower if known else None, q.upper if known else None, facts.labelled,
                decision.verdict.sentence + (f"; in place of {others}" if replaced else ""),
            )
        )  # fmt: skip
    return out

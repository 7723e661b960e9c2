"""What a check of two tables found, as JSON and as one HTML file that needs nothing else."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from windvane.core.drift.two_samples import Sizes
from windvane.core.task import Quality
from windvane.core.verdict import Outcome, Verdict
from windvane.usecases.check_frames import CheckReport, FeatureCheck, WindowCheck
from windvane.usecases.monitors.base import moment
from windvane.usecases.replay_windows import ToldAlarm
from windvane.usecases.watch_frames import SegmentCheck

FORMAT = 1
"""Grows when a key changes its meaning or goes; keys may be added without."""
STATUSES = {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.HOLD: 2, Outcome.ERROR: 2}
"""How a command ends by the verdict: not knowing is never fine."""
_SIZES = ("psi", "js", "kl", "ks", "tv", "nulls", "unseen", "depends", "as_independent")
_MOST_PICTURES = 60
_MOST_ROWS = 500
_MOST_BINS = 60
_WIDTH, _HEIGHT = 300.0, 84.0


def check_json(report: CheckReport) -> dict[str, Any]:
    """Times in s since the epoch; sizes are beyond chance."""
    windows = report.windows
    return {
        "format": FORMAT,
        "reference": {"place": report.reference, "rows": report.rows[0]},
        "current": {"place": report.current, "rows": report.rows[1]},
        "alpha": report.alpha,
        "verdict": _verdict(report.verdict),
        "status": STATUSES[report.verdict.outcome],
        "features": [_feature(one) for one in report.features],
        "windows": None if windows is None else {
            "seconds": windows.window_s, "learned": windows.learned, "judged": windows.judged,
            "segments": list(windows.segments), "new_segments": list(windows.new),
            "by_segment": [_segment(one) for one in windows.by_segment],
            "verdict": _verdict(windows.verdict),
        },
        "alarms": [alarm_json(one) for one in report.alarms],
        "quality": None if report.quality is None else {
            "task": report.quality.task, "metric": report.quality.metric,
            "reference": _quality(report.quality.before),
            "current": _quality(report.quality.after),
            "least": round(report.quality.least, 6),
            "verdict": _verdict(report.quality.verdict),
        },
        "notes": list(report.notes),
    }  # fmt: skip


def alarm_json(alarm: ToldAlarm) -> dict[str, Any]:
    return {
        "kind": alarm.kind, "segment": alarm.whom, "severity": alarm.severity,
        "title": alarm.title, "since": alarm.since, "opened": alarm.opened,
        "closed": alarm.closed,
        "suspects": [{"feature": n, "size": round(s, 4)} for n, s in alarm.suspects],
        "sources": list(alarm.sources),
        "changes": list(alarm.evidence.get("changes", ())),
    }  # fmt: skip


def _feature(one: FeatureCheck) -> dict[str, Any]:
    sizes = None if one.sizes is None else {
        name: None if value is None else round(float(value), 6)
        for name, value in _numbers(one.sizes)
    }  # fmt: skip
    if sizes is not None:
        unit = one.wasserstein
        sizes["wasserstein"] = None if unit is None else float(f"{unit:.6g}")
    return {
        "name": one.name, "role": one.role, "type": one.type, "source": one.source,
        "outcome": one.outcome.value, "code": one.code, "missing": one.missing,
        "band": one.band, "sentence": one.sentence,
        "p": float(f"{one.p:.6g}"), "sizes": sizes, "change": dict(one.change),
    }  # fmt: skip


def _segment(one: SegmentCheck) -> dict[str, Any]:
    return {
        "segment": one.name, "outcome": one.outcome.value, "sentence": one.sentence,
        "missing": one.missing, "learned": one.learned, "rows": one.rows, "judged": one.judged,
    }  # fmt: skip


def _numbers(sizes: Sizes) -> list[tuple[str, float | None]]:
    return [
        *((name, getattr(sizes, name)) for name in _SIZES),
        ("detectable_psi", sizes.values.size), ("detectable_nulls", sizes.null_share.size),
    ]  # fmt: skip


def _verdict(given: Verdict) -> dict[str, str]:
    return {
        "outcome": given.outcome.value, "code": given.code, "sentence": given.sentence,
        "missing": given.missing,
    }  # fmt: skip


def _quality(given: Quality) -> dict[str, Any]:
    held = [x if math.isfinite(x) else None for x in (given.value, given.lower, given.upper)]
    return {
        "value": held[0], "lower": held[1], "upper": held[2], "rows": given.rows,
        "missing": given.missing,
    }  # fmt: skip


def size_words(one: FeatureCheck) -> list[str]:
    """PSI, JS, KL, KS, TV, the rise of nulls and Wasserstein, as a table has them."""
    sizes = one.sizes
    if sizes is None:
        return [""] * 7
    unit = one.wasserstein
    return [
        f"{sizes.psi:.3f}", f"{sizes.js:.3f}", f"{sizes.kl:.3f}",
        "" if sizes.ks is None else f"{sizes.ks:.3f}", f"{sizes.tv:.3f}", f"{sizes.nulls:+.1%}",
        "" if unit is None else f"{unit:.3g}",
    ]  # fmt: skip


SIZES = ("PSI", "JS", "KL", "KS", "TV", "nulls", "Wasserstein")

_STYLE = """
:root{color-scheme:light dark;--ground:#f5f7f6;--surface:#fff;--line:#d9e0de;--ink:#16211f;
--soft:#566563;--before:#b9c8c5;--after:#0b6e69;--null:#b0241c;--pass:#19703f;--fail:#b0241c;
--hold:#835300}@media(prefers-color-scheme:dark){:root{--ground:#0e1413;--surface:#161e1d;
--line:#2b3836;--ink:#e4ecea;--soft:#9bada9;--before:#4a5d5a;--after:#5fc9bf;--null:#ff958b;
--pass:#74d69b;--fail:#ff958b;--hold:#f0bd62}}body{margin:0;background:var(--ground);
color:var(--ink);font:15px/1.5 ui-sans-serif,system-ui,sans-serif}main{max-width:1200px;
margin:auto;padding:1.5rem;display:grid;gap:1.2rem;grid-template-columns:minmax(0,1fr)}h1{
font-size:1.5rem;margin:0}h2{font-size:1.05rem;margin:0 0 .5rem}p{margin:.2rem 0}.soft{
color:var(--soft)}section{background:var(--surface);border:1px solid var(--line);
border-radius:10px;padding:1rem;overflow-x:auto}table{border-collapse:collapse;width:100%;
font-size:.9rem}th,td{padding:.3rem .6rem;text-align:left;border-bottom:1px solid var(--line);
vertical-align:top}th{color:var(--soft);font-weight:600}.num{text-align:right;
font-variant-numeric:tabular-nums;white-space:nowrap}.pass{color:var(--pass)}.fail,.error{
color:var(--fail)}.hold{color:var(--hold)}.word{font-weight:650}.grid{display:grid;
grid-template-columns:repeat(auto-fill,minmax(280px,1fr));gap:1rem}figure{margin:0}figcaption{
font-size:.88rem;overflow-wrap:anywhere}svg{display:block;width:100%;height:84px}.b{
fill:var(--before)}.a{fill:var(--after)}.n .a{fill:var(--null)}.ends{display:flex;
justify-content:space-between;font-size:.78rem;color:var(--soft)}
"""


def check_html(report: CheckReport) -> str:
    """One page: no script, nothing that is fetched."""
    verdict = report.verdict
    outcome = verdict.outcome.value
    head = (
        f"<h1>{_text(report.current)}</h1>"
        f'<p class="soft">{report.rows[1]:,} rows, against {_text(report.reference)}, '
        f"{report.rows[0]:,} rows</p>"
    )
    missing = f"<p>missing: {_text(verdict.missing)}</p>" if verdict.missing else ""
    said = (
        f'<p><span class="word {outcome}">{outcome.upper()}</span> {verdict.code}: '
        f"{_text(verdict.sentence)}</p>{missing}"
        '<p class="soft">Where nothing changed, something is found in at most '
        f"{report.alpha:.0%} of such checks.</p>"
    )
    notes = "".join(f"<p>{_text(one)}</p>" for one in report.notes)
    parts = [
        head, _section("", said), _alarms(report), _quality_section(report), _pictures(report),
        _features(report), _section("Notes", notes) if notes else "",
    ]  # fmt: skip
    title = f"Windvane check: {report.current}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _text(given: str) -> str:
    return html.escape(given)


def _word(kind: str, said: str) -> str:
    return f'<span class="word {kind}">{_text(said)}</span>'


def _section(title: str, body: str) -> str:
    head = f"<h2>{_text(title)}</h2>" if title else ""
    return f"<section>{head}{body}</section>"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], numbers: int) -> str:
    """Cells are HTML; of the titles after the first ``numbers`` are of words."""
    head = "".join(f"<th>{_text(one)}</th>" for one in titles)
    body = "".join(
        "<tr>" + "".join(
            f'<td class="num">{cell}</td>' if 0 < i <= numbers else f"<td>{cell}</td>"
            for i, cell in enumerate(row)
        ) + "</tr>"
        for row in rows
    )  # fmt: skip
    return f"<table><tr>{head}</tr>{body}</table>"


def _alarms(report: CheckReport) -> str:
    windows = report.windows
    if windows is None:
        return ""
    about = (
        f'<p class="soft">{windows.judged} windows of {windows.window_s / 3600:g} h, after '
        f"{windows.learned} of the reference</p><p>{_text(windows.verdict.sentence)}</p>"
    )
    rows = [
        [
            _word("fail" if one.severity == "high" else "hold", one.severity),
            _text(one.whom or "everyone"), _text(moment(one.since)),
            _text("goes on" if one.closed is None else moment(one.closed)), _text(one.title),
        ]
        for one in report.alarms
    ]  # fmt: skip
    table = _table(("severity", "whom", "since", "until", "what"), rows, 0) if rows else ""
    return _section("Alarms, window by window", about + table + _segments(windows))


def _segments(windows: WindowCheck) -> str:
    if not windows.by_segment:
        return ""
    rows = [
        [
            _text(one.name), f"{one.learned:,}", f"{one.rows:,}", f"{one.judged:,}",
            _word(one.outcome.value, one.outcome.value), _text(one.sentence), _text(one.missing),
        ]
        for one in windows.by_segment
    ]  # fmt: skip
    titles = ("segment", "rows before", "rows now", "windows judged", "outcome", "why", "missing")
    return _table(titles, rows, 3)


def _quality_section(report: CheckReport) -> str:
    found = report.quality
    if found is None:
        return ""
    word = found.verdict.outcome.value
    return _section(
        f"Quality: {found.metric}",
        f'<p><span class="word {word}">{word.upper()}</span> {_text(found.verdict.sentence)}</p>',
    )


def _pictures(report: CheckReport) -> str:
    shown = [one for one in report.features if one.outcome is Outcome.FAIL and one.bins[0]]
    others = [one for one in report.features if one not in shown and one.bins[0]]
    figures = "".join(_figure(one) for one in [*shown, *others][:_MOST_PICTURES])
    return _section("Reference (pale) and current (dark)", f'<div class="grid">{figures}</div>')


def _figure(one: FeatureCheck) -> str:
    labels, before, after = one.bins
    picture = histogram_svg(labels, before, after, one.name)
    ends = ("", "") if len(labels) < 2 else (labels[1], labels[-1])
    word = one.outcome.value
    return (
        f'<figure>{picture}<div class="ends"><span>{_text(ends[0][:24])}</span>'
        f"<span>{_text(ends[1][:24])}</span></div>"
        f'<figcaption><b>{_text(one.name)}</b> <span class="word {word}">{word}</span> '
        f"{_text(one.sentence)}</figcaption></figure>"
    )


def histogram_svg(
    labels: Sequence[str], before: Sequence[int], after: Sequence[int], name: str
) -> str:
    """Shares by bin on one scale; the null bin stands apart, to the left. Of many names those
    with most rows are shown."""
    kept = list(range(len(labels)))
    if len(kept) > _MOST_BINS:
        weight = np.asarray(before) / max(sum(before), 1) + np.asarray(after) / max(sum(after), 1)
        top = np.argsort(-weight[1:], kind="stable")[: _MOST_BINS - 1] + 1
        kept = [0, *sorted(top.tolist())]
    shares = [[side[i] / max(sum(side), 1) for i in kept] for side in (before, after)]
    top_share = max((*shares[0], *shares[1]), default=0.0) or 1.0
    gap = 10.0
    slot = (_WIDTH - gap) / max(len(kept), 1)
    bars: list[str] = []
    for i, place in enumerate(kept):
        x = i * slot + (gap if i else 0.0)
        said = f"{labels[place]}: {shares[0][i]:.1%} to {shares[1][i]:.1%}"
        rects = "".join(
            f'<rect class="{kind}" x="{x + slot * left:.1f}" y="{_HEIGHT * (1 - part):.1f}" '
            f'width="{slot * wide:.1f}" height="{_HEIGHT * part:.1f}"/>'
            for kind, part, left, wide in (
                ("b", shares[0][i] / top_share, 0.06, 0.88),
                ("a", shares[1][i] / top_share, 0.3, 0.4),
            )
        )
        bars.append(f'<g class="{"" if i else "n"}"><title>{_text(said)}</title>{rects}</g>')
    return (
        f'<svg viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" preserveAspectRatio="none" role="img" '
        f'aria-label="{_text(name)}">{"".join(bars)}</svg>'
    )


def _features(report: CheckReport) -> str:
    rows = [
        [
            _text(one.name), *map(_text, size_words(one)),
            "" if one.sizes is None else f"{one.p:.2g}",
            _word(one.outcome.value, one.outcome.value),
            _text(one.band), _text(one.sentence),
        ]
        for one in report.features[:_MOST_ROWS]
    ]  # fmt: skip
    more = len(report.features) - _MOST_ROWS
    rest = f'<p class="soft">and {more:,} more, in the JSON</p>' if more > 0 else ""
    titles = ("column", *SIZES, "p", "outcome", "band", "from, to")
    return _section("Every column, beyond chance", _table(titles, rows, len(SIZES) + 1) + rest)

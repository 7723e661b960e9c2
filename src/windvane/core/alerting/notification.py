"""What a notification says: enough to act upon without another page. What is not known is left
out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from windvane.core.alerting.cause import CauseGroup, CauseKind
from windvane.core.alerting.impact import (
    counted_words,
    interval_words,
    quality_words,
    whom_lines,
)
from windvane.core.alerting.suspect import suspect_words

_MOST_FEATURES = 3
_MOST_TENANTS = 3
_MOST_REQUESTS = 5
_LONGEST_ID = 64
_LEAST_SHARE = 0.01
_NO_NAMES: frozenset[str] = frozenset()

_TO_DO: Mapping[CauseGroup | None, str] = {
    CauseGroup.BROKEN_INPUT: "ask whoever owns {subject} what changed there at that time",
    CauseGroup.FAILING: "look at the requests that failed: `windvane incidents {incident}`",
    CauseGroup.QUALITY: "see whose answers got worse, then train anew or roll back by hand",
    CauseGroup.DRIFT: "see whether outcomes hold; if they do not, train on newer data",
    CauseGroup.TENANT: "show {subject} its own requests: `windvane incidents {incident}`",
    CauseGroup.ABSENCE: "see whether what should come is still being sent",
    CauseGroup.SLO: "see what slows it or fails: `windvane status {model}`",
    None: "see why before it is deployed again: `windvane incidents {incident}`",
}


@dataclass(frozen=True, slots=True)
class IncidentNotice:
    """An incident as a notification needs it. ``since`` is when it began, ``now`` when it is told
    (s), ``done`` what was done about it by itself, ``also`` what
    was found since people were told first. Values of ``private`` features are shown to
    nobody."""

    incident: str
    model: str
    kind: CauseKind
    subject: str
    title: str
    since: float
    now: float
    owner: str
    runbook: str
    done: tuple[str, ...] = ()
    evidence: Mapping[str, Any] | None = None
    private: Collection[str] = _NO_NAMES
    also: tuple[str, ...] = ()


Moment = Callable[[float], str]


def notification_lines(told: IncidentNotice, moment: Moment) -> list[str]:
    """What changed and since when, whom it hurts, what was done, what was good, what to do;
    ``moment`` writes a time."""
    evidence = told.evidence or {}
    lines = [told.title, f"since: {moment(told.since)} ({_span(told.now - told.since)} ago)"]
    lines += [f"also: {line}" for line in told.also]
    lines += _found(evidence, told.private)
    lines += [f"done: {line}" for line in told.done]
    lines += _good(evidence, moment)
    lines += [f"requests: {line}" for line in _requests(evidence, moment)]
    asked = (told.kind.to_do or _TO_DO[told.kind.responds_to]).format(
        subject=_subject(told), incident=told.incident, model=told.model
    )
    return [*lines, f"to do: {asked}", f"owner: {told.owner}", f"runbook: {told.runbook}"]


def evidence_lines(
    evidence: Mapping[str, Any], private: Collection[str], moment: Moment
) -> list[str]:
    """What an incident's evidence says: what changed from what to what, whom it hurts and what was
    good. Values of ``private`` features are left out."""
    return [*_found(evidence, private), *_good(evidence, moment)]


def _found(evidence: Mapping[str, Any], private: Collection[str]) -> list[str]:
    lines = [f"changed: {line}" for line in _changes(evidence, private)]
    lines += [f"measured: {line}" for line in _quality(evidence)]
    if model_says := suspect_words(evidence, private):
        lines.append(f"as the model sees it: {model_says}")
    return lines + impact_lines(evidence)


def impact_lines(evidence: Mapping[str, Any]) -> list[str]:
    """Whom it hurts, of how many rows, and what is known of the answers."""
    whom, counted = _whom_counted(evidence)
    lines = [f"hurts: {line}" for line in whom] + ([f"counted: {counted}"] if counted else [])
    known: Mapping[str, Any] = _impact(evidence).get("quality") or {}
    quality = "" if "metric" in evidence else quality_words(known)
    return lines + ([f"quality: {quality}"] if quality else [])


def whom_and_how_many(evidence: Mapping[str, Any]) -> list[str]:
    """The same without what is known of the answers, for a page: in the same words."""
    whom, counted = _whom_counted(evidence)
    return [*whom, *([counted] if counted else [])]


def _whom_counted(evidence: Mapping[str, Any]) -> tuple[list[str], str]:
    impact = _impact(evidence)
    by_monitor = any({"failed", "bad"} & row.keys() for row in evidence.get("tenants", []))
    whom = whom_lines(impact)
    if not impact.get("hits") and (by_monitor or not whom):
        whom = _whom(evidence)
    return whom, counted_words(impact) if impact.get("rows") else ""


def _impact(evidence: Mapping[str, Any]) -> Mapping[str, Any]:
    return evidence.get("impact") or {}


def _good(evidence: Mapping[str, Any], moment: Moment) -> list[str]:
    return [f"last known good: {line}" for line in _last_good(evidence, moment)]


def describe_change(histogram: Mapping[str, Any], *, show_values: bool = True) -> str:
    """A feature's nulls and values before -> after, "" where neither is known to have changed."""
    labels: Sequence[str] = histogram["labels"]
    before, after = list(histogram["before"]), list(histogram["after"])
    if not sum(before) or not sum(after) or len(before) != len(after):
        return ""
    parts: list[str] = []
    nulls = before[0] / sum(before), after[0] / sum(after)
    if abs(nulls[1] - nulls[0]) >= _LEAST_SHARE:
        parts.append(f"nulls {nulls[0]:.1%} -> {nulls[1]:.1%}")
    if show_values and sum(before[1:]) and sum(after[1:]):
        parts += _values(labels[1:], before[1:], after[1:])
    return f"{histogram['feature']}: {', '.join(parts)}" if parts else ""


def _values(labels: Sequence[str], before: Sequence[int], after: Sequence[int]) -> list[str]:
    if labels[0].startswith(("up to ", "under ")) and labels[-1].startswith("over "):
        middle = labels[_median(before)], labels[_median(after)]
        if middle[0] != middle[1]:
            return [f"median {middle[0]} -> {middle[1]}"]
    shares = [(b / sum(before), a / sum(after)) for b, a in zip(before, after, strict=True)]
    most = max(range(len(shares)), key=lambda i: (shares[i][1] - shares[i][0], -i))
    was, is_now = shares[most]
    if is_now - was < 5 * _LEAST_SHARE:
        return []
    name = "names unseen in training" if labels[most] == "unseen" else f"{labels[most]!r}"
    return [f"{name} {was:.1%} -> {is_now:.1%}"]


def _median(counts: Sequence[int]) -> int:
    half, seen = sum(counts) / 2.0, 0
    for i, count in enumerate(counts):
        seen += count
        if seen >= half:
            return i
    return len(counts) - 1


def _changes(evidence: Mapping[str, Any], private: Collection[str]) -> list[str]:
    drawn = evidence.get("histograms", [])
    # Where only nulls moved, what is left of the values says little.
    values = set(evidence.get("kinds", ["values"])) != {"nulls"}
    lines = [describe_change(h, show_values=values and h["feature"] not in private) for h in drawn]
    lines = [line for line in lines if line]
    more = len(lines) - _MOST_FEATURES
    return lines[:_MOST_FEATURES] + ([f"and {more} more features"] if more > 0 else [])


def _quality(evidence: Mapping[str, Any]) -> list[str]:
    metric = str(evidence.get("metric", ""))
    value, floor = evidence.get(metric), evidence.get("floor")
    if not metric or value is None or floor is None:
        return []
    between = interval_words(evidence.get("lower"), evidence.get("upper"), evidence.get("level"))
    rows = f", {evidence['scored']:,} outcomes" if "scored" in evidence else ""
    return [f"{metric} {value:g}{between}, floor {floor:g}{rows}"]


def _whom(evidence: Mapping[str, Any]) -> list[str]:
    """By what the monitor itself counted: tenants whose rows failed or lack the suspect; else those
    whose rows there were, all of them."""
    rows = [row for row in evidence.get("tenants", []) if "tenant" in row]
    if not rows:
        return []
    kinds = evidence.get("kinds", ())
    of_nulls = not kinds or "nulls" in kinds
    shown: list[str] = []
    for row in rows:
        part, of = row.get("failed", row.get("bad")), row.get("rows", row.get("events"))
        if part is None and (of_nulls or row.get("nulls") == of):
            part = row.get("nulls")
        if part:
            shown.append(f"{row['tenant']} ({part:,} of {of:,} rows)")
    if not shown:
        every = "all of its " if list(kinds) == ["values"] else ""
        shown = [
            f"{r['tenant']} ({every}{r['rows']:,} rows)" if "rows" in r else str(r["tenant"])
            for r in rows
        ]
    more = len(shown) - _MOST_TENANTS
    named = ", ".join(shown[:_MOST_TENANTS]) + (f" and {more} more" if more > 0 else "")
    return [f"{'tenant' if len(shown) == 1 else 'tenants'} {named}"]


def _requests(evidence: Mapping[str, Any], moment: Moment) -> list[str]:
    """By which they are found in the log: whose, when and their ids, nothing of what was in
    them."""
    named: dict[str, str] = {}
    for row in evidence.get("samples", []):
        # Its client chose it.
        if name := "".join(str(row.get("request_id") or "").split())[:_LONGEST_ID]:
            at = row.get("ts")
            when = f" at {moment(at)}" if isinstance(at, int | float) else ""
            named.setdefault(name, f"{row.get('tenant', '')} {name}{when}".strip())
    return [", ".join(list(named.values())[:_MOST_REQUESTS])] if named else []


def _last_good(evidence: Mapping[str, Any], moment: Moment) -> list[str]:
    good: Mapping[str, Any] | None = evidence.get("last_good")
    if not good or not good.get("version"):
        return []
    before = f", before {moment(good['before'])}" if "before" in good else ""
    return [f"version {good['version']}{before}"]


def _subject(told: IncidentNotice) -> str:
    return told.subject if told.subject != told.model else "it"


def _span(seconds: float) -> str:
    for unit, word in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "m")):
        if seconds >= unit:
            return f"{seconds / unit:.0f}{word}"
    return f"{max(0.0, seconds):.0f}s"

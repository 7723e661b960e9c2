"""A postmortem of what is on record: nothing in it is guessed, and what is not known says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from windvane.core.alerting.impact import ALPHA, TenantCounts
from windvane.core.statistics import share_bounds

_NOT_KNOWN = "not known"
_MOST_TENANTS = 20
_ESCAPED = str.maketrans({c: f"\\{c}" for c in "\\`*[]<>|"})

Moment = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class TenantImpact:
    """What became of a tenant's rows meanwhile, and of those before it began (``usual``: without
    rows where nothing is known of then)."""

    tenant: str
    counts: TenantCounts
    usual: TenantCounts = TenantCounts()  # noqa: RUF009


@dataclass(frozen=True, slots=True)
class Impact:
    """What windows from ``since`` to ``until`` (s) counted, tenant by tenant; ``outcomes`` are what
    outcomes said of the model meanwhile. ``feature`` is the one whose missing values are what
    happened, "" for none."""

    since: float
    until: float
    tenants: tuple[TenantImpact, ...] = ()
    outcomes: tuple[str, ...] = ()
    feature: str = ""


@dataclass(frozen=True, slots=True)
class ItemLine:
    """An action item; ``due`` is the end (s) of the ``day`` that it is due on."""

    id: str
    what: str
    owner: str
    due: float
    day: str
    acceptance: str
    state: str
    overdue: bool


@dataclass(frozen=True, slots=True)
class Postmortem:
    """An incident as it is on record (times in s since the epoch). ``evidence`` is what changed,
    from -> to; ``timeline`` what happened and was done; ``changes`` what people and rollouts
    changed near the onset."""

    incident: str
    model: str
    title: str
    kind: str
    severity: str
    owner: str
    runbook: str
    since: float
    opened_at: float
    acknowledged_at: float | None
    closed_at: float | None
    impact: Impact
    evidence: tuple[str, ...] = ()
    timeline: tuple[tuple[float, str], ...] = ()
    changes: tuple[tuple[float, str], ...] = ()
    grade: str = ""
    graded_by: str = ""
    runbook_change: str = ""
    items: tuple[ItemLine, ...] = field(default_factory=tuple)


def write_markdown(found: Postmortem, moment: Moment) -> str:
    """In Markdown; ``moment`` writes a time. What others wrote is escaped."""
    graded = f"{found.grade}, by {_text(found.graded_by)}" if found.grade else _NOT_KNOWN
    lines = [
        f"# Postmortem: {_text(found.title)}",
        "",
        f"- Incident: `{found.incident}`, {found.severity}, {found.kind.replace('_', ' ')}",
        f"- Model: {_text(found.model)}",
        f"- Owner: {_text(found.owner) or _NOT_KNOWN}",
        f"- Runbook: {_text(found.runbook) or _NOT_KNOWN}",
        f"- What it was: {graded}",
        f"- What the runbook lacks: {_text(found.runbook_change) or _NOT_KNOWN}",
        "",
        "## Times",
        "",
        f"- Began: {moment(found.since)}, by the monitor's best estimate",
        f"- Detected: {moment(found.opened_at)}, after {_span(found.opened_at - found.since)}",
        _line("Acknowledged", found.acknowledged_at, found.opened_at, moment, "by nobody"),
        _line("Resolved", found.closed_at, found.opened_at, moment, "not yet"),
    ]
    lines += ["", "## Impact", "", *_impact(found.impact, moment)]
    lines += ["", "## Evidence", "", *_listed(found.evidence)]
    changed = [f"{moment(at)}: {_text(what)}" for at, what in found.changes]
    lines += ["", "## What was changed near the onset", ""]
    lines += [f"- {line}" for line in changed] or ["Nothing on record in the day before."]
    lines += ["", "## Timeline", ""]
    lines += [f"- {moment(at)}: {_text(what)}" for at, what in found.timeline] or [_sentence()]
    lines += ["", "## Action items", "", *_items(found.items)]
    return "\n".join(lines) + "\n"


def _line(word: str, at: float | None, opened: float, moment: Moment, none: str) -> str:
    return f"- {word}: {none}" if at is None else f"- {word}: {moment(at)}, {_after(at - opened)}"


def _after(seconds: float) -> str:
    return f"{_span(seconds)} after the detection"


def _impact(impact: Impact, moment: Moment) -> list[str]:
    lines = [f"From {moment(impact.since)} to {moment(impact.until)}.", ""]
    asked = [one for one in impact.tenants if one.counts.rows]
    if not asked:
        lines.append("Requests: not known, no window of that time is kept.")
    else:
        named = [f"{_text(impact.feature)} missing"] if impact.feature else []
        heads = ["tenant", "rows asked for", "requests", "not answered", "answered by a fallback",
                 "failed", *named]  # fmt: skip
        lines += [
            f"| {' | '.join(heads)} |",
            "|---" * len(heads) + "|",
            *(_row(one, impact.feature) for one in asked[:_MOST_TENANTS]),
        ]
        rest = asked[_MOST_TENANTS:]
        if rest:
            lines.append(_row(_total(f"{len(rest)} more", rest), impact.feature))
        if len(asked) > 1:
            lines.append(_row(_total("all", asked), impact.feature))
        lines += [
            "",
            (
                "Shares with their 95% interval (Clopper and Pearson), as if rows were "
                "independent; usually: the tenant's own share before it began."
            ),
        ]
    lines += ["", *([f"Outcomes: {_text(one)}" for one in impact.outcomes] or
                    ["Outcomes: not known, none were judged in that time."])]  # fmt: skip
    return lines


def _total(name: str, found: Sequence[TenantImpact]) -> TenantImpact:
    none = TenantCounts()
    return TenantImpact(
        name, sum((o.counts for o in found), none), sum((o.usual for o in found), none)
    )


def _row(one: TenantImpact, feature: str) -> str:
    now, usual = one.counts, one.usual
    cells = [
        _text(one.tenant), f"{now.rows:,}", f"{now.requests:,}",
        _share(now.unanswered, now.rows, usual.unanswered, usual.rows),
        _share(now.fell_back, now.rows, usual.fell_back, usual.rows),
        _share(now.failed - now.unanswered, now.rows, usual.failed - usual.unanswered, usual.rows),
    ]  # fmt: skip
    if feature:
        cells.append(_share(now.nulls, now.looked_at, usual.nulls, usual.looked_at))
    return f"| {' | '.join(cells)} |"


def _share(part: int, whole: int, usual: int, of: int) -> str:
    if not whole:
        return _NOT_KNOWN
    low, high = share_bounds(part, whole, ALPHA)
    before = f"{usual / of:.1%}" if of else _NOT_KNOWN
    return f"{part:,} ({part / whole:.1%}; {low:.1%} to {high:.1%}; usually {before})"


def _items(items: Sequence[ItemLine]) -> list[str]:
    if not items:
        return ["None yet: `windvane action-items add`."]
    rows = [
        f"| {_text(i.what)} | {_text(i.owner)} | {_due(i)} | {_text(i.acceptance)} | {i.state} | "
        f"`{i.id}` |"
        for i in items
    ]
    return ["| what | owner | due | done when | state | id |", "|---|---|---|---|---|---|", *rows]


def _due(item: ItemLine) -> str:
    return item.day + (" (overdue)" if item.overdue else "")


def _listed(lines: Sequence[str]) -> list[str]:
    return [f"- {_text(line)}" for line in lines] or [_sentence()]


def _sentence() -> str:
    return "Not known: nothing of it is on record."


def _text(text: str) -> str:
    """On one line, without meaning in Markdown."""
    return " ".join(text.split()).translate(_ESCAPED)


def _span(seconds: float) -> str:
    for unit, word in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {word}"
    return f"{max(0.0, seconds):.0f} s"

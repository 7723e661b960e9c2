"""Gather the findings of a window, with what is open already, into causes.

One cause is one incident: the one thing that a person is told. Findings belong together if they
are about one subject, or if their kinds say so (`CauseKind.joins`): sources that broke at one
time, and what a broken source does to outcomes. Kinds that name nobody stay apart: a tenant's
fault, or a canary's, is never part of another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from windvane.core.alerting.cause import Cause, CauseGroup, CauseKind, Join
from windvane.core.alerting.finding import Finding


@dataclass(frozen=True, slots=True)
class OpenCause:
    """An open incident: its cause, when it began (s), the members that still sound and the
    sources that it concerns; when it ``opened`` (s), long ago where that is not known."""

    incident: str
    cause: Cause
    since: float
    members: tuple[str, ...]
    sources: tuple[str, ...] = ()
    opened: float = -math.inf


@dataclass(frozen=True, slots=True)
class CauseChange:
    """What a window changes about one cause.

    ``incident`` is the open one, "" for a cause that is new (or was not worth an incident).
    ``cause`` leads: of several it is the one that explains the others. ``members`` are those
    that sound afterwards; none of them is left where the cause is over.
    """

    incident: str
    cause: Cause
    since: float
    members: tuple[str, ...]
    began: tuple[Finding, ...] = ()
    ended: tuple[Finding, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def over(self) -> bool:
        return not self.members

    @property
    def title(self) -> str:
        """What a person is told: the leading finding's title, and how many more there are."""
        first = next((f for f in self.began if f.cause == self.cause), self.began[0])
        rest = [f for f in self.began if f is not first]
        if not rest:
            return first.title
        return f"{first.title}; and {rest[0].title}" + (
            f", and {len(rest) - 1} more" if len(rest) > 1 else ""
        )


def cause_key_of(member: str) -> str:
    """The key of the cause that a `Finding.member` names."""
    return member.partition("/")[2]


@dataclass(slots=True)
class _Group:
    incident: str
    cause: Cause
    since: float
    members: list[str]
    sources: list[str]
    opened: float = math.inf  # what is new opens now
    began: list[Finding] = field(default_factory=list[Finding])
    ended: list[Finding] = field(default_factory=list[Finding])


def correlate(
    findings: Sequence[Finding], held: Sequence[OpenCause], together_s: float
) -> tuple[CauseChange, ...]:
    """What changes about which cause, in the order of the findings; ``held`` are the open ones.

    ``together_s``: two onsets that lie no further apart are one (s).
    """
    groups = [
        _Group(o.incident, o.cause, o.since, list(o.members), list(o.sources), o.opened)
        for o in held
    ]
    for finding in findings:
        if not finding.began:
            _end(groups, finding)
    # What others join comes first, whatever the order of the monitors.
    for finding in sorted((f for f in findings if f.began), key=_order):
        _begin(groups, finding, together_s)
    return tuple(
        CauseChange(
            g.incident, g.cause, g.since, tuple(g.members), tuple(g.began), tuple(g.ended),
            tuple(g.sources),
        )
        for g in groups
        if g.began or g.ended
    )  # fmt: skip


def _order(finding: Finding) -> tuple[int, float, str]:
    kind = finding.cause.kind
    return len(kind.joins.keys() - {kind.name}), finding.since, finding.member


def _end(groups: list[_Group], finding: Finding) -> None:
    for group in groups:
        if finding.member in group.members:
            group.members.remove(finding.member)
            group.ended.append(finding)
            return
    groups.append(_Group("", finding.cause, finding.since, [], [], ended=[finding]))


def _begin(groups: list[_Group], finding: Finding, together_s: float) -> None:
    group = next((g for g in groups if _belongs(g, finding, together_s)), None)
    if group is None:
        group = _Group("", finding.cause, finding.since, [], [])
        groups.append(group)
    elif _leads(finding.cause.kind, group.cause.kind):
        group.cause = finding.cause
    if finding.member not in group.members:
        group.members.append(finding.member)
    group.sources += [s for s in finding.sources if s not in group.sources]
    group.since = min(group.since, finding.since)
    group.began.append(finding)


def _belongs(group: _Group, finding: Finding, together_s: float) -> bool:
    if not group.members and not group.began:
        return False  # it is over: what begins now is another
    if finding.cause.key in map(cause_key_of, group.members):
        return True
    there, here = group.cause.kind, finding.cause.kind
    of_tenants = there.responds_to is here.responds_to is CauseGroup.TENANT
    if of_tenants and group.cause.subject != finding.cause.subject:
        return False  # what one tenant does is never part of another's
    rule = here.joins.get(there.name)
    if rule is None:
        rule = there.joins.get(here.name)
        # What is open was found first: it was hardly done by what begins days later.
        rule = Join.SAME_ONSET if rule is Join.WHILE_OPEN else rule
    match rule:
        case Join.SAME_ONSET:
            return abs(finding.since - group.since) <= together_s
        case Join.WHILE_OPEN:
            return True
        case Join.SAME_SOURCES if _found_meanwhile(group, finding, together_s):
            return True
        case Join.FOUND_TOGETHER:
            return _found_meanwhile(group, finding, together_s)
        case Join.SAME_SOURCES:
            mine = finding.sources if there.name in here.joins else group.sources
            theirs = group.sources if there.name in here.joins else finding.sources
            return bool(mine) and set(mine) <= set(theirs)
        case None:
            return False


def _found_meanwhile(group: _Group, finding: Finding, together_s: float) -> bool:
    """Whether the group and the finding, of which one explains the other, are of one of the same
    sources, and the one that is explained was not found before the other began."""
    if not set(finding.sources) & set(group.sources):
        return False
    if group.cause.kind.name in finding.cause.kind.joins:
        return math.isinf(group.opened) and group.opened > 0.0
    return group.opened >= finding.since - together_s


def _leads(mine: CauseKind, theirs: CauseKind) -> bool:
    """Whether a cause of kind ``mine`` explains one of kind ``theirs``."""
    return mine.name != theirs.name and mine.name in theirs.joins

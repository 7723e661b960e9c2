"""Sources whose rows are older than the file declares: of everyone, or of one tenant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from windvane.core.alerting import Cause, CauseGroup, CauseKind, Finding, Severity
from windvane.core.freshness import (
    AgeHistogram,
    FreshnessFacts,
    FreshnessPolicy,
    judge_freshness,
    merge_ages,
)
from windvane.core.verdict import RateState
from windvane.ports.event_log import EventLog
from windvane.usecases.closed_window import ClosedWindow, StateRows
from windvane.usecases.derived_axes import age_name
from windvane.usecases.gather_evidence import sample_requests
from windvane.usecases.monitors.base import (
    AlarmState,
    Importance,
    Judge,
    Judged,
    Monitor,
    read_rows,
)
from windvane.usecases.monitors.rates import TenantCounts, alarmed_after, judge_tenants, rate_judged
from windvane.usecases.moves import AGAINST_A_SOURCE, FOR_A_TENANT
from windvane.usecases.read_model_file import Fresh, ModelFile, parse_duration, parse_share

CODES = "FRE"
STALE = CauseKind(
    "stale_source",
    CauseGroup.BROKEN_INPUT,
    "stale-source.md",
    moves=AGAINST_A_SOURCE,
)
TENANT_STALE = CauseKind(
    "tenant_stale_source",
    CauseGroup.TENANT,
    "stale-source.md",
    moves=FOR_A_TENANT,
)
_SHOWN = 5
_HALF = 0.5
# No view's name has one: it has to be printable.
_OF = "\t"


class Freshness(Monitor):
    """How long before its request each row of a view of ``watch.fresh`` was observed: the share of
    rows older than that allows.

    As of errors, each tenant is judged and all together without those that are stale by themselves:
    what one tenant alone sends too late is that tenant's.
    """

    name = "freshness"
    title = "Freshness"
    cause = STALE
    more_causes = (TENANT_STALE,)
    importance = Importance.ALWAYS
    closable = False
    acceptable = True
    judge = Judge(
        "freshness",
        FreshnessFacts,
        FreshnessPolicy,
        lambda f, p, now: judge_freshness(f, p, now)[0],
    )

    def streams(self, file: ModelFile, tenants: int) -> int:
        return len(file.watch.fresh) * (1 + tenants)

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        del log
        held = read_rows(rows, RateState)
        declared = window.file.watch.fresh
        judged: list[Judged] = []
        for view, asked in declared.items():
            judged += self._look(window, view, asked, held)
        judged += [
            _forget(self.name, window, subject, before)
            for subject, before in held.items()
            if _view_of(subject) not in declared
        ]
        return one_finding_a_tenant(judged, held)

    def _look(
        self, window: ClosedWindow, view: str, asked: Fresh, held: Mapping[str, RateState]
    ) -> list[Judged]:
        policy = FreshnessPolicy(
            parse_duration(asked.within), parse_share(asked.allowed), window.policy.alarm_at, CODES
        )
        ages = window.derived.ages.get(age_name(asked.time), {})
        of_tenants = {t: before for s, before in held.items() if (t := _tenant_of(s, view))}

        def judge(tenant: str, counts: TenantCounts, before: RateState) -> Judged:
            return _judge(self.name, window, policy, view, tenant, ages, counts, before)

        counts = {
            t: _bad_and_good(one, policy.within_s)
            for t, one in ages.items()
            if one.known or (one.unknown and f"{view}{_OF}{t}" in held)
        }
        return judge_tenants(counts, held.get(view, RateState()), of_tenants, policy.allowed, judge)

    def evidence(
        self, window: ClosedWindow, found: Judged, finding: Finding, log: EventLog
    ) -> Mapping[str, Any]:
        tenant = _tenant_of(found.subject, _view_of(found.subject))
        where = {"tenant": tenant} if tenant else {}
        samples = log.samples(
            window.model, window.file.contract, window.start, window.end, where, _SHOWN
        )
        asked = window.file.watch.fresh[_view_of(found.subject)]
        return {
            "view": " and ".join(finding.sources),
            "suspects": [{"feature": asked.time, "size": found.detail["not_fresh"]}],
            "first_window": finding.since,
            "tenants": [{"tenant": tenant}] if tenant else found.detail["tenants"],
            "ages": {k: v for k, v in found.detail.items() if k != "tenants"},
            "samples": sample_requests(samples),
            "last_good": {"version": window.live.champion, "before": finding.since},
        }

    def accept(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        """Nothing is known of it any more: what is older than declared is found again."""
        if cause.kind.name == STALE.name:
            return {cause.subject: None} if cause.subject in rows else {}
        return {s: None for s in rows if _tenant_of(s, _view_of(s)) == cause.subject}

    def about(self, subject: str) -> str:
        view, _, tenant = subject.partition(_OF)
        if not view:
            return self.title
        return f"freshness of {view}, tenant {tenant}" if tenant else f"freshness of {view}"

    def about_cause(self, cause: Cause) -> str:
        of_tenant = cause.kind.name == TENANT_STALE.name
        return f"{'tenant' if of_tenant else 'source'} {cause.subject}"


def _judge(
    monitor: str,
    window: ClosedWindow,
    policy: FreshnessPolicy,
    view: str,
    tenant: str,
    ages: Mapping[str, AgeHistogram],
    counts: TenantCounts,
    before: RateState,
) -> Judged:
    """Of the tenants in ``counts`` together, told as of ``tenant``, of everyone for ""."""
    subject = f"{view}{_OF}{tenant}" if tenant else view
    cause = Cause(TENANT_STALE, tenant) if tenant else Cause(STALE, view)
    whose = f"{view} of tenant {tenant}" if tenant else view
    mine = [h for t, h in ages.items() if t in counts or not (tenant or h.known)]
    facts = FreshnessFacts.of(
        whose, window.start, merge_ages(mine), policy.within_s, before, lost=bool(counts)
    )
    verdict, after = judge_freshness(facts, policy, window.end)
    one = rate_judged(
        monitor, cause, subject, facts, policy, verdict, after, (view,), worth=not tenant
    )
    detail = _detail(facts, policy, counts)
    grave = not tenant and detail["not_fresh"] > _HALF
    findings = tuple(
        replace(f, severity=Severity.HIGH) if f.began and grave else f for f in one.findings
    )
    return replace(one, findings=findings, detail=detail)


def _bad_and_good(ages: AgeHistogram, within_s: float) -> tuple[int, int]:
    if not ages.known:  # it had times before
        return ages.unknown, 0
    bad = ages.older_than(within_s) + ages.future
    return bad, ages.known - bad


def _detail(facts: FreshnessFacts, policy: FreshnessPolicy, counts: TenantCounts) -> dict[str, Any]:
    seen = facts.stale + facts.future + facts.fresh
    worst = sorted(counts.items(), key=lambda item: (-item[1][0], item[0]))[:_SHOWN]
    return {
        "within_s": policy.within_s,
        "allowed": policy.allowed,
        "rows": seen,
        "not_fresh": round((facts.stale + facts.future) / seen, 6) if seen else 0.0,
        "future": facts.future,
        "unknown": facts.unknown,
        "median_s": facts.median_s,
        "oldest_s": facts.oldest_s,
        "tenants": [{"tenant": t, "not_fresh": b, "rows": b + g} for t, (b, g) in worst if b],
    }


def _forget(monitor: str, window: ClosedWindow, subject: str, before: RateState) -> Judged:
    """A view of which the file declares nothing any more."""
    view = _view_of(subject)
    tenant = _tenant_of(subject, view)
    facts = FreshnessFacts.of(view, window.start, merge_ages([]), 1.0, before.anew())
    policy = FreshnessPolicy(1.0, _HALF, window.policy.alarm_at, CODES)
    verdict, _ = judge_freshness(facts, policy, window.end)
    findings: tuple[Finding, ...] = ()
    if before.alarmed:
        cause = Cause(TENANT_STALE, tenant) if tenant else Cause(STALE, view)
        line = f"the file declares no freshness of {view} any more"
        findings = (Finding(monitor, cause, False, before.since, line, (), (view,)),)
    return Judged(subject, facts, policy, verdict, findings, {subject: None}, shown=bool(findings))


def one_finding_a_tenant(judged: Sequence[Judged], held: Mapping[str, RateState]) -> list[Judged]:
    """What a tenant sends too late of several views is one finding: it begins once a window, and
    ends with the last view."""
    mine = {one.subject for one in judged}
    # A view that came with no time in this window is not well for that.
    sounding = {
        tenant
        for subject, before in held.items()
        if before.alarmed and subject not in mine
        and (tenant := _tenant_of(subject, _view_of(subject)))
    }  # fmt: skip
    for one in judged:
        tenant = _tenant_of(one.subject, _view_of(one.subject))
        if tenant and alarmed_after(one, held.get(one.subject, RateState())):
            sounding.add(tenant)
    began: dict[str, list[Finding]] = {}
    for one in judged:
        for finding in one.findings:
            if finding.began and finding.cause.kind is TENANT_STALE:
                began.setdefault(finding.cause.subject, []).append(finding)
    out: list[Judged] = []
    for one in judged:
        kept: list[Finding] = []
        for finding in one.findings:
            if finding.cause.kind is not TENANT_STALE:
                kept.append(finding)
            elif not finding.began:
                kept += [] if finding.cause.subject in sounding else [finding]
                sounding.add(finding.cause.subject)  # of several that end at once, one tells
            elif began[finding.cause.subject][0] is finding:
                kept.append(_together(began[finding.cause.subject]))
        out.append(replace(one, findings=tuple(kept)))
    return out


def _together(findings: Sequence[Finding]) -> Finding:
    first = findings[0]
    return replace(
        first,
        since=min(f.since for f in findings),
        title="; and ".join(f.title for f in findings),
        sources=tuple(view for f in findings for view in f.sources),
    )


def _view_of(subject: str) -> str:
    return subject.partition(_OF)[0]


def _tenant_of(subject: str, view: str) -> str:
    """The tenant of what is carried of one tenant and this view, else ""."""
    name, _, tenant = subject.partition(_OF)
    return tenant if name == view else ""

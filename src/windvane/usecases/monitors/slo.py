"""Objectives of a model's file whose error budget burns."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from windvane.core.alerting import Cause, CauseGroup, CauseKind, Finding, Join, Severity
from windvane.core.sketch import TRAFFIC, share_above
from windvane.core.slo import (
    Burning,
    Objective,
    SloFacts,
    SloPolicy,
    SpanTally,
    Tally,
    add_window,
    budget_left,
    judge_slo,
    projected,
    read_burn_rates,
    rows_as_one,
    sum_of,
    under_other_widths,
)
from windvane.core.task import make_task
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.event_log import EventLog, LogTooSlow
from windvane.usecases.closed_window import ClosedWindow, StateRows
from windvane.usecases.count_outcomes import arrive_within_s
from windvane.usecases.derived_axes import age_name
from windvane.usecases.gather_evidence import sample_requests
from windvane.usecases.monitors.base import AlarmState, Importance, Judge, Judged, Monitor, moment
from windvane.usecases.read_model_file import ModelFile
from windvane.usecases.slo_policy import (
    RULES,
    SloState,
    look_seconds,
    objectives_of,
    over_seconds,
    read_slo_state,
    rings_of,
    slo_policy,
)

# What failing answers do to people is no second cause.
_JOINS = {
    "errors": Join.WHILE_OPEN, "feed": Join.SAME_ONSET, "stale_source": Join.SAME_ONSET,
}  # fmt: skip
SLO = CauseKind("slo", CauseGroup.SLO, "slo-burning.md", joins=_JOINS)
SLO_TICKET = CauseKind(
    "slo_ticket", CauseGroup.SLO, "slo-burning.md", joins={**_JOINS, "slo": Join.WHILE_OPEN}
)
_TENANTS_SHOWN = 5
_MOST_LOOKS = 4
_WITHIN_S = 60.0
_MOST_LABELS = 500_000
_ROWS, _FAILED, _UNANSWERED = map(TRAFFIC.index, ("rows", "execution_errors", "unanswered"))


class Slo(Monitor):
    """Each objective's bad events, of every arm and tenant: what was owed and not given, rows that
    are older than declared, and what labels call wrong, at the time that they come. What a client
    did wrong, or allowed no time for, is not the service's failure."""

    name = "slo"
    title = "Service level"
    importance = Importance.ALWAYS
    cause = SLO
    more_causes = (SLO_TICKET,)
    judge = Judge("slo", SloFacts, SloPolicy, lambda f, p, now: judge_slo(f, p, now)[0])

    def streams(self, file: ModelFile, tenants: int) -> int:
        del tenants
        return len(objectives_of(file)) * RULES

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        objectives = objectives_of(window.file)
        names = {one.name for one in objectives}
        counted = [one for one in objectives if not one.labelled]
        by_label = [one for one in objectives if one.labelled]
        return [
            *(_look(window, one, rows.get(one.name)) for one in counted),
            *(found for one in by_label for found in _look_at_labels(window, one, rows, log)),
            *(_forget(window, name, rows[name]) for name in sorted(rows.keys() - names)),
        ]

    def evidence(
        self, window: ClosedWindow, found: Judged, finding: Finding, log: EventLog
    ) -> Mapping[str, Any]:
        objective = next(o for o in objectives_of(window.file) if o.name == found.subject)
        shown: dict[str, Any] = {
            "first_window": finding.since,
            "slo": {"objective": found.subject, **found.detail},
            "tenants": found.detail.get("tenants") or _tenants(window, objective),
        }
        if not objective.limit_us and not objective.labelled:
            where = {"answered": ""}
            samples = log.samples(
                window.model, window.file.contract, finding.since, window.end, where, 5
            )
            shown["samples"] = sample_requests(samples)
            shown["last_good"] = {"version": window.live.previous}
        return shown

    def begin_anew(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        row = rows.get(cause.subject)
        if row is None:
            return {}
        held = read_slo_state(row)
        page = cause.kind.name == SLO.name
        rules = slo_policy(Objective(cause.subject, 1.0), 1.0, 1.0).rules
        kept = tuple(
            Burning() if rule.page == page else one
            for rule, one in zip(rules, held.rules, strict=True)
        )
        return {cause.subject: replace(held, rules=kept)}

    def about(self, subject: str) -> str:
        return subject or self.title


def _look(window: ClosedWindow, objective: Objective, row: Mapping[str, Any] | None) -> Judged:
    policy = slo_policy(objective, over_seconds(window.file), window.policy.alarm_at)
    before = read_slo_state(row) if row is not None else SloState()
    held = _held(objective, policy, before, window.start, window.policy.window_s)
    seen = tally_of(window, objective)
    return judge_tally(objective, policy, held, before.rules, seen, window.start, window.end)


def judge_tally(
    objective: Objective,
    policy: SloPolicy,
    held: SloState,
    before: Sequence[Burning],
    seen: Tally,
    start: float,
    end: float,
) -> Judged:
    """What was ``seen`` in [start, end) (s), which lies in one bucket of each ring."""
    rings = held.rings
    if seen.total:
        rings = tuple(add_window(ring, start, seen) for ring in rings)
    sums = [sum_of(ring, start) for ring in rings]
    # What burns now says nothing of how rows depend on each other when nothing does.
    calm_until = end - max(rule.long_s for rule in policy.rules)
    facts = SloFacts(
        objective.title, start, end, held.began, seen, sums[-1],
        tuple(SpanTally(sums[2 * i], sums[2 * i + 1]) for i in range(RULES)), held.rules,
        rows_as_one(rings[-1], calm_until) if objective.labelled else 1.0,
    )  # fmt: skip
    verdict, rules = judge_slo(facts, policy, end)
    findings = _findings(objective, policy, before, rules, verdict.sentence)
    after = replace(held, rings=rings, rules=rules)
    detail = _detail(facts, policy, rules)
    states = {objective.name: after}
    return Judged(objective.name, facts, policy, verdict, findings, states, detail)


def _look_at_labels(
    window: ClosedWindow, objective: Objective, rows: StateRows, log: EventLog
) -> Sequence[Judged]:
    """Where a look is due: at the rows whose first label came since the last one, in looks of equal
    length; those that could not be read are, with the next."""
    over_s, window_s = over_seconds(window.file), window.policy.window_s
    every_s = look_seconds(objective, over_s, window_s)
    boundary = math.floor(window.end / every_s) * every_s
    if boundary <= window.start:
        return []
    row = rows.get(objective.name)
    policy = slo_policy(objective, over_s, window.policy.alarm_at)
    before = read_slo_state(row) if row is not None else SloState()
    start = max(before.until, boundary - _MOST_LOOKS * every_s)
    start = start if before.until else boundary - every_s
    held = _held(objective, policy, before, start, every_s)
    within_s = arrive_within_s(window.file)
    reach_s = window.policy.drift_over_s if within_s is None else within_s
    try:
        found = log.scored(
            window.model, window.file.contract, start - reach_s, boundary, within_s,
            limit=_MOST_LABELS, within_s=_WITHIN_S, labelled=(start, boundary),
        )  # fmt: skip
    except LogTooSlow as error:
        facts = SloFacts(
            objective.title, start, boundary, held.began, Tally(), Tally(),
            (SpanTally(Tally(), Tally()),) * RULES, held.rules,
        )  # fmt: skip
        verdict = Verdict(Outcome.ERROR, error.code, error.message)
        kept = replace(held, until=start)
        return [Judged(objective.name, facts, policy, verdict, states={objective.name: kept})]
    task, seen = make_task(window.file.contract.task), Tally()
    wrong, labels = Counter[str](), Counter[str]()
    for one in found:
        right = task.right(one.outputs, one.labels, objective.most_loss)
        seen += Tally(int((~right).sum()), len(right))
        labels.update(one.tenants.tolist())
        wrong.update(one.tenants[~right].tolist())
    judged = judge_tally(
        objective, policy, replace(held, until=boundary), before.rules, seen,
        boundary - every_s, boundary,
    )  # fmt: skip
    worst = sorted(wrong, key=lambda tenant: (-wrong[tenant], tenant))[:_TENANTS_SHOWN]
    tenants = [{"tenant": t, "bad": wrong[t], "events": labels[t]} for t in worst]
    return [replace(judged, detail={**judged.detail, "tenants": tenants})]


def _forget(window: ClosedWindow, name: str, row: Mapping[str, Any]) -> Judged:
    """An objective that the file has no more: nothing is counted, and nothing sounds."""
    gone, fresh = Objective(name, 1.0), (Burning(),) * RULES
    policy = slo_policy(gone, window.policy.window_s, window.policy.alarm_at)
    spans = (SpanTally(Tally(), Tally()),) * RULES
    facts = SloFacts(name, window.start, window.end, window.start, Tally(), Tally(), spans, fresh)
    verdict, _ = judge_slo(facts, policy, window.end)
    findings = _findings(gone, policy, read_slo_state(row).rules, fresh, "")
    return Judged(name, facts, policy, verdict, findings, {name: None}, shown=False)


def tally_of(window: ClosedWindow, objective: Objective) -> Tally:
    """The window's events of an objective: rows that were owed an answer, requests that had one, or
    rows that say when they were observed."""
    if objective.view:
        return sum(_by_age(window, objective).values(), Tally())
    if not window.sketches:
        return Tally()
    if objective.limit_us:
        counts = np.sum([s.latency for _, s in window.sketches], axis=0)
        return Tally(*share_above(counts, objective.limit_us))
    traffic = np.sum([s.traffic for _, s in window.sketches], axis=0)
    return _owed(traffic)


def _owed(traffic: np.ndarray[Any, np.dtype[np.int64]]) -> Tally:
    unanswered = int(traffic[_UNANSWERED])
    return Tally(int(traffic[_FAILED]) + unanswered, int(traffic[_ROWS]) + unanswered)


def _by_age(window: ClosedWindow, objective: Objective) -> dict[str, Tally]:
    """By tenant."""
    asked = window.file.watch.fresh[objective.view]
    within_s = objective.limit_us / 1e6
    ages = window.derived.ages.get(age_name(asked.time), {})
    return {t: Tally(h.older_than(within_s) + h.future, h.known) for t, h in ages.items()}


def _tenants(window: ClosedWindow, objective: Objective) -> list[dict[str, Any]]:
    """Whom it hurts: those with the most bad events of the window."""
    held = _by_age(window, objective) if objective.view else {}
    for key, sketch in () if objective.view else window.sketches:
        one = (
            Tally(*share_above(sketch.latency, objective.limit_us))
            if objective.limit_us
            else _owed(sketch.traffic)
        )
        held[key.tenant] = held.get(key.tenant, Tally()) + one
    hit = sorted((t for t in held if held[t].bad), key=lambda t: (-held[t].bad, t))
    return [
        {"tenant": t, "bad": held[t].bad, "events": held[t].total} for t in hit[:_TENANTS_SHOWN]
    ]


def _held(
    objective: Objective, policy: SloPolicy, before: SloState, start: float, every_s: float
) -> SloState:
    """What is carried, under the widths that the file asks for now. What was counted by another
    limit says nothing of this one."""
    wanted = rings_of(policy, every_s)
    if not before.rings or not before.is_of(objective):
        return SloState(
            objective.limit_us, start, wanted, most_loss=objective.most_loss, until=before.until
        )
    return replace(before, rings=under_other_widths(before.rings, wanted))


def _findings(
    objective: Objective,
    policy: SloPolicy,
    before: Sequence[Burning],
    after: Sequence[Burning],
    sentence: str,
) -> tuple[Finding, ...]:
    """What began or ended: a page and a ticket are causes of their own, so that one that was a
    ticket for days is told again once it is a page."""
    out: list[Finding] = []
    for kind in (SLO, SLO_TICKET):
        mine = [i for i, rule in enumerate(policy.rules) if rule.page == (kind is SLO)]
        was = [since for i in mine if (since := before[i].since) is not None]
        now = [since for i in mine if (since := after[i].since) is not None]
        cause = Cause(kind, objective.name)
        if now and not was:
            title = f"{sentence}, since {moment(min(now))}"
            grave = Severity.MEDIUM if kind is SLO_TICKET else None
            out.append(Finding(Slo.name, cause, True, min(now), title, severity=grave))
        elif was and not now:
            word = "a page" if kind is SLO else "a ticket"
            line = f"the budget of {objective.title} burns no more at the rate of {word}"
            out.append(Finding(Slo.name, cause, False, min(was), line))
    return tuple(out)


def _detail(facts: SloFacts, policy: SloPolicy, rules: Sequence[Burning]) -> Mapping[str, Any]:
    """For pages and metrics: what is left of the budget, and how fast it burns."""
    part = projected(facts.end - facts.began, policy.over_s)
    return {
        "allowed": policy.allowed,
        "over_s": policy.over_s,
        "budget_left": round(budget_left(facts.budget, policy.allowed, part), 6),
        "bad": facts.budget.bad,
        "events": facts.budget.total,
        "counted_since": facts.began,
        "burn": [
            {
                "rule": reading.rule.name,
                "page": reading.rule.page,
                "factor": reading.rule.factor,
                "within_reach": reading.rule.within_reach(policy.allowed),
                "long_s": reading.rule.long_s,
                "short_s": reading.rule.short_s,
                "long": round(reading.long, 4),
                "short": round(reading.short, 4),
                "since": held.since,
            }
            for reading, held in zip(read_burn_rates(facts, policy), rules, strict=True)
        ],
    }

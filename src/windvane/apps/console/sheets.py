"""The tables and charts of the pages as rows: what a CSV file has is what its page shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from windvane.apps.console.answers import answer_rows
from windvane.apps.console.csv_files import Sheet, moment
from windvane.apps.console.evidence import Evidence
from windvane.apps.console.features import feature_views
from windvane.apps.console.labels import coverage_sheet, delays_sheet
from windvane.apps.console.objectives import budget_sheet, objectives_sheet
from windvane.apps.console.quality import QualityView
from windvane.apps.console.reading import IncidentPage, ModelPage
from windvane.apps.console.story import story_of
from windvane.apps.console.timeline import timeline
from windvane.apps.console.views import ModelCard, TenantRow, latest_verdicts
from windvane.core.journal import Decision
from windvane.ports.control_store import Incident, WindowVerdict
from windvane.usecases.monitors import about

_DECISION = ("at", "id", "action", "subject", "outcome", "code", "sentence", "actor", "reason")
_INCIDENT = ("opened_at", "since", "closed_at", "id", "model", "kind", "severity", "title", "owner",
             "runbook", "acknowledged_by", "acknowledged_at", "grade", "graded_by", "graded_at",
             "runbook_change")  # fmt: skip


def models_sheet(cards: Sequence[ModelCard]) -> Sheet:
    columns = ("model", "owner", "consumers", "tier", "health", "code", "why", "versions",
               "requests", "p50_ms", "p99_ms", "error_rate", "refused_rate", "fell_back_rate",
               "open_incidents", "unanswered", "unanswered_rate")  # fmt: skip
    rows = [
        (
            c.name, c.owner, ", ".join(c.consumers), c.tier, c.health.word, c.health.code,
            c.health.why, ", ".join(f"{w.version} {w.role} {w.share:.0%}" for w in c.weights),
            c.numbers.requests, c.numbers.p50, c.numbers.p99, c.numbers.error_rate,
            c.numbers.refused_rate, c.numbers.fell_back_rate, len(c.incidents),
            c.numbers.unanswered, c.numbers.unanswered_rate,
        )
        for c in cards
    ]  # fmt: skip
    return Sheet("models", columns, rows)


def incidents_sheet(found: Iterable[Incident]) -> Sheet:
    rows = [
        (
            moment(i.opened_at), moment(i.since), moment(i.closed_at), i.id, i.model, i.kind,
            i.severity, i.title, i.owner, i.runbook, i.acknowledged_by,
            moment(i.acknowledged_at), i.grade, i.graded_by, moment(i.graded_at), i.runbook_change,
        )
        for i in found
    ]  # fmt: skip
    return Sheet("incidents", _INCIDENT, rows)


def tenants_sheet(rows: Iterable[TenantRow], window_s: float) -> Sheet:
    columns = ("tenant", "requests", "refused", "refused_rate", "error_rate", "p99_ms", "last_seen",
               "verdict", "code", "sentence", "unanswered", "unanswered_rate")  # fmt: skip
    return Sheet(
        "tenants",
        columns,
        [
            (
                r.name, r.tally.requests, r.tally.refused, r.tally.refused_rate,
                r.tally.error_rate, r.tally.latency_ms(0.99), moment(r.last + window_s),
                *(_said(r.verdict) if r.verdict else ("", "", "")),
                r.tally.unanswered, r.tally.unanswered_rate,
            )
            for r in rows
        ],
    )  # fmt: skip


def _said(v: WindowVerdict) -> tuple[str, str, str]:
    return v.outcome, v.code, v.sentence


def _traffic(page: ModelPage, now: float) -> Sheet:
    del now
    columns = ("start", "end", "requests", "refused", "p50_ms", "p99_ms", "error_rate",
               "fell_back_rate", "unanswered", "unanswered_rate")  # fmt: skip
    line = page.glance.line
    rows = [
        (
            moment(start), moment(start + line.grid.window_s), t.requests, t.refused,
            t.latency_ms(0.5), t.latency_ms(0.99), t.error_rate, t.fell_back_rate,
            t.unanswered, t.unanswered_rate,
        )
        for start, t in zip(line.grid.starts, line.windows, strict=True)
        if line.grid.known(start)
    ]  # fmt: skip
    return Sheet("traffic", columns, rows)


def _weights(page: ModelPage, now: float) -> Sheet:
    found = timeline(page, now)
    rows = [
        (moment(step.decision.at), step.decision.id, step.decision.action, w.version, w.role,
         w.share, step.decision.verdict.sentence)
        for step in (found.steps if found else ())
        for w in step.weights
    ]  # fmt: skip
    columns = ("since", "decision", "action", "version", "role", "share", "why")
    return Sheet("weights", columns, rows)


def _versions(page: ModelPage, now: float) -> Sheet:
    del now
    names = sorted({name for v in page.versions for name in v.metrics})
    rows = [
        (v.version, moment(v.created_at), ", ".join(v.views), v.manifest,
         *(v.metrics.get(name) for name in names))
        for v in reversed(page.versions)
    ]  # fmt: skip
    return Sheet("versions", ("version", "made", "sources", "manifest", *names), rows)


def _answers(page: ModelPage, now: float) -> Sheet:
    del now
    columns = ("version", "arm", "rows", "mean", "most_frequent", "its_share", "confidence",
               "fallback_share", "compared", "stand_in_silent_share", "stand_in_other_class_share",
               "stand_in_difference", "verdict", "code", "sentence")  # fmt: skip
    rows = [
        (r.answers.version, r.answers.arm, r.answers.rows, r.figures.mean, r.figures.top,
         r.figures.top_share, r.figures.confidence, r.answers.fallback_share,
         r.answers.stand_in.compared, r.answers.stand_in.silent_share,
         r.answers.stand_in.another_share, r.answers.stand_in.difference,
         *(_said(r.verdict) if r.verdict else ("", "", "")))
        for r in answer_rows(page)
    ]  # fmt: skip
    return Sheet("answers", columns, rows)


def _features(page: ModelPage, now: float) -> Sheet:
    del now
    columns = ("feature", "source", "state", "alarms", "psi_shown", "psi_last_look",
               "values_moved", "nulls_rose", "null_share")  # fmt: skip
    rows = [
        (f.name, f.view, f.word, ", ".join(f.sounding), f.psi_now, f.drift, f.values, f.nulls,
         f.null_now)
        for f in feature_views(page)
    ]  # fmt: skip
    return Sheet("features", columns, rows)


def _bins(page: ModelPage, now: float) -> Sheet:
    del now
    rows = [
        (f.name, label, before, after)
        for f in feature_views(page)
        if f.picture
        for label, before, after in f.picture.rows
    ]
    return Sheet("bins", ("feature", "bin", "training_rows", "rows_shown"), rows)


def _verdicts(page: ModelPage, now: float) -> Sheet:
    del now
    rows = [
        (moment(v.start), about(v.monitor, v.subject), v.monitor, v.subject, v.outcome, v.code,
         v.sentence)
        for v in latest_verdicts(page.glance)
    ]  # fmt: skip
    columns = ("window", "about", "monitor", "subject", "outcome", "code", "sentence")
    return Sheet("verdicts", columns, rows)


def _decisions(page: ModelPage, now: float) -> Sheet:
    del now
    return Sheet("decisions", _DECISION, [_decision_row(d) for d in page.decisions[:20]])


def _decision_row(d: Decision) -> tuple[Any, ...]:
    verdict = (d.verdict.outcome.value, d.verdict.code, d.verdict.sentence)
    return (moment(d.at), d.id, d.action, d.subject, *verdict, d.actor, d.reason)


def _closed(page: ModelPage, now: float) -> Sheet:
    del now
    return incidents_sheet((*page.glance.incidents, *page.closed))


OF_MODEL: Mapping[str, Callable[[ModelPage, float], Sheet]] = {
    "traffic": _traffic,
    "objectives": lambda page, _: objectives_sheet(page.objectives),
    "budget": lambda page, _: budget_sheet(page.objectives),
    "delays": lambda page, _: delays_sheet(page.labels),
    "coverage": lambda page, _: coverage_sheet(page.labels),
    "weights": _weights,
    "versions": _versions,
    "answers": _answers,
    "features": _features,
    "bins": _bins,
    "verdicts": _verdicts,
    "decisions": _decisions,
    "incidents": _closed,
}


def _quality(view: QualityView) -> Sheet:
    columns = ("start", "end", "version", "metric", "value", "lower", "upper", "outcomes",
               "missing", "floor", "independent", "holdout")  # fmt: skip
    rows = [
        (
            moment(one.start), moment(one.end), one.version, one.quality.metric,
            *((None, None, None) if one.short_of
              else (one.quality.value, one.quality.lower, one.quality.upper)),
            one.quality.rows, one.short_of, view.floor, one.independent,
            view.holdouts.get(one.version),
        )
        for one in view.spans
    ]  # fmt: skip
    return Sheet("quality", columns, rows)


def _parts(view: QualityView) -> Sheet:
    columns = ("of", "version", "metric", "value", "lower", "upper", "outcomes", "missing",
               "independent")  # fmt: skip
    rows = [
        (
            one.of, one.version, one.quality.metric,
            *((None, None, None) if one.short_of
              else (one.quality.value, one.quality.lower, one.quality.upper)),
            one.quality.rows, one.short_of, one.independent,
        )
        for one in view.parts
    ]  # fmt: skip
    return Sheet("quality-parts", columns, rows)


def _estimates(view: QualityView) -> Sheet:
    columns = ("how", "of", "version", "metric", "value", "lower", "upper", "answers", "says")
    rows = [
        ("estimated", one.of, one.version, one.metric, one.value, one.lower, one.upper, one.rows,
         one.note)
        for one in view.estimated_segments
    ]  # fmt: skip
    return Sheet("estimates", columns, rows)


def _outcomes(view: QualityView) -> Sheet:
    names = [name for name, _, _ in view.totals]
    rows = [(one.tenant, *(getattr(one, name) for name in names)) for one in view.tenants]
    return Sheet("outcomes", ("tenant", *names), rows)


def _looks(view: QualityView) -> Sheet:
    columns = ("start", "end", "outcome", "code", "value", "lower", "upper", "scored", "sentence",
               "level")  # fmt: skip
    rows = [
        (moment(one.start), moment(one.end), one.verdict.outcome, one.verdict.code, one.value,
         one.lower, one.upper, one.scored, one.verdict.sentence, one.level)
        for one in view.looks
    ]  # fmt: skip
    return Sheet("looks", columns, rows)


LOOKS = "looks"
"""Of what the judge recorded: all that is told without the log."""
OF_QUALITY: Mapping[str, Callable[[QualityView], Sheet]] = {
    "quality": _quality,
    "quality-parts": _parts,
    "estimates": _estimates,
    "outcomes": _outcomes,
    LOOKS: _looks,
}


def _timeline(page: IncidentPage, evidence: Evidence) -> Sheet:
    del evidence
    rows = [(moment(m.at), line, m.decision) for m in story_of(page) for line in m.lines]
    return Sheet("timeline", ("at", "what", "decision"), rows)


def _suspects(page: IncidentPage, evidence: Evidence) -> Sheet:
    del page
    return Sheet("suspects", ("feature", "size"), [(s.feature, s.size) for s in evidence.suspects])


def _answers_of_suspect(page: IncidentPage, evidence: Evidence) -> Sheet:
    del page
    held = evidence.answers
    columns = ("feature", "value", "mean_answer", "where", "mark", "asked")
    rows = [] if held is None else held.rows
    return Sheet(
        "answers", columns,
        [(held.feature if held else "", r.value, r.answer, r.where, r.mark, r.asked)
         for r in rows],
    )  # fmt: skip


def _whose(page: IncidentPage, evidence: Evidence) -> Sheet:
    del page
    rows = [(t.tenant, t.rows, t.nulls, t.part) for t in evidence.tenants]
    return Sheet("tenants", ("tenant", "rows", "nulls", "null_share"), rows)


def _impact(page: IncidentPage, evidence: Evidence) -> Sheet:
    del page
    columns = ("tenant", "what", "rows_hit", "rows", "share", "usual_share")
    rows = [(h.tenant, h.what, h.part, h.of, h.now, h.usual) for h in evidence.hits]
    return Sheet("impact", columns, rows)


def _shapes(page: IncidentPage, evidence: Evidence) -> Sheet:
    del page
    columns = ("feature", "bin", *(word.replace(" ", "_") for word in evidence.words))
    rows = [(h.feature, *row) for h in evidence.histograms for row in h.rows]
    return Sheet("bins", columns, rows)


def _samples(page: IncidentPage, evidence: Evidence) -> Sheet:
    del page
    about_names = list(dict.fromkeys(name for s in evidence.samples for name in s.about))
    features = list(dict.fromkeys(name for s in evidence.samples for name, _ in s.features))
    outputs = list(dict.fromkeys(name for s in evidence.samples for name, _ in s.outputs))
    rows = [
        (
            *(moment(v) if (v := s.about.get(n)) is not None and n == "ts" and isinstance(v, float)
              else v for n in about_names),
            *(dict(s.outputs).get(name) for name in outputs),
            *(dict(s.features).get(name) for name in features),
        )
        for s in evidence.samples
    ]  # fmt: skip
    given = (*(f"outputs.{n}" for n in outputs), *(f"features.{n}" for n in features))
    return Sheet("samples", (*about_names, *given), rows)


OF_INCIDENT: Mapping[str, Callable[[IncidentPage, Evidence], Sheet]] = {
    "timeline": _timeline,
    "suspects": _suspects,
    "answers": _answers_of_suspect,
    "tenants": _whose,
    "impact": _impact,
    "bins": _shapes,
    "samples": _samples,
}


def decision_sheets(decision: Decision) -> dict[str, Sheet]:
    """The tables among a decision's facts, as its page has them."""
    found: dict[str, Sheet] = {}
    for name, value in decision.facts.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            columns = [str(key) for key in value[0]]
            rows = [[row.get(c) for c in columns] for row in value if isinstance(row, Mapping)]
            found[name] = Sheet(name, columns, rows)
    return found

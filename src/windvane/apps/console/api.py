"""The control API: the same facts as the pages, as JSON with a published schema."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from windvane.apps.console.access import (
    GuardedRoute,
    load_visible_incident,
    needs,
    visible_incidents,
    visit_of,
)
from windvane.apps.console.answering import ReadService
from windvane.apps.console.asking import (
    PER_PAGE_API,
    IncidentsQuery,
    ModelsQuery,
    Number,
    PerPage,
    Windows,
    Word,
    load_model,
    load_models,
    note_paging,
)
from windvane.apps.console.features import feature_views
from windvane.apps.console.memory import Memory
from windvane.apps.console.reading import (
    ModelPage,
    load_decision,
    load_incidents,
    load_model_page,
)
from windvane.apps.console.rendering import link
from windvane.apps.console.replaying import replayed
from windvane.apps.console.tables import filter_incidents, paged, search
from windvane.apps.console.views import (
    DEFAULT_RANGE,
    TENANTS,
    ModelCard,
    TenantRow,
    model_card,
    range_of,
    sort_cards,
    sort_incidents,
    tenant_rows,
)
from windvane.core.alerting import Severity
from windvane.core.alerting.updates import UpdatePolicy
from windvane.core.authorization import Action
from windvane.core.errors import WindvaneError
from windvane.core.journal import Decision
from windvane.ports.clock import Clock
from windvane.ports.control_store import Incident, IncidentNote, StoreUnavailable
from windvane.usecases.draft_update import write_draft
from windvane.usecases.read_model_file import ModelFile
from windvane.usecases.recorded_until import spool_states
from windvane.usecases.tell_updates import next_update


class ErrorOut(BaseModel):
    """What went wrong: a stable code, a sentence, what to do, and where the reference says more."""

    code: str
    message: str
    hint: str
    docs: str

    @classmethod
    def of(cls, error: WindvaneError) -> ErrorOut:
        """Without the control database nobody is known, so its error is told as to strangers."""
        message = error.public if isinstance(error, StoreUnavailable) else error.message
        return cls(code=error.code, message=message, hint=error.advice, docs=error.docs)


class HealthOut(BaseModel):
    """``tone`` is good, busy, quiet, warn or bad; ``code`` is stable."""

    word: str
    tone: str
    code: str
    why: str


class WeightOut(BaseModel):
    """A version's share of the units, and its role."""

    version: str
    role: str
    share: float


class ModelOut(BaseModel):
    """A model now. Rates and latencies cover the last windows; null where unknown. Of requests that
    a version owed an answer ``unanswered`` got none, from no fallback either."""

    name: str
    owner: str
    consumers: list[str]
    tier: str
    health: HealthOut
    weights: list[WeightOut]
    requests: int
    unanswered: int
    p50_ms: float | None
    p99_ms: float | None
    error_rate: float | None
    unanswered_rate: float | None
    refused_rate: float | None
    fell_back_rate: float | None
    open_incidents: list[str]


class WindowOut(BaseModel):
    """One window's traffic; ``start`` in seconds since the epoch, UTC."""

    start: float
    requests: int
    unanswered: int
    refused: int
    p50_ms: float | None
    p99_ms: float | None
    error_rate: float | None
    unanswered_rate: float | None


class FeatureOut(BaseModel):
    """How far a feature moved; ``alarms`` name the streams that sound."""

    name: str
    view: str
    alarms: list[str]
    psi_recent: float | None
    psi_last_look: float | None
    values_moved: float | None
    nulls_rose: float | None


class TenantOut(BaseModel):
    """A tenant's traffic over the windows."""

    tenant: str
    requests: int
    unanswered: int
    unanswered_rate: float | None
    refused: int
    refused_rate: float | None


class ModelDetail(ModelOut):
    """A model with its windows, features, tenants and versions."""

    versions: list[str]
    windows: list[WindowOut]
    features: list[FeatureOut]
    tenants: list[TenantOut]
    decisions: list[str]


class IncidentOut(BaseModel):
    """The one thing a person is told about one cause. ``acknowledged_by`` "": by nobody yet.
    ``maintenance`` is why the planned maintenance was that it began in, "" for none; ``updates``
    were posted. ``grade`` is true, harmless or false, "" where nobody said; ``runbook_change`` what
    its runbook lacks, ``none`` for nothing, "" where nobody said."""

    id: str
    model: str
    cause: str
    kind: str
    severity: str
    title: str
    opened_at: float
    since: float
    closed_at: float | None
    acknowledged_by: str
    acknowledged_at: float | None
    owner: str
    consumers: list[str]
    runbook: str
    grade: str
    graded_by: str
    graded_at: float | None
    runbook_change: str
    maintenance: str
    updates: int
    updated_at: float | None


class NoteOut(BaseModel):
    """A line of the timeline."""

    at: float
    what: str
    decision: str


class IncidentDetail(IncidentOut):
    """With its evidence and timeline."""

    evidence: dict[str, Any]
    notes: list[NoteOut]


class SpoolOut(BaseModel):
    """A spool: ``position`` in bytes that is counted, ``logged`` that the log has, ``watermark`` in
    seconds since the epoch, ``lag_s`` behind now, null where nothing is recorded yet,
    ``seen_s_ago`` null where nobody told. Windows close without one that is ``expired``."""

    spool: str
    position: int
    logged: int
    watermark: float
    lag_s: float | None
    seen_s_ago: float | None
    expired: bool
    lost_bytes: int


class ReplayOut(BaseModel):
    """``same`` as recorded? ``outcome`` is null where today's code cannot read the record."""

    same: bool
    outcome: str | None
    code: str
    sentence: str


class DecisionOut(BaseModel):
    """A recorded decision, and what today's code makes of the same facts and policy. ``actor``
    asked for it for ``reason``; "" where the system acted by itself."""

    id: str
    model: str
    judge: str
    subject: str
    action: str
    at: float
    policy_version: str
    policy: dict[str, Any]
    facts: dict[str, Any]
    outcome: str
    code: str
    sentence: str
    effects: list[dict[str, Any]]
    actor: str
    reason: str
    replay: ReplayOut | None


class UpdateOut(BaseModel):
    """The draft of the next update of an open incident, and when it is due (wall, seconds since the
    epoch; null where nobody was told of the incident yet). ``every_s``: one is wanted so often."""

    number: int
    text: str
    due: float | None
    overdue: bool
    every_s: float


def api_router(
    reads: ReadService, clock: Clock, memory: Memory, updates: UpdatePolicy
) -> APIRouter:
    """Reads only; errors are ``ErrorOut``."""
    router = APIRouter(
        prefix="/api",
        tags=["control"],
        responses={status: {"model": ErrorOut} for status in (401, 403, 404, 413, 422, 503)},
        route_class=GuardedRoute,
    )

    @router.get("/models", summary="The models that one may see and their health now, worst first")
    @needs(Action.VIEW)
    async def models(
        request: Request, response: Response, asked: ModelsQuery, per_page: PerPage = PER_PAGE_API
    ) -> list[ModelOut]:
        who = visit_of(request).principal
        found = await load_models(reads, clock, memory, who, asked, per_page)
        note_paging(response, replace(found.page, path="/api/models"), per_page)
        return [ModelOut(**_card(card)) for card in sort_cards(map(model_card, found.glances))]

    @router.get("/models/{model}", summary="One model over its last windows")
    @needs(Action.VIEW, "model")
    async def one_model(model: str) -> ModelDetail:
        now, wall = clock.now(), clock.wall()
        page = await reads.ask(
            lambda tx: load_model_page(tx, model, now, DEFAULT_RANGE, memory, wall)
        )
        return _detail(page)

    @router.get("/spools", summary="How far each spool is recorded, and which are gone")
    @needs(Action.VIEW)
    async def spools() -> list[SpoolOut]:
        now, wall = clock.now(), clock.wall()
        marks = await reads.ask(lambda tx: tx.checkpoints())
        states = spool_states(marks, now, wall, memory.expire_after_s)
        return [
            SpoolOut(**{name: getattr(one, name) for name in SpoolOut.model_fields})
            for one in states
        ]

    @router.get("/models/{model}/tenants", summary="A model's tenants, worst first, then busiest")
    @needs(Action.VIEW, "model")
    async def tenants(
        response: Response, model: str, q: Word = "", windows: Windows = "", page: Number = "",
        per_page: PerPage = PER_PAGE_API,
    ) -> list[TenantOut]:  # fmt: skip
        found = await load_model(reads, clock, memory, model, range_of(windows))
        rows = search(tenant_rows(found), q, lambda r: (r.name,))
        query = {"q": q, "windows": windows}
        shown = paged(rows, page, f"/api{link('models', model)}/tenants", query, per_page)
        note_paging(response, shown, per_page)
        return [_tenant(t) for t in shown.rows]

    @router.get("/incidents", summary="Incidents, open ones first, then newest")
    @needs(Action.VIEW)
    async def incidents(
        request: Request, response: Response, asked: IncidentsQuery,
        per_page: PerPage = PER_PAGE_API,
    ) -> list[IncidentOut]:  # fmt: skip
        found, files = await reads.ask(lambda tx: load_incidents(tx, asked.model))
        seen = visible_incidents(visit_of(request).principal, found, files, asked.model)
        rows = sort_incidents(filter_incidents(seen, asked))
        shown = paged(rows, asked.page, "/api/incidents", asked.query(), per_page)
        note_paging(response, shown, per_page)
        return [IncidentOut(**_incident(i, files[i.model])) for i in shown.rows]

    @router.get("/incidents/{incident:path}/update", summary="A draft of its next update")
    @needs(Action.VIEW, "incident")
    async def next_draft(request: Request, incident: str) -> UpdateOut:
        who, now, wall = visit_of(request).principal, clock.now(), clock.wall()
        held, draft = await reads.ask(
            lambda tx: (
                load_visible_incident(tx, who, incident, now).incident,
                write_draft(tx, incident, now),
            )
        )
        due = next_update(held, updates)
        return UpdateOut(
            number=draft.number, text=draft.text, due=due,
            overdue=due is not None and wall >= due,
            every_s=updates.every(Severity(held.severity)),
        )  # fmt: skip

    @router.get("/incidents/{incident:path}", summary="One incident with its evidence")
    @needs(Action.VIEW, "incident")
    async def one_incident(request: Request, incident: str) -> IncidentDetail:
        who = visit_of(request).principal
        page = await reads.ask(lambda tx: load_visible_incident(tx, who, incident, clock.now()))
        found, lines = page.incident, [_note(note) for note in page.notes]
        about = _incident(found, page.file)
        return IncidentDetail(**about, evidence=dict(found.evidence), notes=lines)

    @router.get("/decisions/{decision:path}", summary="One recorded decision, replayed")
    @needs(Action.VIEW, "decision")
    async def one_decision(decision: str) -> DecisionOut:
        return _decision((await reads.ask(lambda tx: load_decision(tx, decision)))[0])

    del models, one_model, tenants, spools, incidents, one_incident, next_draft, one_decision
    return router


def _card(card: ModelCard) -> dict[str, Any]:
    n, health = card.numbers, card.health
    return {
        "name": card.name,
        "owner": card.owner,
        "consumers": list(card.consumers),
        "tier": card.tier,
        "health": HealthOut(word=health.word, tone=health.tone, code=health.code, why=health.why),
        "weights": [WeightOut(version=w.version, role=w.role, share=w.share) for w in card.weights],
        "requests": n.requests,
        "unanswered": n.unanswered,
        "p50_ms": n.p50,
        "p99_ms": n.p99,
        "error_rate": n.error_rate,
        "unanswered_rate": n.unanswered_rate,
        "refused_rate": n.refused_rate,
        "fell_back_rate": n.fell_back_rate,
        "open_incidents": [i.id for i in card.incidents],
    }


def _detail(page: ModelPage) -> ModelDetail:
    line = page.glance.line
    windows = [
        WindowOut(
            start=start,
            requests=tally.requests,
            unanswered=tally.unanswered,
            refused=tally.refused,
            p50_ms=tally.latency_ms(0.5),
            p99_ms=tally.latency_ms(0.99),
            error_rate=tally.error_rate,
            unanswered_rate=tally.unanswered_rate,
        )
        for start, tally in zip(line.grid.starts, line.windows, strict=True)
        if line.grid.known(start)
    ]
    features = [
        FeatureOut(
            name=f.name,
            view=f.view,
            alarms=list(f.sounding),
            psi_recent=f.psi_now,
            psi_last_look=f.drift,
            values_moved=f.values,
            nulls_rose=f.nulls,
        )
        for f in feature_views(page)
    ]
    tenants = [_tenant(t) for t in tenant_rows(page)[:TENANTS]]
    return ModelDetail(
        **_card(model_card(page.glance)),
        versions=[v.version for v in page.versions],
        windows=windows,
        features=features,
        tenants=tenants,
        decisions=[d.id for d in page.decisions],
    )


def _tenant(t: TenantRow) -> TenantOut:
    return TenantOut(
        tenant=t.name,
        requests=t.tally.requests,
        unanswered=t.tally.unanswered,
        unanswered_rate=t.tally.unanswered_rate,
        refused=t.tally.refused,
        refused_rate=t.tally.refused_rate,
    )


def _incident(i: Incident, file: ModelFile) -> dict[str, Any]:
    about = {name: getattr(i, name) for name in IncidentOut.model_fields if hasattr(i, name)}
    return {**about, "consumers": list(file.consumers)}


def _note(note: IncidentNote) -> NoteOut:
    return NoteOut(at=note.at, what=note.what, decision=note.decision)


def _replay(d: Decision) -> ReplayOut | None:
    done = replayed(d)
    if done is None:
        return None
    if done.again is None:
        return ReplayOut(same=False, outcome=None, code="", sentence=done.problem)
    again = done.again
    return ReplayOut(
        same=done.same, outcome=again.outcome, code=again.code, sentence=again.sentence
    )


def _decision(d: Decision) -> DecisionOut:
    return DecisionOut(
        id=d.id,
        model=d.model,
        judge=d.judge,
        subject=d.subject,
        action=d.action,
        at=d.at,
        policy_version=d.policy_version,
        policy=dict(d.policy),
        facts=dict(d.facts),
        outcome=d.verdict.outcome,
        code=d.verdict.code,
        sentence=d.verdict.sentence,
        effects=[{"kind": e.kind, "body": dict(e.body)} for e in d.effects],
        actor=d.actor,
        reason=d.reason,
        replay=_replay(d),
    )

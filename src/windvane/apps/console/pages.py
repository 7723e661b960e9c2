"""The pages: the list of models, incidents, decisions."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from windvane.apps.console.access import (
    GuardedRoute,
    count_visible_items,
    load_visible_incident,
    may,
    needs,
    observe_visible_recording,
    visible_incidents,
    visit_of,
)
from windvane.apps.console.acting import proposed_on_incident
from windvane.apps.console.answering import ReadService
from windvane.apps.console.asking import IncidentsQuery, ModelsQuery, load_models
from windvane.apps.console.evidence import evidence_of, tenant_of_incident
from windvane.apps.console.memory import Memory
from windvane.apps.console.overview import TONES
from windvane.apps.console.postmortem_pages import item_row, postmortem_path
from windvane.apps.console.readiness import ReadinessService
from windvane.apps.console.reading import MOST_INCIDENTS, load_decision, load_incidents
from windvane.apps.console.rendering import Pages, begin
from windvane.apps.console.replaying import replayed
from windvane.apps.console.sheets import decision_sheets
from windvane.apps.console.story import answered_now, story_of
from windvane.apps.console.tables import ACKNOWLEDGED, SEVERITIES, STATES, filter_incidents, paged
from windvane.apps.console.views import model_card, sort_cards, sort_incidents, state_of
from windvane.core.alerting import Severity
from windvane.core.alerting.updates import UpdatePolicy
from windvane.core.authorization import Action
from windvane.core.health import DependencyState
from windvane.ports.clock import Clock
from windvane.usecases.observe_recording import explain_recording
from windvane.usecases.tell_updates import next_update

_METHODS = ("get", "post", "put", "patch", "delete")  # what else a path may hold is no call


def page_router(
    reads: ReadService,
    clock: Clock,
    pages: Pages,
    memory: Memory,
    ready: ReadinessService,
    updates: UpdatePolicy,
) -> APIRouter:
    """Every page that is not one model's, as HTML."""
    router = APIRouter(
        include_in_schema=False, dependencies=[Depends(begin)], route_class=GuardedRoute
    )

    @router.get("/")
    @needs(Action.VIEW)
    async def models(request: Request, asked: ModelsQuery) -> Response:
        who = visit_of(request).principal
        overview = await load_models(reads, clock, memory, who, asked)
        cards = sort_cards([model_card(g) for g in overview.glances])
        opened = overview.open_incidents
        _, installation = await ready.look()
        now, wall = clock.now(), clock.wall()
        aside, recording = await reads.ask(
            lambda tx: (
                count_visible_items(tx, who),
                observe_visible_recording(tx, who, now, wall, memory.expire_after_s),
            )
        )
        return pages.page(
            request, "models.html", title=f"Models ({len(opened)} open)" if opened else "Models",
            now=now, cards=cards, state=state_of(overview, cards),
            incidents=sort_incidents(opened), asked=asked, states=list(TONES),
            known=sum(overview.states.values()), teams=overview.teams, paging=overview.page,
            lacking=[one for one in installation.dependencies if one.state != DependencyState.OK],
            aside=aside, recording=explain_recording(recording),
        )  # fmt: skip

    @router.get("/incidents")
    @needs(Action.VIEW)
    async def incidents(request: Request, asked: IncidentsQuery) -> Response:
        whole, files = await reads.ask_shared(
            ("incidents", asked.model), lambda tx: load_incidents(tx, asked.model)
        )
        seen = visible_incidents(visit_of(request).principal, whole, files, asked.model)
        found = sort_incidents(filter_incidents(seen, asked))
        return pages.page(
            request, "incidents.html", title="Incidents", now=clock.now(),
            incidents=paged(found, asked.page, "/incidents", asked.query()), asked=asked,
            open_ones=sum(i.closed_at is None for i in found), known=len(seen),
            kinds=sorted({i.kind for i in seen}), states=STATES, severities=SEVERITIES,
            acknowledged=ACKNOWLEDGED,
            cut=MOST_INCIDENTS if len(whole) >= MOST_INCIDENTS else 0,
        )  # fmt: skip

    @router.get("/incidents/{incident:path}")
    @needs(Action.VIEW, "incident")
    async def incident_page(request: Request, incident: str) -> Response:
        who = visit_of(request).principal
        page = await reads.ask(lambda tx: load_visible_incident(tx, who, incident, clock.now()))
        return pages.page(
            request, "incident.html", title=page.incident.title, now=clock.now(),
            incident=page.incident, story=story_of(page), answered_now=answered_now(page),
            evidence=evidence_of(page.incident), consumers=page.file.consumers,
            actions=proposed_on_incident(who, page.file, page.incident),
            values_hidden=not may(who, Action.SEE_VALUES, page.file), near=page.near,
            tenant=tenant_of_incident(page.incident),
            drawn=[spec.name for spec in page.file.schema] if page.live else [],
            items=[item_row(item, clock.now(), who, page.file) for item in page.items],
            postmortem=postmortem_path(page.incident.id), wall=clock.wall(),
            update_due=next_update(page.incident, updates),
            update_every=updates.every(Severity(page.incident.severity)),
        )  # fmt: skip

    @router.get("/decisions/{decision:path}")
    @needs(Action.VIEW, "decision")
    async def decision_page(request: Request, decision: str) -> Response:
        found, incidents = await reads.ask(lambda tx: load_decision(tx, decision))
        return pages.page(
            request, "decision.html", title=f"{found.action}: {found.subject}", now=clock.now(),
            decision=found, incidents=incidents, replay=replayed(found),
            tables=frozenset(decision_sheets(found)),
        )  # fmt: skip

    @router.get("/api")
    @needs(Action.VIEW)
    async def api(request: Request) -> Response:
        schema = request.app.openapi()
        routes = [
            (method.upper(), path, operation.get("summary", ""))
            for path, methods in sorted(schema["paths"].items())
            for method, operation in sorted(methods.items())
            if method in _METHODS
        ]
        return pages.page(request, "api.html", title="Control API", now=clock.now(), routes=routes)

    del models, incidents, incident_page, decision_page, api
    return router

"""The pages."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Depends, Request, Response

from windvane.apps.console.access import (
    GuardedRoute,
    load_visible_incident,
    may,
    needs,
    sees,
    sees_all,
    visible_incidents,
    visit_of,
)
from windvane.apps.console.acting import (
    proposed_on_incident,
    proposed_on_model,
    proposed_on_version,
)
from windvane.apps.console.answering import ReadService
from windvane.apps.console.evidence import evidence_of
from windvane.apps.console.features import feature_views
from windvane.apps.console.memory import Memory
from windvane.apps.console.reading import (
    Overview,
    load_decision,
    load_incidents,
    load_model_page,
    load_overview,
)
from windvane.apps.console.rendering import Pages, begin
from windvane.apps.console.replaying import replayed
from windvane.apps.console.story import answered_now, story_of
from windvane.apps.console.timeline import timeline
from windvane.apps.console.views import (
    DEFAULT_RANGE,
    RANGES,
    charts,
    latest_verdicts,
    model_card,
    notes_on,
    numbers,
    owner_of,
    sort_cards,
    sort_incidents,
    state_of,
    tenant_rows,
    weights_now,
)
from windvane.core.authorization import Action, Principal
from windvane.ports.clock import Clock


def page_router(reads: ReadService, clock: Clock, pages: Pages, memory: Memory) -> APIRouter:
    """Every page, as HTML."""
    router = APIRouter(
        include_in_schema=False, dependencies=[Depends(begin)], route_class=GuardedRoute
    )

    @router.get("/")
    @needs(Action.VIEW)
    async def models(request: Request) -> Response:
        now, wall = clock.now(), clock.wall()

        whole = await reads.ask_shared("overview", lambda tx: load_overview(tx, now, wall, memory))
        overview = _visible(whole, visit_of(request).principal)
        cards = sort_cards([model_card(g) for g in overview.glances])
        title = (
            f"Models ({len(overview.open_incidents)} open)" if overview.open_incidents else "Models"
        )
        return pages.page(
            request, "models.html", title=title, now=now, cards=cards,
            state=state_of(overview, cards), incidents=sort_incidents(overview.open_incidents),
        )  # fmt: skip

    @router.get("/models/{model}")
    @needs(Action.VIEW, "model")
    async def model_page(request: Request, model: str, windows: str = "") -> Response:
        now, wall, given = clock.now(), clock.wall(), _range(windows)
        page = await reads.ask_shared(
            ("model", model, given),
            lambda tx: load_model_page(tx, model, now, given, memory, wall),
        )
        glance = page.glance
        who = visit_of(request).principal
        line = glance.line
        tenants, more = tenant_rows(page)
        places = {v.version: i for i, v in enumerate(page.versions)}
        return pages.page(
            request,
            "model.html",
            title=model,
            now=now,
            model=model,
            file=glance.file,
            live=glance.live,
            weights=weights_now(glance.live, places, watched=page.watched),
            watched=page.watched,
            applied_at=glance.record.applied_at,
            owner=owner_of(glance),
            consumers=glance.file.consumers,
            actions=proposed_on_model(who, glance.file, glance.live, watched=page.watched),
            version_actions={
                v.version: proposed_on_version(
                    who, glance.file, v, glance.live, trusted=v.manifest in page.trusted
                )
                for v in page.versions
            },
            silences=page.silences,
            health=glance.health,
            notes=notes_on(page),
            incidents=sort_incidents([*glance.incidents, *page.closed]),
            numbers=numbers(line.all),
            so_far=line.open,
            versions=list(reversed(page.versions)),
            places=places,
            charts=charts(page),
            timeline=timeline(page, now),
            features=feature_views(page),
            features_at=page.features.start if page.features else None,
            drift=page.drift,
            outcomes=page.outcomes,
            verdicts=latest_verdicts(glance),
            tenants=tenants,
            more_tenants=more,
            decisions=page.decisions[:20],
            ranges=RANGES,
            range=given,
            window_s=line.grid.window_s,
            shown_s=line.grid.window_s * len(line.grid.starts),
        )

    @router.get("/incidents")
    @needs(Action.VIEW)
    async def incidents(request: Request, model: str = "") -> Response:
        whole, files = await reads.ask_shared(
            ("incidents", model), lambda tx: load_incidents(tx, model)
        )
        found = visible_incidents(visit_of(request).principal, whole, files, model)
        return pages.page(
            request, "incidents.html", title="Incidents", now=clock.now(),
            incidents=sort_incidents(found), model=model,
        )  # fmt: skip

    @router.get("/incidents/{incident:path}")
    @needs(Action.VIEW, "incident")
    async def incident_page(request: Request, incident: str) -> Response:
        who = visit_of(request).principal
        page = await reads.ask(lambda tx: load_visible_incident(tx, who, incident))
        return pages.page(
            request, "incident.html", title=page.incident.title, now=clock.now(),
            incident=page.incident, story=story_of(page), answered_now=answered_now(page),
            evidence=evidence_of(page.incident), consumers=page.file.consumers,
            actions=proposed_on_incident(who, page.file, page.incident),
            values_hidden=not may(who, Action.SEE_VALUES, page.file),
        )  # fmt: skip

    @router.get("/decisions/{decision:path}")
    @needs(Action.VIEW, "decision")
    async def decision_page(request: Request, decision: str) -> Response:
        found, incidents = await reads.ask(lambda tx: load_decision(tx, decision))
        return pages.page(
            request, "decision.html", title=f"{found.action}: {found.subject}", now=clock.now(),
            decision=found, incidents=incidents, replay=replayed(found),
        )  # fmt: skip

    @router.get("/api")
    @needs(Action.VIEW)
    async def api(request: Request) -> Response:
        schema = request.app.openapi()
        routes = [
            (path, methods["get"].get("summary", ""))
            for path, methods in sorted(schema["paths"].items())
            if "get" in methods
        ]
        return pages.page(request, "api.html", title="Control API", now=clock.now(), routes=routes)

    del models, model_page, incidents, incident_page, decision_page, api
    return router


def _visible(whole: Overview, who: Principal) -> Overview:
    """What of the first page is about models that one may see."""
    if sees_all(who):
        return whole
    glances = tuple(glance for glance in whole.glances if sees(who, glance.file))
    names = {glance.record.name for glance in glances}
    opened = tuple(i for i in whole.open_incidents if i.model in names)
    return replace(whole, glances=glances, open_incidents=opened)


def _range(windows: str) -> int:
    """The asked number of windows, if it is one of those offered."""
    return int(windows) if windows in map(str, RANGES) else DEFAULT_RANGE

"""The pages."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from windvane.apps.console.answering import Asker
from windvane.apps.console.evidence import evidence_of
from windvane.apps.console.features import feature_views
from windvane.apps.console.health import health_of
from windvane.apps.console.memory import Memory
from windvane.apps.console.reading import (
    World,
    load_decision,
    load_incident,
    load_incidents,
    load_whole,
    load_world,
)
from windvane.apps.console.rendering import Pages, begin
from windvane.apps.console.replaying import replayed
from windvane.apps.console.story import answered_now, story_of
from windvane.apps.console.timeline import timeline
from windvane.apps.console.views import (
    DEFAULT_RANGE,
    RANGES,
    ModelCard,
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
from windvane.ports.clock import Clock
from windvane.ports.control_store import Tx


def page_router(asker: Asker, clock: Clock, pages: Pages, memory: Memory) -> APIRouter:
    """Every page, as HTML."""
    router = APIRouter(include_in_schema=False, dependencies=[Depends(begin)])

    @router.get("/")
    async def models(request: Request) -> Response:
        now, wall = clock.now(), clock.wall()

        def read(tx: Tx) -> tuple[World, list[ModelCard]]:
            world = load_world(tx, now, wall, memory)
            return world, sort_cards([model_card(g) for g in world.glances])

        world, cards = await asker.ask_shared("world", read)
        title = f"Models ({len(world.told)} open)" if world.told else "Models"
        return pages.page(
            request, "models.html", title=title, now=now, cards=cards,
            state=state_of(world, cards), told=sort_incidents(world.told),
        )  # fmt: skip

    @router.get("/models/{model}")
    async def model_page(request: Request, model: str, windows: str = "") -> Response:
        now, given = clock.now(), _range(windows)
        whole = await asker.ask_shared(
            ("model", model, given), lambda tx: load_whole(tx, model, now, given, memory)
        )
        glance = whole.glance
        line = glance.line
        tenants, more = tenant_rows(whole)
        places = {v.version: i for i, v in enumerate(whole.versions)}
        return pages.page(
            request,
            "model.html",
            title=model,
            now=now,
            model=model,
            file=glance.file,
            live=glance.live,
            weights=weights_now(glance.live, places),
            applied_at=glance.record.applied_at,
            owner=owner_of(glance),
            health=health_of(glance.live, glance.incidents, glance.latest, line.all.requests),
            notes=notes_on(whole),
            incidents=sort_incidents([*glance.incidents, *whole.closed]),
            numbers=numbers(line.all),
            so_far=line.open,
            versions=list(reversed(whole.versions)),
            places=places,
            charts=charts(whole),
            timeline=timeline(whole, now),
            features=feature_views(whole),
            features_at=whole.features.start if whole.features else None,
            drift=whole.drift,
            outcomes=whole.outcomes,
            verdicts=latest_verdicts(glance),
            tenants=tenants,
            more_tenants=more,
            decisions=whole.decisions[:20],
            ranges=RANGES,
            range=given,
            window_s=line.grid.window_s,
            shown_s=line.grid.window_s * len(line.grid.starts),
        )

    @router.get("/incidents")
    async def incidents(request: Request, model: str = "") -> Response:
        found = await asker.ask_shared(("incidents", model), lambda tx: load_incidents(tx, model))
        return pages.page(
            request, "incidents.html", title="Incidents", now=clock.now(),
            incidents=sort_incidents(found), model=model,
        )  # fmt: skip

    @router.get("/incidents/{incident:path}")
    async def incident_page(request: Request, incident: str) -> Response:
        told = await asker.ask(lambda tx: load_incident(tx, incident))
        return pages.page(
            request, "incident.html", title=told.incident.title, now=clock.now(),
            incident=told.incident, story=story_of(told), answered_now=answered_now(told),
            evidence=evidence_of(told.incident),
        )  # fmt: skip

    @router.get("/decisions/{decision:path}")
    async def decision_page(request: Request, decision: str) -> Response:
        found, told = await asker.ask(lambda tx: load_decision(tx, decision))
        return pages.page(
            request, "decision.html", title=f"{found.action}: {found.subject}", now=clock.now(),
            decision=found, incidents=told, replay=replayed(found),
        )  # fmt: skip

    @router.get("/api")
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


def _range(windows: str) -> int:
    """The asked number of windows, if it is one of those offered."""
    return int(windows) if windows in map(str, RANGES) else DEFAULT_RANGE

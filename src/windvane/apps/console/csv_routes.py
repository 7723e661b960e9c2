"""Every table and every chart's data as a CSV file, with the rows that its page shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from fastapi import APIRouter, Request, Response

from windvane.apps.console.access import (
    GuardedRoute,
    load_visible_incident,
    needs,
    visible_incidents,
    visit_of,
)
from windvane.apps.console.answering import NoSuchPage, ReadService
from windvane.apps.console.asking import (
    IncidentsQuery,
    ModelsQuery,
    Word,
    load_model,
    load_models,
)
from windvane.apps.console.comparison import (
    compare,
    comparison_sheet,
    default_pair,
    load_comparison,
)
from windvane.apps.console.csv_files import MOST_ROWS, csv_response
from windvane.apps.console.evidence import evidence_of
from windvane.apps.console.log_explorer import LogExplorer, LogQuery
from windvane.apps.console.log_reads import LogAnswer
from windvane.apps.console.memory import Memory
from windvane.apps.console.quality import QualityReader, quality_view
from windvane.apps.console.reading import load_decision, load_incidents, load_model_record
from windvane.apps.console.sheets import (
    LOOKS,
    OF_INCIDENT,
    OF_MODEL,
    OF_QUALITY,
    decision_sheets,
    incidents_sheet,
    models_sheet,
    tenants_sheet,
)
from windvane.apps.console.tables import filter_incidents, search
from windvane.apps.console.views import (
    ModelCard,
    model_card,
    range_of,
    sort_cards,
    sort_incidents,
    tenant_rows,
)
from windvane.core.authorization import Action
from windvane.core.errors import did_you_mean
from windvane.ports.clock import Clock
from windvane.usecases.read_model_file import read_model_file

T = TypeVar("T")


def csv_router(
    reads: ReadService,
    clock: Clock,
    memory: Memory,
    quality: QualityReader | None,
    explorer: LogExplorer | None,
) -> APIRouter:
    """``quality`` and ``explorer`` are None where this console has no log."""
    router = APIRouter(prefix="/csv", include_in_schema=False, route_class=GuardedRoute)

    @router.get("/models", summary="The list of models, all that fit", response_class=_Csv)
    @needs(Action.VIEW)
    async def models(request: Request, asked: ModelsQuery) -> Response:
        who = visit_of(request).principal
        cards: list[ModelCard] = []
        page, last = 1, 1
        while page <= last and len(cards) < MOST_ROWS:
            part = replace(asked, page=str(page))
            found = await load_models(reads, clock, memory, who, part)
            cards += sort_cards([model_card(g) for g in found.glances])
            page, last = page + 1, found.page.pages
        return csv_response(models_sheet(cards), "windvane")

    @router.get("/incidents", summary="Incidents, all that fit", response_class=_Csv)
    @needs(Action.VIEW)
    async def incidents(request: Request, asked: IncidentsQuery) -> Response:
        whole, files = await reads.ask(lambda tx: load_incidents(tx, asked.model))
        seen = visible_incidents(visit_of(request).principal, whole, files, asked.model)
        found = sort_incidents(filter_incidents(seen, asked))
        return csv_response(incidents_sheet(found), asked.model or "windvane")

    @router.get(
        "/models/{model}/tenants", summary="A model's tenants, all that fit", response_class=_Csv
    )
    @needs(Action.VIEW, "model")
    async def tenants(model: str, q: Word = "", windows: Word = "") -> Response:
        page = await load_model(reads, clock, memory, model, range_of(windows))
        rows = search(tenant_rows(page), q, lambda r: (r.name,))
        return csv_response(tenants_sheet(rows, page.glance.grid.window_s), model)

    if explorer is not None:

        @router.get(
            "/models/{model}/log",
            summary="Rows of a model's log, newest first",
            response_class=_Csv,
        )
        @needs(Action.VIEW, "model")
        async def log_rows(request: Request, model: str, asked: LogQuery) -> Response:
            record, _ = await reads.ask(lambda tx: load_model_record(tx, model))
            who = visit_of(request).principal
            return csv_response(
                await explorer.rows(read_model_file(record.text), asked, who), model
            )

        del log_rows

    @router.get("/models/{model}/compare", response_class=_Csv)
    @needs(Action.VIEW, "model")
    async def compared(model: str, a: Word = "", b: Word = "", windows: Word = "") -> Response:
        page = await load_model(reads, clock, memory, model, range_of(windows))
        if not page.versions:
            raise NoSuchPage(f"{model} has no version yet")
        first, second = default_pair(page)
        loaded = await reads.ask(lambda tx: load_comparison(tx, page, a or first, b or second))
        report = None
        if quality is not None and page.glance.live:
            report = await quality.wait_for(page, clock.now())
        return csv_response(comparison_sheet(compare(page, loaded, report)), model)

    @router.get(
        "/models/{model}/{table}", summary="A table or chart of a model", response_class=_Csv
    )
    @needs(Action.VIEW, "model")
    async def of_model(model: str, table: str, windows: Word = "") -> Response:
        page = await load_model(reads, clock, memory, model, range_of(windows))
        now = clock.now()
        if table in OF_QUALITY:
            known = None
            if quality is not None and table != LOOKS:
                known = LogAnswer(await quality.wait_for(page, now))
            return csv_response(OF_QUALITY[table](quality_view(page, known)), model)
        make = _named(table, OF_MODEL, OF_QUALITY)
        return csv_response(make(page, now), model)

    @router.get(
        "/incidents/{table}/{incident:path}", summary="A table of an incident", response_class=_Csv
    )
    @needs(Action.VIEW, "incident")
    async def of_incident(request: Request, table: str, incident: str) -> Response:
        who = visit_of(request).principal
        page = await reads.ask(lambda tx: load_visible_incident(tx, who, incident, clock.now()))
        make = _named(table, OF_INCIDENT)
        return csv_response(make(page, evidence_of(page.incident)), incident)

    @router.get(
        "/decisions/{table}/{decision:path}",
        summary="A table among a decision's facts",
        response_class=_Csv,
    )
    @needs(Action.VIEW, "decision")
    async def of_decision(table: str, decision: str) -> Response:
        found, _ = await reads.ask(lambda tx: load_decision(tx, decision))
        return csv_response(_named(table, decision_sheets(found)), decision)

    del models, incidents, tenants, compared, of_model, of_incident, of_decision
    return router


class _Csv(Response):
    media_type = "text/csv"


def _named(name: str, held: Mapping[str, T], more: Mapping[str, object] | None = None) -> T:
    """Raises NoSuchPage."""
    if name not in held:
        known = [*held, *(more or {})]
        raise NoSuchPage(f"there is no table {name!r}", hint=did_you_mean(name, known))
    return held[name]

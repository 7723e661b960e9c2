"""The pages of one model."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Depends, Request, Response

from windvane.apps.console.access import GuardedRoute, may, needs, visit_of
from windvane.apps.console.acting import proposed_on_model, proposed_on_version
from windvane.apps.console.answering import (
    BadLogQuery,
    ReadService,
    TooManyReaders,
    status_of,
)
from windvane.apps.console.answers import answer_rows
from windvane.apps.console.asking import Number, Word, load_model
from windvane.apps.console.comparison import compare, default_pair, load_comparison
from windvane.apps.console.curl import GatewayAddress, curl_command
from windvane.apps.console.features import feature_views
from windvane.apps.console.log_explorer import (
    KINDS,
    LASTS,
    LogExplorer,
    LogQuery,
)
from windvane.apps.console.log_reads import LogAnswer
from windvane.apps.console.memory import Memory
from windvane.apps.console.objectives import burn_down
from windvane.apps.console.quality import QualityReader, problem_of, quality_view
from windvane.apps.console.reading import load_model_record
from windvane.apps.console.rendering import Pages, begin, link
from windvane.apps.console.story import answered_otherwise
from windvane.apps.console.tables import paged, search
from windvane.apps.console.timeline import timeline
from windvane.apps.console.views import (
    RANGES,
    TENANTS,
    charts,
    latest_verdicts,
    notes_on,
    numbers,
    owner_of,
    range_of,
    sort_incidents,
    tenant_rows,
    unfold_versions,
    weights_now,
)
from windvane.core.authorization import Action
from windvane.core.errors import WindvaneError
from windvane.ports.clock import Clock
from windvane.usecases.actions import ModelState
from windvane.usecases.explore_log import LogPage
from windvane.usecases.read_model_file import read_model_file


def model_router(
    reads: ReadService,
    clock: Clock,
    pages: Pages,
    memory: Memory,
    quality: QualityReader | None,
    gateway: GatewayAddress,
    explorer: LogExplorer | None,
) -> APIRouter:
    """``quality`` and ``explorer`` are None where this console has no log."""
    router = APIRouter(
        include_in_schema=False, dependencies=[Depends(begin)], route_class=GuardedRoute
    )

    @router.get("/models/{model}")
    @needs(Action.VIEW, "model")
    async def model_page(request: Request, model: str, windows: Word = "") -> Response:
        given = range_of(windows)
        page = await load_model(reads, clock, memory, model, given)
        now = clock.now()
        glance, line, who = page.glance, page.glance.line, visit_of(request).principal
        known = await quality.glance(page, now) if quality and glance.live else None
        rows = tenant_rows(page)
        return pages.page(
            request,
            "model.html",
            title=model,
            now=now,
            model=model,
            file=glance.file,
            live=glance.live,
            weights=weights_now(glance.live, watched=page.watched),
            watched=page.watched,
            otherwise=answered_otherwise(line, glance.live),
            applied_at=glance.record.applied_at,
            owner=owner_of(glance),
            consumers=glance.file.consumers,
            actions=proposed_on_model(
                who,
                glance.file,
                ModelState(glance.live, page.watched, any(not s.planned for s in page.silences)),
            ),
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
            asked=line.all.asked,
            versions=list(reversed(page.versions)),
            unfolded=unfold_versions(glance),
            charts=charts(page),
            objectives=page.objectives if glance.live else (),
            budget_chart=burn_down(page.objectives),
            quality=quality_view(page, known) if glance.live else None,
            logged=explorer is not None,
            curl=curl_command(page, gateway.url(request.url.hostname or "")),
            timeline=timeline(page, now),
            features=feature_views(page),
            features_at=page.features.start if page.features else None,
            drift=page.drift,
            verdicts=latest_verdicts(glance),
            answers=answer_rows(page),
            tenants=rows[:TENANTS],
            more_tenants=max(0, len(rows) - TENANTS),
            decisions=page.decisions[:20],
            ranges=RANGES,
            range=given,
            window_s=line.grid.window_s,
            shown_s=line.grid.window_s * len(line.grid.starts),
        )

    @router.get("/models/{model}/tenants")
    @needs(Action.VIEW, "model")
    async def tenants(
        request: Request, model: str, q: Word = "", windows: Word = "", page: Number = ""
    ) -> Response:
        given = range_of(windows)
        loaded = await load_model(reads, clock, memory, model, given)
        rows = tenant_rows(loaded)
        query = {"q": q, "windows": windows}
        grid = loaded.glance.grid
        found = search(rows, q, lambda r: (r.name,))
        return pages.page(
            request, "tenants.html", title=f"Tenants of {model}", now=clock.now(), model=model,
            tenants=paged(found, page, f"{link('models', model)}/tenants", query), known=len(rows),
            q=q, windows=windows, window_s=grid.window_s, notes=notes_on(loaded),
            shown_s=grid.window_s * len(grid.starts),
        )  # fmt: skip

    @router.get("/models/{model}/compare")
    @needs(Action.VIEW, "model")
    async def compare_page(
        request: Request, model: str, a: Word = "", b: Word = "", windows: Word = ""
    ) -> Response:
        given = range_of(windows)
        page = await load_model(reads, clock, memory, model, given)
        now, grid = clock.now(), page.glance.grid
        found, known = None, None
        if page.versions:
            first, second = default_pair(page)
            loaded = await reads.ask(lambda tx: load_comparison(tx, page, a or first, b or second))
            known = await quality.glance(page, now) if quality and page.glance.live else None
            found = compare(page, loaded, known.value if known else None)
        return pages.page(
            request, "compare.html", title=f"Versions of {model}", now=now, model=model,
            found=found, report=known.value if known else None, problem=problem_of(known),
            versions=[v.version for v in reversed(page.versions)], ranges=RANGES, range=given,
            window_s=grid.window_s, shown_s=grid.window_s * len(grid.starts),
            notes=[note for note in notes_on(page) if "pictures" not in note],
        )  # fmt: skip

    if explorer is not None:

        @router.get("/models/{model}/log")
        @needs(Action.VIEW, "model")
        async def log_page(request: Request, model: str, asked: LogQuery) -> Response:
            record, _ = await reads.ask(lambda tx: load_model_record(tx, model))
            file, who = read_model_file(record.text), visit_of(request).principal
            status, found, problem = HTTPStatus.OK, LogAnswer[LogPage](None), None
            try:
                found = await explorer.page(file, asked, who)
                problem = found.problem
            except (BadLogQuery, TooManyReaders) as error:
                problem = error
            if isinstance(problem, WindvaneError):
                status = status_of(problem)
            elif problem is not None:
                raise problem
            return pages.page(
                request, "log.html", title=f"Log of {model}", now=clock.now(), model=model,
                asked=asked, kinds=KINDS, lasts=list(LASTS), found=found.value, problem=problem,
                values=may(who, Action.SEE_VALUES, file), pii=file.pii,
                status=status, follows=asked.follows,
            )  # fmt: skip

        del log_page

    del model_page, tenants, compare_page
    return router

"""Drift of one feature, of all tenants' features, and both as files."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Depends, Request, Response

from windvane.apps.console.access import GuardedRoute, needs
from windvane.apps.console.answering import NoSuchName, NoSuchPage, ReadService
from windvane.apps.console.asking import Word, load_model
from windvane.apps.console.csv_files import csv_response
from windvane.apps.console.curl import file_command
from windvane.apps.console.drift_views import (
    OF_FEATURE,
    FeatureDrift,
    Insensitive,
    feature_drift,
    insensitive,
    insensitive_sheet,
    known_features,
    map_sheet,
    map_view,
)
from windvane.apps.console.memory import Memory
from windvane.apps.console.reading import ModelPage, load_model_record
from windvane.apps.console.rendering import Pages, begin, link, quoted
from windvane.apps.console.tables import csv_link
from windvane.apps.console.views import RANGES, notes_on, range_of
from windvane.core.authorization import Action
from windvane.core.errors import did_you_mean
from windvane.ports.clock import Clock
from windvane.ports.control_store import Tx
from windvane.usecases.read_drift import DriftMap, load_cell, load_drift_map, load_looks
from windvane.usecases.read_model_file import ModelFile, parse_duration, read_model_file

_NEWEST_LOOKS = 12


@dataclass(frozen=True, slots=True)
class _MapRead:
    file: ModelFile
    found: DriftMap
    insensitive: tuple[Insensitive, ...]
    live: bool


class DriftReader:
    """Loads what the pages and the files show, so that they show the same."""

    def __init__(self, reads: ReadService, clock: Clock, memory: Memory) -> None:
        self._reads, self._clock, self._memory = reads, clock, memory

    async def feature(
        self, model: str, feature: str, tenant: str, windows: str
    ) -> tuple[ModelPage, FeatureDrift]:
        """Raises NoSuchName."""
        given = range_of(windows)
        page = await load_model(self._reads, self._clock, self._memory, model, given)
        known = known_features(page)
        if feature not in known:
            near = did_you_mean(feature, known)
            path = next((n for n in known if near == f"did you mean {n!r}?"), "")
            path = drift_path(model, path) if path else link("models", model)
            raise NoSuchName(f"{model} has no feature {feature!r}", hint=near, path=path)
        since = page.glance.grid.starts[0]
        looks, cell = await self._reads.ask_shared(
            ("looks", model, tenant, given),
            lambda tx: (
                load_looks(tx, model, tenant, since, given + 1), load_cell(tx, model, tenant)
            ),
        )  # fmt: skip
        return page, feature_drift(page, feature, tenant, looks, cell)

    async def map(self, model: str, windows: str) -> _MapRead:
        """Of the last look at each tenant, or of all in the last windows."""
        now = self._clock.now()

        def read(tx: Tx) -> _MapRead:
            record, live = load_model_record(tx, model)
            file = read_model_file(record.text)
            names = [spec.name for spec in file.schema]
            since = None
            if windows in map(str, RANGES):
                since = now - int(windows) * parse_duration(file.watch.window)
            found = load_drift_map(tx, model, names, since)
            looks = load_looks(tx, model, "", 0.0, _NEWEST_LOOKS)
            return _MapRead(file, found, tuple(insensitive(looks, file)), live is not None)

        return await self._reads.ask_shared(("drift map", model, windows), read)


def drift_path(model: str, feature: str = "") -> str:
    """The page of a model's tenants and features, or of one feature."""
    base = f"{link('models', model)}/drift"
    return f"{base}/{quoted(feature)}" if feature else base


def drift_router(reader: DriftReader, clock: Clock, pages: Pages) -> APIRouter:
    router = APIRouter(
        include_in_schema=False, dependencies=[Depends(begin)], route_class=GuardedRoute
    )

    @router.get("/models/{model}/drift")
    @needs(Action.VIEW, "model")
    async def map_page(request: Request, model: str, q: Word = "", windows: Word = "") -> Response:
        read = await reader.map(model, windows)
        path = csv_link(f"/csv/models/{quoted(model)}/drift", {"windows": windows})
        return pages.page(
            request, "drift.html", title=f"Drift of {model}", now=clock.now(), model=model,
            found=read.found, view=map_view(read.found, q, drift_path(model)), q=q,
            windows=windows, ranges=RANGES, window_s=parse_duration(read.file.watch.window),
            insensitive=read.insensitive, live=read.live, csv_path=path,
            command=file_command(str(request.base_url), path),
        )  # fmt: skip

    @router.get("/models/{model}/drift/{feature:path}")
    @needs(Action.VIEW, "model")
    async def feature_page(
        request: Request, model: str, feature: str, tenant: Word = "", windows: Word = ""
    ) -> Response:
        page, found = await reader.feature(model, feature, tenant, windows)
        query = {"tenant": tenant, "windows": windows}
        base = f"/csv/models/{quoted(model)}/drift"
        files = {name: csv_link(f"{base}/{name}/{quoted(feature)}", query) for name in OF_FEATURE}
        root = str(request.base_url)
        grid = page.glance.grid
        return pages.page(
            request, "feature.html", title=f"{feature} of {model}", now=clock.now(), model=model,
            found=found, windows=windows, ranges=RANGES, range=range_of(windows), files=files,
            commands={name: file_command(root, path) for name, path in files.items()},
            window_s=grid.window_s, shown_s=grid.window_s * len(grid.starts),
            notes=notes_on(page), drift=page.drift,
        )  # fmt: skip

    @router.get("/csv/models/{model}/drift")
    @needs(Action.VIEW, "model")
    async def map_file(model: str, windows: Word = "") -> Response:
        return csv_response(map_sheet((await reader.map(model, windows)).found), model)

    @router.get("/csv/models/{model}/insensitive")
    @needs(Action.VIEW, "model")
    async def insensitive_file(model: str) -> Response:
        return csv_response(insensitive_sheet((await reader.map(model, "")).insensitive), model)

    @router.get("/csv/models/{model}/drift/{table}/{feature:path}")
    @needs(Action.VIEW, "model")
    async def feature_file(
        model: str, table: str, feature: str, tenant: Word = "", windows: Word = ""
    ) -> Response:
        if table not in OF_FEATURE:
            raise NoSuchPage(f"there is no table {table!r}", hint=did_you_mean(table, OF_FEATURE))
        _, found = await reader.feature(model, feature, tenant, windows)
        return csv_response(OF_FEATURE[table](found), f"{model}-{tenant}" if tenant else model)

    del map_page, feature_page, map_file, insensitive_file, feature_file
    return router

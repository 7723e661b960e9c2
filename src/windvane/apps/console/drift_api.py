"""What the drift pages draw, as JSON: by the same reader, so that they say the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel

from windvane.apps.console.access import GuardedRoute, needs
from windvane.apps.console.api import ErrorOut
from windvane.apps.console.asking import PER_PAGE_API, Number, PerPage, Windows, Word, note_paging
from windvane.apps.console.drift_pages import DriftReader, drift_path
from windvane.apps.console.drift_views import EffectPoint, FeatureDrift
from windvane.apps.console.tables import paged
from windvane.core.authorization import Action
from windvane.usecases.read_drift import EvidencePoint

_MOST_TENANTS = 1_000


class DriftCellOut(BaseModel):
    """The stream of a tenant's feature with most evidence: ``part_of_alarm`` of the log evidence
    that an alarm asks for, ``size`` where it was kept, ``look`` (s) the start of its window.
    ``tenant`` "" is everyone."""

    tenant: str
    feature: str
    kind: str
    log_evidence: float
    part_of_alarm: float
    alarmed: bool
    size: float | None
    look: float


class BandsOut(BaseModel):
    """From which population stability index on a change is worth a look, a person's time, an
    alert."""

    look: float
    investigate: float
    alert: float


class StreamOut(BaseModel):
    """A stream after the last look; ``since`` is when an open alarm's change began by estimate."""

    kind: str
    part_of_alarm: float
    alarmed: bool
    size: float
    since: float | None


class EvidenceOut(BaseModel):
    """What one stream had after the look at a window; ``changed`` is true where an alarm opened in
    it, false where one closed, null else."""

    kind: str
    log_evidence: float | None
    alarmed: bool
    changed: bool | None
    size: float | None


class DriftWindowOut(BaseModel):
    """A window (or the hour or day that old ones are kept as) that starts at ``start`` (s). Effect
    sizes are against the training data, null where there are no rows; ``band`` is that of its PSI,
    "" below all. ``log_alarm_at`` is the log of the evidence that an alarm asks for; null, with no
    ``evidence``, where the look at the window is not kept any more."""

    start: float
    rows: int
    null_share: float | None
    psi: float | None
    js: float | None
    kl: float | None
    ks: float | None
    nulls_rose: float | None
    band: str
    log_alarm_at: float | None
    evidence: list[EvidenceOut]


class FeatureDriftOut(BaseModel):
    """A feature of everyone (``tenant`` "") or of one tenant. ``windows`` are newest first, a page
    of them; ``now`` are streams with evidence after the look at ``looked_at`` (s)."""

    feature: str
    source: str
    tenant: str
    tenants: list[str]
    bands: BandsOut
    looked_at: float | None
    now: list[StreamOut]
    windows: list[DriftWindowOut]


def drift_api_router(reader: DriftReader) -> APIRouter:
    """A model's tenants and features, and one feature over time."""
    problems: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorOut} for status in (401, 403, 404, 422, 503)
    }
    router = APIRouter(prefix="/api", tags=["models"], responses=problems, route_class=GuardedRoute)

    @router.get("/models/{model}/drift", summary="Drift of each tenant's features, worst first")
    @needs(Action.VIEW, "model")
    async def drift_map(
        response: Response, model: str, windows: Windows = "", page: Number = "",
        per_page: PerPage = PER_PAGE_API,
    ) -> list[DriftCellOut]:  # fmt: skip
        found = (await reader.map(model, windows)).found
        cells = found.worst(len(found.cells), found.tenants, found.features)
        path = f"/api{drift_path(model)}"
        shown = paged(cells, page, path, {"windows": windows}, per_page)
        note_paging(response, shown, per_page)
        return [
            DriftCellOut(
                tenant=tenant, feature=feature, kind=cell.kind.value,
                log_evidence=cell.log_evidence, part_of_alarm=found.part(cell),
                alarmed=cell.alarmed, size=cell.size, look=cell.at,
            )
            for tenant, feature, cell in shown.rows
        ]  # fmt: skip

    @router.get(
        "/models/{model}/drift/{feature:path}", summary="Drift of one feature, window by window"
    )
    @needs(Action.VIEW, "model")
    async def drift_of_feature(
        response: Response, model: str, feature: str, tenant: Word = "", windows: Windows = "",
        page: Number = "", per_page: PerPage = PER_PAGE_API,
    ) -> FeatureDriftOut:  # fmt: skip
        _, found = await reader.feature(model, feature, tenant, windows)
        query = {"tenant": tenant, "windows": windows}
        path = f"/api{drift_path(model, feature)}"
        shown = paged(list(_windows(found)), page, path, query, per_page)
        note_paging(response, shown, per_page)
        bands = found.bands
        return FeatureDriftOut(
            feature=found.feature, source=found.source, tenant=found.tenant,
            tenants=list(found.tenants[:_MOST_TENANTS]),
            bands=BandsOut(look=bands.look, investigate=bands.investigate, alert=bands.alert),
            looked_at=found.looked_at,
            now=[
                StreamOut(
                    kind=one.kind, part_of_alarm=one.part, alarmed=one.alarmed, size=one.size,
                    since=one.since,
                )
                for one in found.now
            ],
            windows=list(shown.rows),
        )  # fmt: skip

    del drift_map, drift_of_feature
    return router


def _windows(found: FeatureDrift) -> Iterator[DriftWindowOut]:
    """Newest first: each with its sizes, its evidence, or both."""
    sizes = {point.start: point for point in found.sizes}
    looks = {point.start: point for point in found.points}
    for start in sorted(sizes.keys() | looks.keys(), reverse=True):
        yield _window(start, sizes.get(start), looks.get(start), found)


def _window(
    start: float, effect: EffectPoint | None, look: EvidencePoint | None, found: FeatureDrift
) -> DriftWindowOut:
    sizes = None if effect is None else effect.sizes
    rows = 0 if effect is None else int(effect.bins.sum())
    return DriftWindowOut(
        start=start,
        rows=rows,
        null_share=int(effect.bins[0]) / rows if effect is not None and rows else None,
        psi=sizes.psi if sizes else None,
        js=sizes.js if sizes else None,
        kl=sizes.kl if sizes else None,
        ks=sizes.ks if sizes else None,
        nulls_rose=sizes.nulls if sizes else None,
        band=found.bands.word(sizes.psi) if sizes else "",
        log_alarm_at=look.threshold if look else None,
        evidence=[
            EvidenceOut(
                kind=one.kind.value, log_evidence=one.log_evidence, alarmed=one.alarmed,
                changed=one.changed, size=one.size,
            )
            for one in (look.streams.values() if look else ())
        ],
    )  # fmt: skip

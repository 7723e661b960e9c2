"""How rollouts of a model go and went: on a page and by the API."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from windvane.apps.console.access import GuardedRoute, needs, visit_of
from windvane.apps.console.acting import proposed_on_model
from windvane.apps.console.answering import ReadService
from windvane.apps.console.reading import load_model_record
from windvane.apps.console.rendering import Pages, begin
from windvane.apps.console.views import Chart
from windvane.core.authorization import Action
from windvane.core.rollout import StageFacts
from windvane.ports.clock import Clock
from windvane.ports.control_store import Deployment, Tx, WindowVerdict
from windvane.ports.rollouts import RolloutRecord
from windvane.usecases.actions import ModelState
from windvane.usecases.advance_rollout import ROLLOUT, left_out
from windvane.usecases.read_model_file import ModelFile, read_model_file
from windvane.usecases.record_rollout import next_share

_ROLLOUTS = 20
_VERDICTS = 2_000
_POINTS = 400
STEERING = ("pause", "resume", "skip", "share", "abort", "roll-back")


class StageOut(BaseModel):
    """A stage that began at ``started`` (s) with the ``share`` of the units, and first requests of
    units in it: how many met the challenger and the champion, and how many of them failed."""

    share: float
    started: float
    challenger: int
    challenger_failed: int
    champion: int
    champion_failed: int


class GuardOut(BaseModel):
    """What a guard said last: pass, hold or fail, both sides, and what is ``missing``."""

    title: str
    outcome: str
    code: str
    sentence: str
    missing: str


class RolloutOut(BaseModel):
    """A rollout; ``ended`` (s) and ``end`` are null and "" while it is under way, and only then
    there are guards. ``paused`` is who paused it."""

    id: str
    challenger: str
    champion: str
    started: float
    ended: float | None
    end: str
    paused: str
    stages: list[StageOut]
    guards: list[GuardOut]


@dataclass(frozen=True, slots=True)
class RolloutPage:
    """What is read of a model's rollouts, the newest first: the stages of the newest, and the
    verdicts on it that are kept, oldest first."""

    file: ModelFile
    live: Deployment | None
    rollouts: Sequence[RolloutRecord]
    stages: Sequence[StageFacts]
    verdicts: Sequence[WindowVerdict]

    @property
    def under_way(self) -> bool:
        return self.live is not None and bool(self.live.challenger)

    @property
    def guards(self) -> Sequence[Mapping[str, Any]]:
        """As the last verdict on the rollout that is under way has them."""
        return self.verdicts[-1].detail.get("guards", ()) if self.verdicts else ()


def load_rollouts(tx: Tx, model: str) -> RolloutPage:
    """Raises UnknownName."""
    record, live = load_model_record(tx, model)
    found = tx.rollouts(model, _ROLLOUTS)
    stages: Sequence[StageFacts] = ()
    verdicts: list[WindowVerdict] = []
    if found:
        newest = found[0]
        without = () if live is None else left_out(tx, live, newest.started)
        stages = tx.stage_facts(newest.id, newest.stages, without)
        until = math.inf if newest.ended is None else newest.ended
        verdicts = tx.verdicts(model, ROLLOUT, newest.started - 86_400.0, _VERDICTS, until)
        verdicts = [one for one in reversed(verdicts) if one.start >= newest.started - 3_600.0]
    return RolloutPage(read_model_file(record.text), live, found, stages, verdicts)


def evidence_chart(verdicts: Sequence[WindowVerdict]) -> Chart | None:
    """Evidence that the challenger fails more often, against what takes it back."""
    step = max(1, len(verdicts) // _POINTS)
    points: list[tuple[float, float, float]] = []
    for one in verdicts[::-1][::step][::-1]:
        for guard in one.detail.get("guards", ()):
            if guard.get("log_evidence") is not None:
                points.append((one.start, guard["log_evidence"], guard["log_level"]))
                break
    if len(points) < 2:
        return None
    scale = math.log(10.0)
    evidence = [round(value / scale, 3) for _, value, _ in points]
    level = [round(value / scale, 3) for _, _, value in points]
    series: list[dict[str, Any]] = [
        {"label": "evidence of more errors", "colour": "ink", "values": evidence},
        {"label": "it is taken back at", "colour": "bad", "values": level},
    ]
    sentence = (
        f"evidence of more errors: 1e{max(evidence):.1f} at most, 1e{evidence[-1]:.1f} now; it is "
        f"taken back at 1e{level[-1]:.1f}"
    )
    data: dict[str, Any] = {
        "t": [at for at, _, _ in points], "unit": "", "series": series, "marks": [], "log": True,
    }  # fmt: skip
    return Chart("evidence", "Evidence against the challenger", "", sentence, data)


def rollout_router(reads: ReadService, clock: Clock, pages: Pages) -> APIRouter:
    router = APIRouter(
        include_in_schema=False, dependencies=[Depends(begin)], route_class=GuardedRoute
    )

    @router.get("/models/{model}/rollout")
    @needs(Action.VIEW, "model")
    async def rollout_page(request: Request, model: str) -> Response:
        found = await reads.ask(lambda tx: load_rollouts(tx, model))
        actions = proposed_on_model(visit_of(request).principal, found.file, ModelState(found.live))
        after = next_share(found.file, found.live) if found.live and found.under_way else 1.0
        return pages.page(
            request, "rollout.html", title=f"Rollouts of {model}", now=clock.now(), model=model,
            found=found, next_share=after, chart=evidence_chart(found.verdicts),
            actions=[one for one in actions if one.name in STEERING],
        )  # fmt: skip

    del rollout_page
    return router


def rollout_api_router(reads: ReadService) -> APIRouter:
    router = APIRouter(prefix="/api/models", tags=["models"], route_class=GuardedRoute)

    @router.get("/{model}/rollouts", summary="Rollouts, newest first")
    @needs(Action.VIEW, "model")
    async def rollouts(model: str) -> list[RolloutOut]:
        found = await reads.ask(lambda tx: load_rollouts(tx, model))
        return [_out(found, i, one) for i, one in enumerate(found.rollouts)]

    del rollouts
    return router


def _out(found: RolloutPage, place: int, one: RolloutRecord) -> RolloutOut:
    newest = place == 0 and found.under_way
    counted = found.stages if place == 0 else [StageFacts(stage) for stage in one.stages]
    return RolloutOut(
        id=one.id, challenger=one.challenger, champion=one.champion, started=one.started,
        ended=one.ended, end=one.end,
        paused=found.live.paused if newest and found.live else "",
        stages=[
            StageOut(
                share=s.stage.share, started=s.stage.started, challenger=s.challenger.units,
                challenger_failed=s.challenger.failed, champion=s.champion.units,
                champion_failed=s.champion.failed,
            )
            for s in counted
        ],
        guards=[
            GuardOut(title=guard["title"], **{
                key: guard["verdict"][key] for key in ("outcome", "code", "sentence", "missing")
            })
            for guard in (found.guards if newest else ())
        ],
    )  # fmt: skip

"""A deployment at the next stage of its rollout, or after it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from windvane.core.alerting import CANARY, Cause
from windvane.core.journal import Effect
from windvane.ports.control_store import Deployment, Tx
from windvane.usecases.open_incident import close_incident
from windvane.usecases.read_model_file import ModelFile


@dataclass(frozen=True, slots=True)
class Promoted:
    """The deployment once its challenger is the champion, and what is told of it."""

    live: Deployment
    effects: tuple[Effect, ...]


def at_share(live: Deployment, share: float, now: float) -> Deployment:
    """A new stage of the rollout under way, with this ``share``, from ``now`` (s) on."""
    return replace(live, share=share, step=live.step + 1, stage_started=now, changed_at=now)


def without_challenger(live: Deployment, now: float) -> Deployment:
    """The champion alone."""
    return replace(live, challenger=None, share=0.0, step=0, rollout="", paused="", changed_at=now)


def promoted(tx: Tx, file: ModelFile, live: Deployment, now: float, decision: str) -> Promoted:
    """The challenger answers everyone: incidents of its kind that were rolled back are over."""
    champion = live.challenger or live.champion
    told: tuple[Effect, ...] = ()
    for held in tx.open_incidents(file.model):
        if held.kind == CANARY.name:
            cause = Cause(CANARY, held.cause.partition(":")[2])
            lines = [f"version {champion} was promoted"]
            told += close_incident(tx, file.model, cause, now=now, decision=decision, lines=lines)
    fresh = replace(without_challenger(live, now), champion=champion, previous=live.champion)
    return Promoted(fresh, told)

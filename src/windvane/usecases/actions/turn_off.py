"""Turn a model off, so that it answers nobody, and on again."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from windvane.core.authorization import Action
from windvane.ports.control_store import Deployment, Tx
from windvane.usecases.actions.base import (
    ActionRefused,
    Asked,
    Done,
    ModelAction,
    ModelState,
    Occurrence,
)
from windvane.usecases.change_deployment import change_deployment


class CannotTurn(ActionRefused):
    """The model is off, or on, already; or no version of it is live."""

    code: ClassVar[str] = "ROL-105"
    hint = "`windvane status MODEL` shows what is live"


class TurnOff(ModelAction):
    """Its clients get 503 (`GAT-125`) until it is turned on: no version, fallback or constant
    answers. What is deployed stays so."""

    name = "off"
    verb = "Turn off"
    permission = Action.TURN_OFF
    destructive = True
    record = "off"

    def fits(self, state: ModelState) -> bool:
        return state.live is not None and not state.live.off and not state.watched

    def foresee(self, tx: Tx, asked: Asked) -> str:
        held = _live(tx, asked.model)
        if held.off:
            raise CannotTurn(f"{asked.model} is turned off already")
        return (
            f"Nobody gets an answer from {asked.model} until it is turned on again: no version, "
            "no fallback, no constant. Its clients are told so with 503."
        )

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        self.foresee(tx, asked)
        held = _live(tx, asked.model)
        effects = change_deployment(tx, held, replace(held, off=True, changed_at=when.now))
        message = f"{asked.model} was turned off: it answers nobody"
        return Done(f"model {asked.model}", "ROL-113", message, {"off": True}, effects)


class TurnOn(ModelAction):
    """What was deployed answers again."""

    name = "on"
    verb = "Turn on"
    permission = Action.TURN_OFF
    record = "on"

    def fits(self, state: ModelState) -> bool:
        return state.live is not None and state.live.off

    def foresee(self, tx: Tx, asked: Asked) -> str:
        held = _live(tx, asked.model)
        if not held.off:
            raise CannotTurn(f"{asked.model} is not turned off")
        return f"Version {held.standing_in or held.champion} answers again."

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        self.foresee(tx, asked)
        held = _live(tx, asked.model)
        effects = change_deployment(tx, held, replace(held, off=False, changed_at=when.now))
        answers = held.standing_in or held.champion
        message = f"{asked.model} was turned on: version {answers} answers"
        return Done(f"model {asked.model}", "ROL-114", message, {"off": False}, effects)


def _live(tx: Tx, model: str) -> Deployment:
    tx.model(model)
    held = tx.deployment(model)
    if held is None:
        raise CannotTurn(f"no version of {model} is live")
    return held

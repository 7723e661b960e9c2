"""Take a model out of service; its versions and its past stay."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from windvane.core.authorization import Action
from windvane.ports.control_store import Deployment, IncidentNote, Tx
from windvane.usecases.actions.base import (
    ActionRefused,
    Asked,
    Done,
    ModelAction,
    ModelState,
    Occurrence,
)
from windvane.usecases.publish_routing import routing_effects


class CannotUndeploy(ActionRefused):
    """No version of the model is live."""

    code: ClassVar[str] = "ROL-106"
    hint = "`windvane status` shows what is live"


class Undeploy(ModelAction):
    """Clients are told that there is no such model, nothing of it is watched, and its open
    incidents close. A version that is deployed later is the first."""

    name = "undeploy"
    verb = "Undeploy"
    permission = Action.DEPLOY
    destructive = True
    record = "undeploy"

    def fits(self, state: ModelState) -> bool:
        return state.live is not None

    def foresee(self, tx: Tx, asked: Asked) -> str:
        held = _live(tx, asked.model)
        opened = len(tx.open_incidents(asked.model))
        also = f" and {opened} open incident{'s' if opened != 1 else ''} closed" if opened else ""
        return (
            f"Version {held.champion} stops answering: clients of {asked.model} are told that "
            f"there is no such model. It is not watched any more{also}. Its versions stay "
            "registered."
        )

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        held = _live(tx, asked.model)
        tx.drop_deployment(asked.model)
        tx.drop_route(asked.model)
        tx.forget_judging(asked.model)
        for incident in tx.open_incidents(asked.model):
            line = f"{asked.model} was undeployed"
            tx.add_note(incident.id, IncidentNote(when.now, line, when.decision))
            tx.put_incident(replace(incident, closed_at=when.now, members=()))
        message = f"{asked.model} was undeployed: version {held.champion} answers nobody any more"
        facts = {"version": held.champion, "challenger": held.challenger}
        subject = f"version {held.champion}"
        return Done(subject, "ROL-112", message, facts, routing_effects(tx, []))


def _live(tx: Tx, model: str) -> Deployment:
    tx.model(model)
    held = tx.deployment(model)
    if held is None:
        raise CannotUndeploy(f"no version of {model} is live")
    return held

"""Return to the version before, or end the rollout that is under way."""

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
from windvane.usecases.roll_out import without_challenger


class CannotRollBack(ActionRefused):
    """Nothing is live, or there is no version to return to."""

    code: ClassVar[str] = "ROL-103"
    hint = "`windvane status MODEL` shows what is live"


class CannotAbort(ActionRefused):
    """No rollout is under way."""

    code: ClassVar[str] = "ROL-104"
    hint = "`windvane status MODEL` shows what is live; `windvane rollback` returns to a version"


class RollBack(ModelAction):
    """A version that is being rolled out is taken back; else the champion gives way to the one
    before it."""

    name = "roll-back"
    verb = "Roll back"
    permission = Action.ROLL_BACK
    record = "rollback"

    def fits(self, state: ModelState) -> bool:
        return (
            state.live is not None
            and not state.watched
            and bool(state.live.challenger or state.live.previous)
        )

    def foresee(self, tx: Tx, asked: Asked) -> str:
        held = _live(tx, asked.model)
        bad, good = _sides(held)
        if held.challenger:
            return _end_of_rollout(held)
        return f"Version {good} answers in place of version {bad}."

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        held = _live(tx, asked.model)
        bad, good = _sides(held)
        if asked.version not in ("", bad):
            raise CannotRollBack(f"version {bad} would go, version {asked.version} was meant")
        message = f"version {bad} was rolled back by hand: version {good} answers everyone"
        if held.challenger:
            fresh = without_challenger(held, when.now)
        else:
            fresh = replace(held, champion=good, previous=None, changed_at=when.now)
        fresh = replace(fresh, rolled_back=tuple(sorted({*held.rolled_back, bad})))
        effects = change_deployment(tx, held, fresh, rollout_ends="rolled back by hand")
        facts = {"version": bad, "after": good}
        return Done(f"version {bad}", "ROL-110", message, facts, effects)


class Abort(ModelAction):
    """End a rollout; the version may be deployed again, for nothing was found against it."""

    name = "abort"
    verb = "Abort the rollout"
    permission = Action.ROLL_BACK
    record = "abort"

    def fits(self, state: ModelState) -> bool:
        return state.live is not None and bool(state.live.challenger)

    def foresee(self, tx: Tx, asked: Asked) -> str:
        return _end_of_rollout(self._rolling_out(tx, asked.model))

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        held = self._rolling_out(tx, asked.model)
        fresh = without_challenger(held, when.now)
        effects = change_deployment(tx, held, fresh, rollout_ends="aborted")
        message = (
            f"the rollout of version {held.challenger} was aborted at {held.share:.0%}: "
            f"version {held.champion} answers everyone"
        )
        facts = {"version": held.challenger, "share": held.share, "after": held.champion}
        return Done(f"version {held.challenger}", "ROL-111", message, facts, effects)

    def _rolling_out(self, tx: Tx, model: str) -> Deployment:
        tx.model(model)
        held = tx.deployment(model)
        if held is None or not held.challenger:
            live = f"version {held.champion} answers everyone" if held else "nothing is live"
            raise CannotAbort(f"no rollout of {model} is under way: {live}")
        return held


def _live(tx: Tx, model: str) -> Deployment:
    tx.model(model)
    held = tx.deployment(model)
    if held is None:
        raise CannotRollBack(f"no version of {model} is live")
    return held


def _sides(held: Deployment) -> tuple[str, str]:
    """(the version that goes, the one that answers then)."""
    if held.challenger:
        return held.challenger, held.champion
    if held.previous is not None:
        return held.champion, held.previous
    raise CannotRollBack(
        f"{held.model} has no version before {held.champion}",
        hint="deploy the version that should answer",
    )


def _end_of_rollout(held: Deployment) -> str:
    return (
        f"The rollout of version {held.challenger} ends, and version {held.champion} answers "
        "everyone."
    )

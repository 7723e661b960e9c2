"""Pause a rollout, let it go on, move it to its next stage, or give it a share by hand."""

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
    Question,
)
from windvane.usecases.change_deployment import change_deployment
from windvane.usecases.read_model_file import parse_share, read_model_file
from windvane.usecases.record_rollout import next_share
from windvane.usecases.roll_out import at_share, promoted

_MOST_SHARE, _LEAST_SHARE = 0.99, 0.001


class CannotSteer(ActionRefused):
    """No rollout is under way, or it is so already."""

    code: ClassVar[str] = "ROL-109"
    hint = "`windvane rollout status MODEL` shows what is under way"


class _OfRollout(ModelAction):
    """An action on the rollout that is under way."""

    permission = Action.DEPLOY

    def fits(self, state: ModelState) -> bool:
        return state.live is not None and bool(state.live.challenger) and self._fits(state.live)

    def _fits(self, live: Deployment) -> bool:
        del live
        return True

    def _live(self, tx: Tx, model: str) -> Deployment:
        tx.model(model)
        held = tx.deployment(model)
        if held is None or not held.challenger:
            said = f"version {held.champion} answers everyone" if held else "nothing is live"
            raise CannotSteer(f"no rollout of {model} is under way: {said}")
        return held


class PauseRollout(_OfRollout):
    """It stays at its share until somebody resumes it; what is worse still takes it back."""

    name = "pause"
    verb = "Pause the rollout"
    record = "pause"

    def _fits(self, live: Deployment) -> bool:
        return not live.paused

    def foresee(self, tx: Tx, asked: Asked) -> str:
        held = self._open(tx, asked)
        return (
            f"Version {held.challenger} stays at {held.share:.0%} until somebody resumes it. What "
            "is worse still takes it back."
        )

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        held = self._open(tx, asked)
        fresh = replace(held, paused=asked.by or "somebody", changed_at=when.now)
        effects = change_deployment(tx, held, fresh)
        message = f"the rollout of version {held.challenger} is paused at {held.share:.0%}"
        return Done(
            f"version {held.challenger}", "ROL-118", message, {"share": held.share}, effects
        )

    def _open(self, tx: Tx, asked: Asked) -> Deployment:
        held = self._live(tx, asked.model)
        if held.paused:
            raise CannotSteer(f"the rollout of version {held.challenger} is paused already")
        return held


class ResumeRollout(_OfRollout):
    """The gate moves it on again."""

    name = "resume"
    verb = "Resume the rollout"
    record = "resume"

    def _fits(self, live: Deployment) -> bool:
        return bool(live.paused)

    def foresee(self, tx: Tx, asked: Asked) -> str:
        held = self._paused(tx, asked)
        return f"The gate moves version {held.challenger} on from {held.share:.0%} again."

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        held = self._paused(tx, asked)
        effects = change_deployment(tx, held, replace(held, paused="", changed_at=when.now))
        message = f"the rollout of version {held.challenger} goes on from {held.share:.0%}"
        return Done(
            f"version {held.challenger}", "ROL-119", message, {"share": held.share}, effects
        )

    def _paused(self, tx: Tx, asked: Asked) -> Deployment:
        held = self._live(tx, asked.model)
        if not held.paused:
            raise CannotSteer(f"the rollout of version {held.challenger} is not paused")
        return held


class SkipStage(_OfRollout):
    """To the next stage, without the evidence that the present one was waiting for: somebody takes
    that on, and says why."""

    name = "skip"
    verb = "Skip to the next stage"
    record = "skip"

    def foresee(self, tx: Tx, asked: Asked) -> str:
        held = self._live(tx, asked.model)
        share = next_share(read_model_file(tx.model(asked.model).text), held)
        what = "answers everyone" if share >= 1.0 else f"has {share:.0%}"
        return (
            f"Version {held.challenger} {what} from now on, without what its stage at "
            f"{held.share:.0%} was waiting for."
        )

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        held = self._live(tx, asked.model)
        if not asked.reason.strip():
            raise CannotSteer(
                f"to skip the stage of version {held.challenger} takes a reason",
                hint="say why with --reason; it goes on record",
            )
        file = read_model_file(tx.model(asked.model).text)
        share = next_share(file, held)
        subject = f"version {held.challenger}"
        facts = {"from": held.share, "to": share}
        if share < 1.0:
            effects = change_deployment(tx, held, at_share(held, share, when.now))
            message = f"{subject} went on to {share:.0%}, skipping what {held.share:.0%} waited for"
            return Done(subject, "ROL-120", message, facts, effects)
        told = promoted(tx, file, held, when.now, when.decision)
        effects = change_deployment(tx, held, told.live, rollout_ends="promoted by hand")
        message = f"{subject} was promoted, skipping what {held.share:.0%} waited for"
        return Done(subject, "ROL-120", message, facts, (*effects, *told.effects))


class SetShare(_OfRollout):
    """A share by hand: a stage of its own, which needs evidence like any other."""

    name = "share"
    verb = "Set its share"
    record = "share"
    questions = (
        Question("share", "The challenger's share of the units", hint="such as 10%", longest=12,
                 required=True),
    )  # fmt: skip

    def foresee(self, tx: Tx, asked: Asked) -> str:
        held = self._live(tx, asked.model)
        return (
            f"A stage with the share that you give begins for version {held.challenger}, which has "
            f"{held.share:.0%} now. A smaller one gives units back to version {held.champion}."
        )

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        held = self._live(tx, asked.model)
        share = _share_of(asked.answer("share"))
        if share == held.share:
            raise CannotSteer(f"version {held.challenger} has {share:.0%} already")
        effects = change_deployment(tx, held, at_share(held, share, when.now))
        message = f"version {held.challenger} has {share:.2%} by hand, {held.share:.0%} before"
        facts = {"from": held.share, "to": share}
        return Done(f"version {held.challenger}", "ROL-121", message, facts, effects)


def _share_of(given: str) -> float:
    try:
        share = parse_share(given)
    except ValueError as error:
        raise CannotSteer(f"share: {error}", hint="such as 10%") from error
    if not _LEAST_SHARE <= share <= _MOST_SHARE:
        raise CannotSteer(
            f"share: {given} is not from {_LEAST_SHARE:.1%} to {_MOST_SHARE:.0%}",
            hint="`windvane abort` gives it nothing, `windvane rollout skip` everything",
        )
    return share

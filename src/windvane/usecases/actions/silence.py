"""Tell nobody of a model's incidents, or of one cause's, for a while."""

from __future__ import annotations

import datetime as dt
import secrets
from typing import ClassVar

from windvane.core.authorization import Action
from windvane.ports.control_store import IncidentNote, Silence, Tx
from windvane.usecases.actions.base import (
    About,
    ActionRefused,
    Asked,
    Done,
    ModelAction,
    ModelState,
    Occurrence,
)
from windvane.usecases.read_model_file import as_duration

LONGEST_S = 30 * 86_400.0
_MOST = 100


class CannotSilence(ActionRefused):
    """The time is none, or too long; or nothing is silenced that could be lifted."""

    code: ClassVar[str] = "INC-103"
    hint = "for a second to 30 days, such as 2h"


class SilenceModel(ModelAction):
    """Incidents open, act and are recorded as ever; notifications wait until the silence ends,
    and are not sent at all of what is over by then."""

    name = "silence"
    verb = "Silence"
    permission = Action.SILENCE
    record = "silence"
    lasts = "2h"

    def foresee(self, tx: Tx, asked: Asked) -> str:
        tx.model(asked.model)
        return (
            f"Nobody is told of incidents of {asked.model} while the silence lasts. What is still "
            "open when it ends is told then."
        )

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        silence = _silence(tx, asked, "", when.wall)
        message = f"nobody is told of {asked.model} until {_moment(silence.until)}"
        return Done(f"model {asked.model}", "INC-112", message, {"until": silence.until})


class SilenceIncident(ModelAction):
    """The same of one cause: of this incident, and of others of its cause that open meanwhile."""

    name = "silence"
    verb = "Silence its cause"
    permission = Action.SILENCE
    about = About.INCIDENT
    record = "silence"
    lasts = "2h"

    def foresee(self, tx: Tx, asked: Asked) -> str:
        held = tx.incident(asked.incident)
        return (
            f"Nobody is told of {held.kind.replace('_', ' ')} of {held.model} as here, while the "
            "silence lasts. What is still open when it ends is told then."
        )

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        held = tx.incident(asked.incident)
        silence = _silence(tx, asked, held.cause, when.wall)
        message = f"nobody is told of {held.cause} until {_moment(silence.until)}"
        line = f"silenced by {asked.by}: {message}"
        tx.add_note(held.id, IncidentNote(when.now, line, when.decision))
        facts = {"cause": held.cause, "until": silence.until}
        return Done(f"incident {held.id}", "INC-112", message, facts)


class LiftSilence(ModelAction):
    """Whatever is silenced of a model is told again, what is open within a minute."""

    name = "lift-silence"
    verb = "Lift the silence"
    permission = Action.SILENCE
    record = "lift_silence"

    def fits(self, state: ModelState) -> bool:
        return state.silenced

    def foresee(self, tx: Tx, asked: Asked) -> str:
        tx.model(asked.model)
        return f"Incidents of {asked.model} are told again, those that are open within a minute."

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        held = _own(tx, asked.model, when.wall)
        if not held:
            raise CannotSilence(f"nothing of {asked.model} is silenced", hint="nothing to do")
        for silence in held:
            tx.drop_silence(silence.id)
        message = f"{asked.model} is told of again"
        facts = {"silences": [s.cause or "all" for s in held]}
        return Done(f"model {asked.model}", "INC-113", message, facts)


def _silence(tx: Tx, asked: Asked, cause: str, wall: float) -> Silence:
    if not 1.0 <= asked.lasts_s <= LONGEST_S:
        sides = f"a silence of {as_duration(asked.lasts_s)}, 1s to {as_duration(LONGEST_S)} may be"
        raise CannotSilence(sides)
    tx.prune_silences(wall)
    held = _own(tx, asked.model, wall)
    if len(held) >= _MOST:
        hint = f"`windvane silence {asked.model} --lift` ends them"
        raise CannotSilence(f"{asked.model} has {len(held)} silences, {_MOST} may be", hint=hint)
    silence = Silence(
        secrets.token_hex(8), asked.model, cause, wall + asked.lasts_s, asked.by, asked.reason
    )
    tx.put_silence(silence)
    return silence


def _own(tx: Tx, model: str, wall: float) -> list[Silence]:
    """Planned maintenance is cancelled by its id, and is no silence of the model alone."""
    return [one for one in tx.silences(wall, model) if not one.planned]


def _moment(wall: float) -> str:
    return dt.datetime.fromtimestamp(wall, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")

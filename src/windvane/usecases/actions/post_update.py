"""Tell the people who wait how an incident stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from windvane.core.authorization import Action
from windvane.ports.control_store import Incident, IncidentNote, Tx
from windvane.usecases.actions.base import (
    About,
    ActionRefused,
    Asked,
    Done,
    ModelAction,
    Occurrence,
    Question,
)
from windvane.usecases.draft_update import UPDATE_NOTE, write_draft
from windvane.usecases.tell_updates import update_effect

_LONGEST = 4_000
_MOST_LINES = 40
TEXT = Question(
    "text", "What people are told", hint="a draft from the record; edit it", kind="area",
    longest=_LONGEST, required=True,
)  # fmt: skip


class CannotUpdate(ActionRefused):
    """The incident is closed: its end was told, and nobody waits for an update."""

    code: ClassVar[str] = "INC-106"
    hint = "`windvane incidents` lists the open ones"


class PostUpdate(ModelAction):
    """The update goes on the timeline and to the channels of the incident's route that are for
    reading; the next one is due after the time of its severity."""

    name = "update"
    verb = "Post an update"
    permission = Action.ACKNOWLEDGE
    about = About.INCIDENT
    record = "update"
    questions = (TEXT,)

    def foresee(self, tx: Tx, asked: Asked) -> str:
        held = self._open(tx, asked)
        return (
            f"Update {held.updates + 1} goes on the timeline, and to the channels of "
            f"{held.model} that people read. Nobody is paged."
        )

    def propose(self, tx: Tx, asked: Asked, now: float) -> Mapping[str, str]:
        return {TEXT.name: write_draft(tx, asked.incident, now).text[:_LONGEST]}

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        held = self._open(tx, asked)
        text = asked.answer(TEXT.name)
        if (lines := len(text.splitlines())) > _MOST_LINES:
            hint = "say the rest in another update, or where it can be read"
            raise CannotUpdate(f"the update has {lines} lines, {_MOST_LINES} allowed", hint=hint)
        number = held.updates + 1
        tx.put_incident(
            replace(
                held,
                updates=number,
                updated_at=when.now,
                update_since=when.wall,
                update_impact=write_draft(tx, held.id, when.now).impact,
            )
        )
        head = f"{UPDATE_NOTE}{number} by {asked.by}:"
        for line in (head, *filter(str.strip, text.splitlines())):
            tx.add_note(held.id, IncidentNote(when.now, line, when.decision))
        message = f"update {number} of incident {held.id} was posted"
        effects = (update_effect(held, text, number),)
        return Done(f"incident {held.id}", "INC-118", message, {"text": text}, effects)

    def _open(self, tx: Tx, asked: Asked) -> Incident:
        held = tx.incident(asked.incident)
        if held.closed_at is not None:
            raise CannotUpdate(f"incident {held.id} is closed")
        return held

"""What is to be done so that an incident does not come again: added, done, verified."""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import replace
from typing import ClassVar

from windvane.core.authorization import Action
from windvane.ports.control_store import Incident, IncidentNote, Tx
from windvane.ports.incidents import ActionItem, ItemState
from windvane.usecases.actions.base import (
    About,
    ActionRefused,
    Asked,
    BadAnswer,
    Done,
    ModelAction,
    Occurrence,
    Question,
)

MOST_ITEMS = 100
MOST_YEARS = 10
_DAY_S = 86_400.0


class CannotChangeItem(ActionRefused):
    """The action item is of another incident, or there are too many."""

    code: ClassVar[str] = "INC-105"
    hint = "`windvane action-items list` lists them"


class AddActionItem(ModelAction):
    """Something with an owner, a day that it is due on, and by what it is known to be done. Also of
    an incident that is closed."""

    name = "add-action-item"
    verb = "Add an action item"
    permission = Action.CLOSE_INCIDENT
    about = About.INCIDENT
    record = "add_action_item"
    questions = (
        Question("what", "What is to be done?", required=True),
        Question("owner", "Who does it?", longest=128, required=True),
        Question("due", "By which day?", hint="such as 2026-12-01", kind="date", longest=10,
                 required=True),
        Question("acceptance", "By what is it known to be done?", required=True),
    )  # fmt: skip

    def fits_incident(self, incident: Incident, actor: str) -> bool:
        del incident, actor
        return True

    def foresee(self, tx: Tx, asked: Asked) -> str:
        tx.incident(asked.incident)
        return (
            "It is listed, and shown as overdue from the day after, until somebody says it is done."
        )

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        held = tx.incident(asked.incident)
        if len(tx.action_items(MOST_ITEMS, incident=held.id)) >= MOST_ITEMS:
            raise CannotChangeItem(
                f"incident {held.id} has {MOST_ITEMS} action items, no more may be"
            )
        item = ActionItem(
            secrets.token_hex(5), held.model, held.id, asked.answer("what"), asked.answer("owner"),
            _end_of(asked.answer("due"), when.now), asked.answer("acceptance"),
            ItemState.OPEN.value, asked.by, when.now,
        )  # fmt: skip
        tx.put_action_item(item)
        message = f"action item {item.id} of {item.owner}: {item.what}"
        tx.add_note(held.id, IncidentNote(when.now, message, when.decision))
        return Done(f"incident {held.id}", "INC-116", message, dict(asked.answers))


class SetActionItem(ModelAction):
    """That it is done, that somebody verified it by its acceptance, or that it is open again."""

    name = "set-action-item"
    verb = "Change an action item"
    permission = Action.CLOSE_INCIDENT
    about = About.INCIDENT
    record = "set_action_item"
    questions = (
        Question("item", "Which item?", longest=64, required=True),
        Question("state", "How is it?",
                 {ItemState.DONE.value: "done", ItemState.VERIFIED.value: "done, and verified",
                  ItemState.OPEN.value: "open"}, required=True),
    )  # fmt: skip

    def fits_incident(self, incident: Incident, actor: str) -> bool:
        del incident, actor
        return False  # it is proposed beside each item

    def foresee(self, tx: Tx, asked: Asked) -> str:
        tx.incident(asked.incident)
        return "The item is listed as you say, with your name."

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        held = tx.action_item(asked.answer("item"))
        if held.incident != asked.incident:
            raise CannotChangeItem(f"action item {held.id} is of incident {held.incident}")
        state = asked.answer("state")
        if held.state == state:
            raise CannotChangeItem(f"action item {held.id} is {state} already")
        tx.put_action_item(replace(held, state=state, changed_by=asked.by, changed_at=when.now))
        message = f"action item {held.id} is {state}: {held.what}"
        tx.add_note(held.incident, IncidentNote(when.now, message, when.decision))
        facts = {"item": held.id, "before": held.state, "state": state}
        return Done(f"incident {held.incident}", "INC-117", message, facts)


def _end_of(day: str, now: float) -> float:
    """When the day is over (s since the epoch): not before ``now``, nor `MOST_YEARS` after. Raises
    BadAnswer."""
    try:
        begin = dt.datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=dt.UTC).timestamp()
    except ValueError:
        raise BadAnswer(f"due is {day!r}", hint="a day such as 2026-12-01") from None
    if not now < begin + _DAY_S <= now + (MOST_YEARS * 365.25 + 1.0) * _DAY_S:
        hint = f"today or later, and at most {MOST_YEARS} years ahead"
        raise BadAnswer(f"due is {day}", hint=hint)
    return begin + _DAY_S

"""Accept what changed as the new normal: what is usual begins anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from windvane.core.alerting import Cause, CauseChange, Finding
from windvane.core.authorization import Action
from windvane.core.journal import Effect
from windvane.ports.control_store import Incident, Tx
from windvane.usecases.actions.base import (
    About,
    ActionRefused,
    Asked,
    Done,
    ModelAction,
    Occurrence,
)
from windvane.usecases.actions.close_incident import change_states, members_of
from windvane.usecases.actions.grade_incident import (
    GRADE,
    RUNBOOK_CHANGE,
    graded,
    grading_facts,
    grading_words,
)
from windvane.usecases.change_deployment import change_deployment
from windvane.usecases.monitors import Monitor, cause_kinds
from windvane.usecases.open_incident import cause_of, leave_incident
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.respond import take_back
from windvane.usecases.unfit_versions import unfit_versions


class CannotAccept(ActionRefused):
    """The incident is closed, or is of nothing that can be a new normal."""

    code: ClassVar[str] = "INC-104"
    hint = (
        "what can be accepted is a change of inputs, of how fresh they are, of answers, fallbacks, "
        "labels or the truth; others are closed by `windvane close`"
    )


class AcceptChange(ModelAction):
    """What came since the change is what is compared with from now on, and what was done against
    it is taken back. It is for changes that are meant to stay: else the alarm would, too."""

    name = "accept"
    verb = "Accept as the new normal"
    permission = Action.CLOSE_INCIDENT
    about = About.INCIDENT
    record = "accept_change"
    questions = (GRADE, RUNBOOK_CHANGE)

    def fits_incident(self, incident: Incident, actor: str) -> bool:
        del actor
        return incident.closed_at is None and bool(_acceptable(incident))

    def foresee(self, tx: Tx, asked: Asked) -> str:
        held = self._open(tx, asked)
        of = f" of {', '.join(held.sources)}" if held.sources else ""
        return (
            f"What came{of} since it began is the new normal, which later is compared with, "
            "and a version that stands in goes back. The incident is closed, unless something else "
            "of it goes on."
        )

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        held = graded(self._open(tx, asked), asked, when)
        tx.put_incident(held)
        accepted = _acceptable(held)
        for monitor, cause in accepted:
            change_states(tx, held, monitor, cause, monitor.accept)
        message = "accepted as the new normal" + (f": {asked.reason}" if asked.reason else "")
        ended = tuple(_ended(held, monitor, cause) for monitor, cause in accepted)
        lines, changed = _take_back(tx, held, ended, when)
        left = tuple(m for m in held.members if m not in {f.member for f in ended})
        kinds = cause_kinds()
        change = CauseChange(
            held.id, cause_of(held, kinds), held.since, left, (), ended, held.sources
        )
        said = grading_words(asked)
        told = leave_incident(
            tx, read_model_file(tx.model(held.model).text), change, kinds,
            now=when.now, decision=when.decision,
            lines=(*((said,) if said else ()), message, *lines),
        )  # fmt: skip
        facts = {"why": asked.reason, "sources": list(held.sources), **grading_facts(asked)}
        return Done(f"incident {held.id}", "INC-114", message, facts, (*told, *changed))

    def _open(self, tx: Tx, asked: Asked) -> Incident:
        held = tx.incident(asked.incident)
        if held.closed_at is not None:
            raise CannotAccept(f"incident {held.id} is closed already")
        if not _acceptable(held):
            raise CannotAccept(f"incident {held.id} is of nothing that can be a new normal")
        return held


def _acceptable(incident: Incident) -> list[tuple[Monitor, Cause]]:
    return [(monitor, cause) for monitor, cause in members_of(incident) if monitor.acceptable]


def _ended(held: Incident, monitor: Monitor, cause: Cause) -> Finding:
    sources = (cause.subject,) if cause.subject in held.sources else held.sources
    return Finding(monitor.name, cause, False, held.since, "", (), sources)


def _take_back(
    tx: Tx, held: Incident, ended: Sequence[Finding], when: Occurrence
) -> tuple[list[str], tuple[Effect, ...]]:
    """What was done against the causes, undone: lines for people, and effects."""
    before = tx.deployment(held.model)
    if before is None:
        return [], ()
    file = read_model_file(tx.model(held.model).text)
    unfit = unfit_versions(tx, file, before, when.now, ended)
    after, lines, _ = take_back(tx, before, ended, when.now, unfit)
    return lines, change_deployment(tx, before, after)

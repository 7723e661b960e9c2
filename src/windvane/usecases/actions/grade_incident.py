"""Say what an incident was in the end: what monitors are measured by."""

from __future__ import annotations

from dataclasses import replace

from windvane.core.alerting.grading import IncidentGrade
from windvane.core.authorization import Action
from windvane.ports.control_store import Incident, IncidentNote, Tx
from windvane.usecases.actions.base import About, Asked, Done, ModelAction, Occurrence, Question

NO_CHANGE = "none"
GRADE = Question(
    "grade",
    "What was it?",
    {
        "": "not known yet",
        IncidentGrade.TRUE.value: "true: something was wrong, and it mattered",
        IncidentGrade.HARMLESS.value: "harmless: something changed, and nobody was hurt",
        IncidentGrade.FALSE.value: "false: nothing had changed",
    },
    hint="monitors are measured by it; it can be said later",
)
RUNBOOK_CHANGE = Question(
    "runbook_change",
    "What should the runbook say?",
    hint="none, if it is right as it is",
)


class GradeIncident(ModelAction):
    """Whether an incident was true, harmless or false, and what its runbook lacks. Also of one
    that the system closed, and as often as somebody knows better: the last word counts."""

    name = "grade"
    verb = "Grade"
    permission = Action.CLOSE_INCIDENT
    about = About.INCIDENT
    record = "grade_incident"
    questions = (
        replace(
            GRADE,
            options={**GRADE.options, "": "choose one"},
            hint="monitors are measured by it",
            required=True,
        ),
        RUNBOOK_CHANGE,
    )

    def fits_incident(self, incident: Incident, actor: str) -> bool:
        del incident, actor
        return True

    def foresee(self, tx: Tx, asked: Asked) -> str:
        held = tx.incident(asked.incident)
        before = (
            f" {held.graded_by} graded it {held.grade} before; your word takes its place."
            if held.grade
            else ""
        )
        return (
            "What you say counts for or against the monitors that found it; the incident stays "
            f"as it is otherwise.{before}"
        )

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        held = tx.incident(asked.incident)
        tx.put_incident(graded(held, asked, when))
        message = grading_words(asked)
        tx.add_note(held.id, IncidentNote(when.now, message, when.decision))
        return Done(f"incident {held.id}", "INC-115", message, grading_facts(asked))


def graded(incident: Incident, asked: Asked, when: Occurrence) -> Incident:
    """As ``asked`` says, where it says anything."""
    grade, change = asked.answer(GRADE.name), asked.answer(RUNBOOK_CHANGE.name)
    if grade:
        incident = replace(incident, grade=grade, graded_by=asked.by, graded_at=when.now)
    return replace(incident, runbook_change=change) if change else incident


def grading_facts(asked: Asked) -> dict[str, str]:
    return {one.name: asked.answer(one.name) for one in (GRADE, RUNBOOK_CHANGE)}


def grading_words(asked: Asked) -> str:
    """A line for the timeline, "" where nothing was said."""
    grade, change = asked.answer(GRADE.name), asked.answer(RUNBOOK_CHANGE.name)
    lines = [f"graded {grade} by {asked.by}" if grade else ""]
    if change:
        lines.append(
            "its runbook is right" if change == NO_CHANGE else f"its runbook should say: {change}"
        )
    return "; ".join(filter(None, lines))

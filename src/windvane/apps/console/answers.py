"""What each version answered, by arm, for the page of a model."""

from __future__ import annotations

from dataclasses import dataclass

from windvane.apps.console.reading import ModelPage
from windvane.core.task import make_task
from windvane.core.verdict import Outcome
from windvane.ports.control_store import WindowVerdict
from windvane.usecases.gather_answers import AnswerFigures, Answers, answer_figures
from windvane.usecases.monitors.disagreement import Disagreement, verdict_subjects
from windvane.usecases.monitors.fallbacks import Fallbacks
from windvane.usecases.monitors.predictions import Predictions, subject_of

_WORST = (Outcome.FAIL, Outcome.ERROR, Outcome.HOLD, Outcome.PASS)


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One version in one arm over the page's range, and the worst of the newest verdicts on it."""

    answers: Answers
    figures: AnswerFigures
    verdict: WindowVerdict | None


def answer_rows(page: ModelPage) -> list[AnswerRow]:
    """Most answers first."""
    if not page.glance.file.features:  # the stand-in of a file that cannot be read
        return []
    task, latest = make_task(page.glance.file.contract.task), page.glance.latest

    def verdict(one: Answers) -> WindowVerdict | None:
        subject = subject_of(one.version, one.arm)
        found = [latest.get((name, subject)) for name in (Predictions.name, Fallbacks.name)]
        of_stand_in = verdict_subjects(one.version, one.arm)
        found += [latest.get((Disagreement.name, measure)) for measure in of_stand_in]
        known = [v for v in found if v is not None]
        return min(known, key=lambda v: _WORST.index(v.outcome), default=None)

    ranked = sorted(page.answers, key=lambda one: (-one.rows, one.version, one.arm))
    return [AnswerRow(one, answer_figures(task, one), verdict(one)) for one in ranked]

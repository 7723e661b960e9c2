"""A stand-in that no longer answers as the version in whose place it would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from windvane.core.alerting import Cause, CauseGroup, CauseKind, Finding, Join, Severity
from windvane.core.routing import Arm
from windvane.core.statistics import share_bounds
from windvane.core.task import make_task
from windvane.core.verdict import Dispersion, RateFacts, RatePolicy, RateState
from windvane.ports.control_store import Deployment
from windvane.ports.event_log import EventLog
from windvane.usecases.closed_window import ClosedWindow, StateRows
from windvane.usecases.gather_answers import Answers
from windvane.usecases.monitors.base import AlarmState, Importance, Judged, Monitor, read_rows
from windvane.usecases.monitors.predictions import (
    is_about,
    is_live,
    parse_subject,
    subject_of,
)
from windvane.usecases.monitors.rates import RATE, judge_one_rate
from windvane.usecases.read_model_file import DISAGREEMENT, ModelFile

CODES = "STI"
_HURTS_IF = "the champion could not answer, for a broken feed, say"
STAND_IN = CauseKind(
    "disagreement",
    CauseGroup.FAILING,
    "stand-in-disagrees.md",
    joins={
        "errors": Join.WHILE_OPEN,
        "fallbacks": Join.SAME_ONSET,
        "feed": Join.SAME_ONSET,
        "input_shift": Join.SAME_ONSET,
        "prediction_shift": Join.SAME_ONSET,
        "stuck_predictions": Join.SAME_ONSET,
        "tenant_feed": Join.SAME_ONSET,
        "new_tenant": Join.SAME_ONSET,
        "segment_feed": Join.SAME_ONSET,
    },
    to_do="see whether the champion or its stand-in is wrong: `windvane status {model}`",
    hurts_if=_HURTS_IF,
)
STAND_IN_SILENT = CauseKind(
    "stand_in_silent",
    CauseGroup.FAILING,
    "stand-in-disagrees.md",
    to_do="see in the gateway's log why the stand-in has no answer, before it is needed: "
    "`windvane status {model}`",
    hurts_if=_HURTS_IF,
)
"""It joins nothing: what is wrong with inputs or answers is when a stand-in is needed."""
_KNOWN = 400  # rows: a share of one half is known to within five points by then
_LEVEL = 0.01
_RISE = 0.05
_UNKNOWN_SILENT = 0.5
_MOST, _ALL = 0.99, 1.0
_SALT = "disagreement"
_SPANS = 2.0  # times `drift_over`: as long as what has too few labels is waited for
_DAY_S = 86_400.0

# What is judged of a stand-in, by the end of its subject.
SILENT, ANOTHER, DIFFERENCE = "silent", "class", "difference"
_KINDS = {SILENT: STAND_IN_SILENT, ANOTHER: STAND_IN, DIFFERENCE: STAND_IN}
_WORDS = {
    SILENT: "no answer",
    ANOTHER: "another class",
    DIFFERENCE: "mean difference of answers",
}


@dataclass(frozen=True, slots=True)
class StandInRow:
    """The detectors of one version, by what they judge, of what ``stands_in`` for it (see
    `stands_in_for`); the last window in which a row was compared ended at ``compared_at`` (s)."""

    rates: Mapping[str, RateState] = field(default_factory=dict[str, RateState])
    stands_in: str = ""
    compared_at: float = 0.0

    @property
    def alarmed(self) -> bool:
        return any(rate.alarmed for rate in self.rates.values())

    def since(self, kind: CauseKind) -> float | None:
        """When what is open of a kind of cause began (s); None where nothing is."""
        open_ones = [
            rate.since for m, rate in self.rates.items() if rate.alarmed and _KINDS[m] is kind
        ]
        return min(open_ones, default=None)


class Disagreement(Monitor):
    """How a champion's stand-in answers a sample of the rows that the champion answered: the share
    that it has no answer for, the share of another class, and how far apart the answers are, each
    against what is usual of the two and five points more. What is usual belongs to the pair: of
    another stand-in it is learned anew. Until it is known, nothing passes.

    A stand-in without an answer for half of the rows is told before anything is usual: it would be
    no help. Differences are means of numbers from 0 to 1, which the judge of rates bounds as it
    does shares: the likelihood ratio of a share is convex in the outcome.
    """

    name = DISAGREEMENT
    title = "Disagreement with the stand-in"
    cause = STAND_IN
    more_causes = (STAND_IN_SILENT,)
    judge = RATE
    importance = Importance.FIRST_TO_WAIT
    acceptable = True

    def streams(self, file: ModelFile, tenants: int) -> int:
        del tenants
        return len(_measures(file)) if file.serve.fallback else 0

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        del log
        held = read_rows(rows, StandInRow)
        out: list[Judged] = []
        seen: set[str] = set()
        answered: set[str] = set()
        for answers in window.answers:
            if answers.arm != Arm.CHAMPION.value:
                continue
            subject = subject_of(answers.version, answers.arm)
            answered.add(subject)
            if answers.stand_in.compared:
                seen.add(subject)
                out += self._judge(window, answers, held.get(subject, StandInRow()))
        for subject, row in held.items():
            if subject not in seen and (over := _why_over(window, subject, row)):
                seen.add(subject)
                out.append(self._over(window, subject, row, over))
        if window.file.serve.fallback:
            nothing = (s for s in sorted(answered - seen) if is_live(s, window.live))
            out += [self._nothing(window, s, held.get(s, StandInRow())) for s in nothing]
        return out

    def _judge(self, window: ClosedWindow, answers: Answers, before: StandInRow) -> list[Judged]:
        """One judgement of each measure; they share one row and one cause."""
        version, counts = answers.version, answers.stand_in
        subject = subject_of(version, answers.arm)
        stored, now = before, stands_in_for(window.file, window.live)
        ended: tuple[Finding, ...] = ()
        if stored.stands_in not in ("", now):
            ended = self._ended(version, stored, f"something else stands in for version {version}")
            before = StandInRow()
        # A sum of thousandths as a whole number, by chance that keeps its mean.
        by_chance = (counts.thousandths + window.seed(_SALT) % 1_000) // 1_000
        bad = {SILENT: counts.silent, ANOTHER: counts.another, DIFFERENCE: by_chance}
        rates = dict(before.rates)
        judged: list[Judged] = []
        for measure in _measures(window.file):
            seen = counts.compared if measure == SILENT else counts.answered
            if not seen:
                continue
            rate = rates.get(measure, RateState())
            facts = RateFacts(
                f"stand-in of version {version}", window.start, bad[measure], seen - bad[measure],
                rate, counts.difference if measure == DIFFERENCE else None,
            )  # fmt: skip
            policy = stand_in_policy(window.policy.alarm_at, rate, measure)
            named = f"{subject}#{measure}"
            cause = Cause(_KINDS[measure], version)
            one = judge_one_rate(window, self.name, cause, named, facts, policy)
            after = one.states.get(named)
            rates[measure] = after if isinstance(after, RateState) else rate
            if (
                policy.allowed >= _ALL and not rates[measure].alarmed
            ):  # whatever it is, it is what is usual
                learned = rates[measure].learned
                rates[measure] = RateState(dispersion=learned, learned=learned)
            detail = _detail(answers, measure, policy)
            judged.append(replace(one, states={}, detail=detail, shown=True))
        row = StandInRow(rates, now, window.end)
        first, *others = _as_one(judged, before, row)
        states = {subject: row} if row != stored else {}
        return [replace(first, findings=(*ended, *first.findings), states=states), *others]

    def _nothing(self, window: ClosedWindow, subject: str, before: StandInRow) -> Judged:
        """Of rows none of which was compared: it is not known whether there is any help."""
        version, _ = parse_subject(subject)
        rate = before.rates.get(SILENT, RateState())
        facts = RateFacts(f"stand-in of version {version}", window.start, 0, 0, rate)
        policy = stand_in_policy(window.policy.alarm_at, rate, SILENT)
        cause, named = Cause(STAND_IN_SILENT, version), f"{subject}#{SILENT}"
        one = judge_one_rate(window, self.name, cause, named, facts, policy)
        return replace(one, detail={"version": version, "compared": 0}, shown=True)

    def _over(self, window: ClosedWindow, subject: str, before: StandInRow, why: str) -> Judged:
        """What was found is over; so is what is usual of a version that answers no more."""
        version, _ = parse_subject(subject)
        one = self._nothing(window, subject, StandInRow())
        findings = self._ended(version, before, why)
        stays = is_live(subject, window.live) and window.file.serve.fallback
        anew = {m: rate.anew() if rate.alarmed else rate for m, rate in before.rates.items()}
        row = replace(before, rates=anew) if stays else None
        return replace(one, findings=findings, states={subject: row}, shown=bool(findings))

    def _ended(self, version: str, before: StandInRow, why: str) -> tuple[Finding, ...]:
        return tuple(
            Finding(self.name, Cause(kind, version), False, since, why)
            for kind in (STAND_IN, STAND_IN_SILENT)
            if (since := before.since(kind)) is not None
        )

    def evidence(
        self, window: ClosedWindow, found: Judged, finding: Finding, log: EventLog
    ) -> Mapping[str, Any]:
        del window, log
        version, _ = parse_subject(_version_part(found.subject))
        return {
            "first_window": finding.since,
            **found.detail,
            "last_good": {"version": version, "before": finding.since},
        }

    def begin_anew(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        kind = _kind_of(cause)
        return {
            subject: replace(
                row, rates={m: r.anew() if _KINDS[m] is kind else r for m, r in row.rates.items()}
            )
            for subject, row in _alarmed(rows, cause).items()
        }

    def accept(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        """What is usual is learned anew."""
        kind = _kind_of(cause)
        return {
            subject: replace(
                row, rates={m: r for m, r in row.rates.items() if _KINDS[m] is not kind}
            )
            for subject, row in _alarmed(rows, cause).items()
        }

    def about(self, subject: str) -> str:
        if not subject:
            return self.title
        version, _ = parse_subject(_version_part(subject))
        measure = _WORDS.get(subject.rpartition("#")[2], "")
        return f"stand-in of version {version}" + (f": {measure}" if measure else "")

    def about_cause(self, cause: Cause) -> str:
        return f"stand-in of version {cause.subject}"


def stands_in_for(file: ModelFile, live: Deployment) -> str:
    """What would answer first in the champion's place, as far as the file and what is live tell;
    which version lacks a source is not known here, so that step stands for itself."""
    found: list[Any] = []
    constants: list[Any] = []
    for step in file.serve.fallback:
        if step == "previous":
            version = live.previous
        elif isinstance(step, Mapping) and "version" in step:
            version = str(step["version"])
        elif isinstance(step, Mapping) and "without" in step:
            found.append(step)
            continue
        else:
            constants.append(step)
            continue
        if version and version != live.champion:
            return msgspec.json.encode([*found, {"version": version}]).decode()
    return msgspec.json.encode([*found, *constants]).decode()


def _why_over(window: ClosedWindow, subject: str, row: StandInRow) -> str:
    """Why nothing is to be said any more of a version of which no row was compared; "" where there
    is."""
    version, _ = parse_subject(subject)
    if not is_live(subject, window.live):
        return f"version {version} is the champion no more"
    if not window.file.serve.fallback:
        return f"nothing stands in for version {version} any more"
    since = [s for kind in (STAND_IN, STAND_IN_SILENT) if (s := row.since(kind)) is not None]
    if not since:
        return ""
    span_s = _SPANS * window.policy.drift_over_s
    if window.end - max(row.compared_at, *since) <= span_s:
        return ""
    return f"no row of version {version} was compared with its stand-in for {_days(span_s)}"


def _days(seconds: float) -> str:
    return f"{seconds / _DAY_S:,.3g} days" if seconds >= _DAY_S else f"{seconds / 3_600.0:,.3g} h"


def verdict_subjects(version: str, arm: str) -> list[str]:
    """What the verdicts on a version's stand-in are on."""
    return [f"{subject_of(version, arm)}#{measure}" for measure in _WORDS]


def _version_part(subject: str) -> str:
    own, sign, _ = subject.rpartition("#")
    return own if sign else subject


def _measures(file: ModelFile) -> tuple[str, ...]:
    decides = make_task(file.contract.task).decides
    return (SILENT, ANOTHER, DIFFERENCE) if decides else (SILENT, DIFFERENCE)


def stand_in_policy(alarm_at: float, before: RateState, measure: str) -> RatePolicy:
    """By what is usual of the stand-in. Few rows of a window are compared, and each is a request of
    its own: none is too few to count, and no rows share their fate until that is seen."""
    unknown = _UNKNOWN_SILENT if measure == SILENT else _ALL
    allowed = _usual_and_more(before.dispersion, unknown)
    return RatePolicy(allowed, alarm_at, CODES, _WORDS[measure], min_seen=1, clustered=1.0,
                      known_from=_KNOWN)  # fmt: skip


def _usual_and_more(known: Dispersion, unknown: float) -> float:
    """What is usual at most, as far as so few rows tell, and a rise; ``unknown`` where too few
    do."""
    rows = round(known.rows)
    if rows < _KNOWN:
        return unknown
    _, upper = share_bounds(round(known.bad), rows, _LEVEL)
    return upper + _RISE if upper + _RISE <= _MOST else _ALL


def _as_one(judged: Sequence[Judged], before: StandInRow, row: StandInRow) -> list[Judged]:
    """A cause begins with the first of its measures that sounds and ends with the last."""
    kinds = {kind.name: kind for kind in _KINDS.values()}
    was = {name: before.since(kind) for name, kind in kinds.items()}
    told = {
        name for name, kind in kinds.items() if (was[name] is None) == (row.since(kind) is None)
    }
    out: list[Judged] = []
    for one in judged:
        kept: list[Finding] = []
        for found in one.findings:
            name = found.cause.kind.name
            if name in told:
                continue
            told.add(name)
            since = was[name]
            kept.append(
                replace(found, severity=Severity.MEDIUM)
                if since is None
                else replace(found, since=since)
            )
        out.append(replace(one, findings=tuple(kept)))
    return out


def _detail(answers: Answers, measure: str, policy: RatePolicy) -> dict[str, Any]:
    counts = answers.stand_in
    shares = {
        "silent_share": counts.silent_share,
        "another_class_share": counts.another_share,
        "mean_difference": counts.difference,
    }
    return {
        "version": answers.version,
        "arm": answers.arm,
        "measure": _WORDS[measure],
        "allowed": round(policy.allowed, 6),
        "compared": counts.compared,
        **{name: None if share is None else round(share, 6) for name, share in shares.items()},
    }


def _alarmed(rows: StateRows, cause: Cause) -> dict[str, StandInRow]:
    return {
        subject: row
        for subject, row in read_rows(rows, StandInRow).items()
        if row.since(_kind_of(cause)) is not None and is_about(subject, cause)
    }


def _kind_of(cause: Cause) -> CauseKind:
    return STAND_IN_SILENT if cause.kind.name == STAND_IN_SILENT.name else STAND_IN

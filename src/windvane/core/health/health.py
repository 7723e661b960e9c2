"""One word for how a model is, from what was observed, with a code and the sentence behind it.

Not knowing is a word of its own: what is not watched, not measured, not scored or has too few rows
never reads "healthy".
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from windvane.core.health.dependencies import SILENT_AFTER_S


class Tone(enum.StrEnum):
    """How loud a word is, loudest first; each has a sign beside its colour."""

    BAD = "bad"
    WARN = "warn"
    BUSY = "busy"
    QUIET = "quiet"
    GOOD = "good"


@dataclass(frozen=True, slots=True)
class Health:
    """``word`` to read at a glance, a stable ``code``, ``why`` in one sentence."""

    word: str
    tone: Tone
    code: str
    why: str


_LEAST_MISSING, _SHARE_MISSING = 20, 0.1


@dataclass(frozen=True, slots=True)
class Watching:
    """What watches a model, as it was seen. Times in seconds.

    ``recorded_ago`` and ``judged_ago``: how far the recorder and the steward are behind, None
    where they never were there. ``late_after`` is how far is late. ``steward``: whether one holds
    the model's lease. ``silent_for``: how long no recorder at all gave a sign, 0.0 while one does;
    ``missing`` names a spool that nobody has seen for a while, and for how long, "" for none.
    ``begun``: a recorder was seen, if nothing is recorded yet.
    """

    recorded_ago: float | None
    judged_ago: float | None
    late_after: float
    steward: bool
    silent_for: float = 0.0
    missing: str = ""
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Traffic:
    """Of the last ``windows``: rows that were answered, owed but not answered, and answered by a
    fallback, and requests that were refused; and whether there ever was any before. The last two
    are of the newest window that has rows, which may be open."""

    answered: int
    unanswered: int
    fell_back: int
    before: bool
    windows: int
    refused: int = 0
    newest_answered: int = 0
    newest_unanswered: int = 0


@dataclass(frozen=True, slots=True)
class Trouble:
    """An open incident or a verdict that asks for a look: what it says, how urgent it is."""

    why: str
    urgent: bool


@dataclass(frozen=True, slots=True)
class HealthFacts:
    """Everything that was observed of a model. ``unservable`` says why its champion cannot
    answer, "" if it can; ``off``: a person turned it off; ``hold`` why nothing could be judged,
    "" if it could; ``not_scored`` why the answers are not compared with their outcomes though the
    model's file has a floor for them, "" if they are."""

    live: bool
    watching: Watching
    traffic: Traffic
    off: bool = False
    troubles: Sequence[Trouble] = ()
    unservable: str = ""
    standing_in: str = ""
    not_measured: str = ""
    hold: str = ""
    learning: str = ""
    drifting: str = ""
    rolling_out: str = ""
    passed: str = ""
    not_scored: str = ""


def judge_health(facts: HealthFacts) -> Health:
    """The loudest word that what was observed allows, of equals the one that explains the others;
    "healthy" only if something was judged and nothing of the rest holds."""
    if not facts.live:
        return Health("not live", Tone.QUIET, "HLT-101", "no version is deployed")
    if facts.off:
        return Health(
            "turned off", Tone.WARN, "HLT-503", "nobody is answered until it is turned on"
        )
    found = [health for rule in _RULES if (health := rule(facts)) is not None]
    loud = list(Tone)
    return min(
        found,
        key=lambda health: loud.index(health.tone),
        default=Health("healthy", Tone.GOOD, "HLT-100", facts.passed),
    )


def _down(f: HealthFacts) -> Health | None:
    t = f.traffic
    if t.unanswered and not t.answered:
        why = f"none of {t.unanswered:,} rows was answered in the last {t.windows} windows"
        why += f": {f.unservable}" if f.unservable else ""
        return Health("down", Tone.BAD, "HLT-501", why)
    owed = t.newest_answered + t.newest_unanswered
    if t.newest_unanswered >= max(_LEAST_MISSING, _SHARE_MISSING * owed):
        why = f"{t.newest_unanswered:,} of {owed:,} rows of the newest window were not answered"
        return Health("answers missing", Tone.BAD, "HLT-504", why)
    if f.unservable and not (_falls_back(t) and not t.newest_unanswered):
        return Health("cannot answer", Tone.BAD, "HLT-502", f.unservable)
    return None


def _not_watched(f: HealthFacts) -> Health | None:
    w = f.watching
    if w.recorded_ago is None and not w.begun:
        return Health("not watched", Tone.BAD, "HLT-401", "no recorder was ever seen")
    if w.silent_for > SILENT_AFTER_S:
        why = f"no recorder gave a sign for {_span(w.silent_for)}: is it running?"
        return Health("not watched", Tone.BAD, "HLT-402", why)
    if w.recorded_ago is None:
        why = "nothing is recorded yet: has the recorder just begun?"
        return Health("not watched", Tone.BAD, "HLT-402", why)
    if w.recorded_ago > w.late_after:
        why = f"nothing was recorded for {_span(w.recorded_ago)}: is the recorder running?"
        return Health("not watched", Tone.BAD, "HLT-402", why)
    if not w.steward:
        return Health("not watched", Tone.BAD, "HLT-403", "no steward is running")
    if w.judged_ago is not None and w.judged_ago > w.late_after:
        why = f"no window was judged for {_span(w.judged_ago)}: the steward is behind"
        return Health("not watched", Tone.WARN, "HLT-404", why)
    return None


def _partly_watched(f: HealthFacts) -> Health | None:
    if not f.watching.missing:
        return None
    return Health("partly watched", Tone.WARN, "HLT-406", f.watching.missing)


def _failing(f: HealthFacts) -> Health | None:
    urgent = next((t for t in f.troubles if t.urgent), None)
    return Health("failing", Tone.BAD, "HLT-301", urgent.why) if urgent else None


def _standing_in(f: HealthFacts) -> Health | None:
    if not f.standing_in:
        return None
    return Health("standing in", Tone.WARN, "HLT-302", f.standing_in)


def _falls_back(t: Traffic) -> bool:
    return 2 * t.fell_back > t.answered


def _falling_back(f: HealthFacts) -> Health | None:
    t = f.traffic
    if not _falls_back(t):
        return None
    why = f"{t.fell_back:,} of {t.answered:,} rows were answered by a fallback"
    why += f": {f.unservable}" if f.unservable else ""
    return Health("falling back", Tone.WARN, "HLT-303", why)


def _needs_a_look(f: HealthFacts) -> Health | None:
    if not f.troubles:
        return None
    return Health("needs a look", Tone.WARN, "HLT-201", f.troubles[0].why)


def _not_measured(f: HealthFacts) -> Health | None:
    if not f.not_measured:
        return None
    return Health("not measured", Tone.WARN, "HLT-202", f.not_measured)


def _no_traffic(f: HealthFacts) -> Health | None:
    t = f.traffic
    if t.answered or t.unanswered:
        return None
    if t.refused:
        why = f"all of {t.refused:,} requests were refused in the last {t.windows} windows"
        return Health("all refused", Tone.WARN, "HLT-205", why)
    if t.before:
        why = f"no requests in the last {t.windows} windows, and there were some before"
        return Health("no traffic", Tone.WARN, "HLT-203", why)
    return Health("no traffic yet", Tone.QUIET, "HLT-102", "no request was ever recorded")


def _not_scored(f: HealthFacts) -> Health | None:
    t = f.traffic
    # Where nobody ever asked, no outcome is owed.
    if not f.not_scored or not (t.answered or t.unanswered or t.before):
        return None
    return Health("not scored", Tone.WARN, "HLT-206", f.not_scored)


def _drifting(f: HealthFacts) -> Health | None:
    if not f.drifting:
        return None
    return Health("drifting", Tone.BUSY, "HLT-204", f.drifting)


def _rolling_out(f: HealthFacts) -> Health | None:
    if not f.rolling_out:
        return None
    return Health("rolling out", Tone.BUSY, "HLT-103", f.rolling_out)


def _not_judged(f: HealthFacts) -> Health | None:
    if f.hold:
        return Health("too few rows", Tone.QUIET, "HLT-104", f.hold)
    if f.learning or not f.passed:
        why = f.learning or "no window was judged yet"
        return Health("learning", Tone.QUIET, "HLT-105", why)
    return None


# What explains others comes before them.
_RULES: tuple[Callable[[HealthFacts], Health | None], ...] = (
    _down, _not_watched, _failing, _standing_in, _falling_back, _partly_watched,
    _needs_a_look,
    _not_measured, _no_traffic, _not_scored, _drifting, _rolling_out, _not_judged,
)  # fmt: skip


def _span(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2.0 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"

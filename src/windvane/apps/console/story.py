"""An incident's timeline: what began, what was told, what was decided and done."""

from __future__ import annotations

from dataclasses import dataclass

from windvane.apps.console.reading import IncidentPage
from windvane.apps.console.traffic import Tally, TrafficSeries
from windvane.core.alerting import CANARY
from windvane.core.journal import Decision
from windvane.ports.control_store import Deployment
from windvane.usecases.observe_health import RECENT_WINDOWS
from windvane.usecases.replay_decision import JUDGES

_WORTH_SAYING = 0.01
_OFF = "it is turned off: nobody is answered"


@dataclass(frozen=True, slots=True)
class Moment:
    """One time on the timeline: its lines, and the decision behind them."""

    at: float
    lines: tuple[str, ...]
    decision: str
    judged: Decision | None
    sort: str

    @property
    def replayable(self) -> bool:
        return self.judged is not None and self.judged.judge in JUDGES


def story_of(page: IncidentPage) -> list[Moment]:
    """Oldest first. ``sort`` is began, reported, then or closed; lines of one act are together."""
    incident = page.incident
    out: list[Moment] = []
    if incident.since < incident.opened_at:
        canary = incident.kind == CANARY.name
        line = "the rollout began" if canary else "the first window that shows it began"
        out.append(Moment(incident.since, (line,), "", None, "began"))
    for note in page.notes:
        last = out[-1] if out else None
        if last and last.sort != "began" and (last.at, last.decision) == (note.at, note.decision):
            lines = (*last.lines, note.what)
            out[-1] = Moment(last.at, lines, last.decision, last.judged, last.sort)
            continue
        sort = "then"
        if note.at == incident.opened_at:
            sort = "reported"
        elif note.at == incident.closed_at:
            sort = "closed"
        judged = page.decisions.get(note.decision)
        out.append(Moment(note.at, (note.what,), note.decision, judged, sort))
    return out


def answered_otherwise(line: TrafficSeries, live: Deployment | None) -> str:
    """How many rows of the newest window that has some were not answered by the version that should
    have; "" where hardly any, or none at all."""
    if live is None:
        return ""
    if live.off:
        return _OFF
    return _of_newest(line.newest(RECENT_WINDOWS))


def _of_newest(tally: Tally) -> str:
    """What became of the rows of a window, where it is not what should; "" else."""
    if tally.unanswered and not tally.rows:
        rows = f"none of {tally.unanswered:,} rows of the newest window was answered"
        return f"nobody is answered: {rows}"
    ways = (
        (tally.total("fell_back"), "were answered by a fallback"),
        (tally.unanswered, "were not answered"),
    )
    words = [f"{n:,} {how}" for n, how in ways if n and n >= _WORTH_SAYING * tally.owed]
    rows = f"of {tally.owed:,} rows of the newest window"
    return f"{rows} {' and '.join(words)}" if words else ""


def answered_now(page: IncidentPage) -> str:
    """What is seen at this moment, and what protects users, in a sentence; "" where the incident is
    over or nothing is live."""
    live: Deployment | None = page.live
    if live is None or page.incident.closed_at is not None:
        return ""
    if page.watched:
        return f"version {live.champion} is watched here; another service answers"
    if live.off:
        return _OFF
    seen = _of_newest(page.newest)
    if seen and not page.newest.rows:  # whoever should answer does not
        return seen
    own = _of_tenant(live, page.incident.cause.partition(":")[2])
    others = _who_answers(live, seen)
    if own:
        others = others.replace("everyone", "everyone else")
    return "; ".join(filter(None, (own, others, seen)))


def _of_tenant(live: Deployment, tenant: str) -> str:
    version = live.stand_ins.get(tenant)
    return f"version {version} answers tenant {tenant}" if version else ""


def _who_answers(live: Deployment, seen: str) -> str:
    """By the deployment; ``seen`` is what speaks against it, "" for nothing."""
    if live.standing_in:
        broken = ", ".join(live.broken_views)
        why = f", until {broken} is healthy again" if broken else ""
        return f"version {live.standing_in} stands in for version {live.champion}{why}"
    if live.challenger:
        return f"version {live.champion} answers, version {live.challenger} {live.share:.0%}"
    answers = "should answer" if seen else "answers"
    return f"version {live.champion} {answers} everyone"

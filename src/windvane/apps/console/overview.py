"""The list of models: as many as there are, with a bounded number of queries.

How each model is takes much to read, so of a long list only those on the page are observed
closely, with as many queries as one of them takes. The others are ranked by what is cheap:
deployments and open incidents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from windvane.apps.console.memory import Memory
from windvane.apps.console.reading import (
    GLANCE_WINDOWS,
    Glance,
    make_glance,
    read_recorded_until,
    shown_file,
)
from windvane.apps.console.tables import PER_PAGE, Paged, paged, search
from windvane.apps.console.traffic import grid, series
from windvane.core.health import Tone
from windvane.ports.control_store import Deployment, Incident, ModelRecord, Tx
from windvane.usecases.observe_health import is_urgent, load_evidence
from windvane.usecases.read_model_file import ModelFile, parse_duration

# How a model stands, worst first.
URGENT, INCIDENT, STANDING_IN, ROLLING_OUT, STEADY, NOT_LIVE = (
    "urgent", "incident", "standing in", "rolling out", "steady", "not live",
)  # fmt: skip
TONES: Mapping[str, Tone] = {
    URGENT: Tone.BAD,
    INCIDENT: Tone.WARN,
    STANDING_IN: Tone.WARN,
    ROLLING_OUT: Tone.BUSY,
    STEADY: Tone.GOOD,
    NOT_LIVE: Tone.QUIET,
}


@dataclass(frozen=True, slots=True)
class ModelsAsked:
    """Which models, each "" for all: ``q`` is searched for in names and owners, ``team`` owns them,
    ``state`` is one of ``TONES``."""

    q: str = ""
    team: str = ""
    state: str = ""
    page: str = ""

    def query(self) -> dict[str, str]:
        return {"q": self.q, "team": self.team, "state": self.state}

    @property
    def narrowed(self) -> bool:
        return any(self.query().values())


@dataclass(frozen=True, slots=True)
class Listed:
    """A model as far as all are read at once."""

    record: ModelRecord
    file: ModelFile
    live: Deployment | None
    incidents: tuple[Incident, ...]

    @property
    def state(self) -> str:
        if any(is_urgent(i) for i in self.incidents):
            return URGENT
        if self.incidents:
            return INCIDENT
        if self.live is None:
            return NOT_LIVE
        if self.live.standing_in:
            return STANDING_IN
        return ROLLING_OUT if self.live.challenger else STEADY


@dataclass(frozen=True, slots=True)
class Overview:
    """The first page. ``page`` are the models that fit, worst first, of which ``glances`` are those
    that are shown; ``open_incidents`` and ``states`` are of all that one may see, whatever was
    asked."""

    page: Paged[Listed]
    glances: tuple[Glance, ...]
    open_incidents: tuple[Incident, ...]
    recorded: float | None
    states: Mapping[str, int]
    teams: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether every model was observed closely."""
        return len(self.glances) == sum(self.states.values())


def load_overview(
    tx: Tx,
    now: float,
    wall: float,
    memory: Memory,
    asked: ModelsAsked | None = None,
    visible: Callable[[ModelFile], bool] = lambda _: True,
    per_page: int = PER_PAGE,
) -> Overview:
    """Of the models that are ``visible`` those that fit, of which one page is observed closely."""
    asked = asked or ModelsAsked()
    everything = _listed(tx, visible)
    fitting = [
        one
        for one in search(everything, asked.q, _words)
        if (not asked.team or one.file.owner.team == asked.team)
        and (not asked.state or one.state == asked.state)
    ]
    order = list(TONES)
    fitting.sort(key=lambda one: (order.index(one.state), one.record.name))
    shown = paged(fitting, asked.page, "/", asked.query(), per_page)
    recorded = read_recorded_until(tx, wall, memory)
    seen = memory.observe(tx, wall)
    grids = {
        one.record.name: grid(now, parse_duration(one.file.watch.window), GLANCE_WINDOWS, recorded)
        for one in shown.rows
    }
    live = {one.record.name: one.live for one in shown.rows}
    lines = memory.series(tx, {n: given for n, given in grids.items() if live[n]}, wall)
    evidence = load_evidence(tx, live)
    glances = [
        make_glance(
            one.record, one.live, lines.get(name) or series((), grids[name]), one.incidents, seen,
            evidence[name], now,
        )
        for one in shown.rows
        for name in (one.record.name,)
    ]  # fmt: skip
    return Overview(
        page=shown,
        glances=tuple(glances),
        open_incidents=tuple(i for one in everything for i in one.incidents),
        recorded=recorded,
        states=Counter(one.state for one in everything),
        teams=tuple(sorted({one.file.owner.team for one in everything})),
    )


def _listed(tx: Tx, visible: Callable[[ModelFile], bool]) -> list[Listed]:
    """Three queries, however many models there are."""
    live = {one.model: one for one in tx.deployments()}
    opened: dict[str, list[Incident]] = {}
    for incident in tx.open_incidents():
        opened.setdefault(incident.model, []).append(incident)
    records = [(record, shown_file(record)) for record in tx.models()]
    return [
        Listed(record, file, live.get(record.name), tuple(opened.get(record.name, ())))
        for record, file in records
        if visible(file)
    ]


def _words(one: Listed) -> Sequence[str]:
    return (one.record.name, one.file.owner.team, one.file.owner.contact)

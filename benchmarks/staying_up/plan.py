"""How long and how often, and what every part works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from results import Measure
from serving.load import Load

from .answers import Answers, Seen
from .homes import Home
from .load import Loader

WARM_S = 1.0
"""The first second of every stream is sent and not counted."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Seconds of each load, and how often it alternates with its baseline; the median of the
    turns' ratios counts, for a machine's pace changes from one turn to the next."""

    repeats: int = 7
    neighbours: int = 12
    neighbour_s: float = 4.0
    closed_s: float = 3.0
    overload_s: float = 8.0
    beside_s: float = 8.0
    swaps: int = 3
    calm_s: float = 6.0
    restart_s: float = 20.0
    budget_s: float = 6.0


QUICK = Plan(
    repeats=1,
    neighbours=1,
    swaps=1,
    neighbour_s=4.0,
    closed_s=2.0,
    overload_s=5.0,
    beside_s=4.0,
    calm_s=3.0,
    restart_s=14.0,
    budget_s=4.0,
)


@dataclass(frozen=True, slots=True)
class Bench:
    """``folder`` is scratch; ``say`` tells how far it is."""

    folder: Path
    home: Home
    loader: Loader
    plan: Plan
    say: Callable[[str], None]

    def scratch(self, name: str) -> Path:
        made = self.folder / name
        made.mkdir()
        return made


@dataclass(frozen=True, slots=True)
class Found:
    """What a part measured: held to bounds, and seen. ``others``: for each load, the share of
    the servers' core that went to processes which are none of ours."""

    measures: list[Measure] = field(default_factory=list[Measure])
    seen: list[Seen] = field(default_factory=list[Seen])
    others: list[float] = field(default_factory=list[float])

    def add(self, more: Found) -> None:
        self.measures.extend(more.measures)
        self.seen.extend(more.seen)
        self.others.extend(more.others)


def counted(answers: Answers, seconds: float) -> Answers:
    """Those due in the ``seconds`` after the warm-up."""
    return answers.between(WARM_S, WARM_S + seconds)


def seen_closed(part: str, case: str, load: Load) -> Seen:
    """What wrk saw: any other status than 2xx counts as refused."""
    return Seen(
        part, case, load.rps, (load.answered - load.not_2xx) / max(load.answered, 1) * load.rps,
        load.p50_ms, load.p99_ms, load.max_ms, load.not_2xx, 0, load.broken,
        load.stolen,
    )  # fmt: skip

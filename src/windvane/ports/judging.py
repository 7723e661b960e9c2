"""How far windows are judged, and what monitors carry from one to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class MonitorState:
    """What a monitor carries of a subject; ``at`` is the start of the window it was left by."""

    model: str
    monitor: str
    subject: str
    at: float
    alarmed: bool
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LearnedState:
    """What a monitor learned of a subject: too large to be read with its state in every window."""

    model: str
    monitor: str
    subject: str
    packed: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a model's windows are judged: from ``began`` to ``until``; the next one is due once
    every spool is read up to ``due_at`` (business time, s). ``revision`` grows with every change
    of what the monitors carry."""

    model: str
    began: float
    until: float
    due_at: float
    revision: int = 0


class Judging(Protocol):
    def due_models(self, read_until: float) -> list[str]:
        """Deployed models that have a window to judge, or may: those never judged are among
        them. ``read_until`` is how far every spool was read (business time, s)."""
        ...

    def first_windows(self, since: Mapping[str, float]) -> Mapping[str, float]:
        """Start of the earliest window of each model that has one at or after its time."""
        ...

    def progress(self, models: Sequence[str]) -> Mapping[str, Progress]: ...
    def put_progress(self, progress: Sequence[Progress]) -> None: ...
    def monitor_states(self, models: Sequence[str]) -> list[MonitorState]: ...
    def put_monitor_states(self, states: Sequence[MonitorState]) -> None: ...
    def drop_monitor_states(self, keys: Sequence[tuple[str, str, str]]) -> None:
        """Forget states by (model, monitor, subject), and what was learned of them."""
        ...

    def learned_states(
        self, model: str, monitor: str, subjects: Sequence[str]
    ) -> Mapping[str, bytes]:
        """What a monitor learned, packed, by those of the subjects of which it is kept."""
        ...

    def put_learned_states(self, learned: Sequence[LearnedState]) -> None:
        """In the place of what was kept; each has a state, and goes with it."""
        ...

    def forget_judging(self, model: str) -> None:
        """How far the model's windows are judged, and what its monitors carry."""
        ...

    def prune_monitor_states(self, before: float, limit: int) -> int:
        """Forget at most ``limit`` states that were left before, unless their alarm is open."""
        ...

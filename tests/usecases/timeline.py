"""Windows in a row, as a test writes them down and reads them back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from usecases.harness import MODEL, Harness

from windvane.ports.control_store import Incident, WindowVerdict


def play(harness: Harness, windows: Sequence[dict[str, Any]], first: int = 0) -> None:
    """Traffic of each window, judged as soon as it is closed."""
    for i, window in enumerate(windows, start=first):
        harness.traffic(i, **window)
        assert harness.judge()


def verdicts(harness: Harness, monitor: str) -> list[WindowVerdict]:
    """Oldest first."""
    with harness.store.read() as tx:
        return list(reversed(tx.verdicts(MODEL, monitor, 0.0, 10_000)))


def outcomes(harness: Harness, monitor: str) -> str:
    """One letter a window."""
    return "".join(v.outcome[0].upper() for v in verdicts(harness, monitor))


def only(harness: Harness, cause: str) -> Incident:
    (found,) = [i for i in harness.incidents() if i.cause == cause]
    return found


QUIET: dict[str, Any] = {}
NULLS: dict[str, Any] = {"nulls": 0.9}
CELSIUS: dict[str, Any] = {"celsius": True}
GARBAGE: dict[str, Any] = {"refused": {"UA": 60}}
FAILING: dict[str, Any] = {"failed": 60}

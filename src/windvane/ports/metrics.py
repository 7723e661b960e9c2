"""How counts get from the gateway's workers to whoever shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import msgspec

OTHER = "(other)"
"""The label of what is beyond the bound on a label's values, all of it together."""


class Series(msgspec.Struct, frozen=True, array_like=True):
    """One metric of one worker: its name without the prefix, its kind (``counter``,
    ``gauge`` or ``histogram``), what it says, its labels and its values by label values.

    A histogram's value is its counts by bucket (one more than ``edges``) and then its sum.
    """

    name: str
    kind: str
    text: str
    labels: tuple[str, ...]
    values: list[tuple[tuple[str, ...], list[float]]]
    edges: tuple[float, ...] = ()


class MetricsBoard(Protocol):
    """Each worker's latest counts. A worker that starts goes on from its predecessor's
    counters, so that no counter falls when a worker is replaced."""

    def post(self, worker: str, series: Sequence[Series]) -> None:
        """Replace what ``worker`` posted before."""
        ...

    def posted(self, within_s: float = math.inf) -> dict[str, list[Series]]:
        """The latest of every worker that posted ``within_s`` seconds, by its name."""
        ...

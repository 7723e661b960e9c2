"""Making a version's file cheaper to execute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, Protocol

from windvane.core.errors import WindvaneError
from windvane.core.execution import Optimization, ServedBy


class CannotOptimize(WindvaneError):
    """The version's file cannot be made cheaper in this way; the message says why."""

    code: ClassVar[str] = "OPT-101"
    hint = "`windvane profile MODEL:VERSION` says which ways there are"


class Optimizer(Protocol):
    """One runtime's. ``body`` is the file that ``served`` names."""

    def cast(self, body: bytes, served: ServedBy, how: Optimization) -> bytes:
        """The model with its weights in fewer bits. Raises CannotOptimize."""
        ...

    def rounds(self, body: bytes, served: ServedBy) -> int:
        """How many rounds of trees are used. Raises CannotOptimize where there are none."""
        ...

    def prune(self, body: bytes, served: ServedBy, rounds: int) -> tuple[bytes, ServedBy]:
        """The model with its first ``rounds`` rounds of trees, at least one. Raises
        CannotOptimize."""
        ...


class RoundsOptimizer:
    """The port on a file of boosted trees that its ``library`` reads whole and uses in part:
    ``count`` says how many rounds a file has. The file stays as it is."""

    def __init__(self, library: str, count: Callable[[bytes], int]) -> None:
        self._library = library
        self._count = count

    def cast(self, body: bytes, served: ServedBy, how: Optimization) -> bytes:
        del body, served
        raise CannotOptimize(
            f"{how.value} of boosted trees: {self._library} has none, and thresholds that are cast "
            "move the splits",
            hint="--prune uses fewer of its trees",
        )

    def rounds(self, body: bytes, served: ServedBy) -> int:
        total = self._count(body)
        return min(served.rounds or total, total)

    def prune(self, body: bytes, served: ServedBy, rounds: int) -> tuple[bytes, ServedBy]:
        return body, replace(served, rounds=rounds)

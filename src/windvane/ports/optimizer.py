"""Making a version's file cheaper to execute."""

from __future__ import annotations

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

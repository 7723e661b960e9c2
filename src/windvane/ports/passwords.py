"""Turning passwords into what may be stored."""

from __future__ import annotations

from typing import Protocol


class PasswordHasher(Protocol):
    def hash(self, password: str) -> str:
        """A salted hash that is slow to search, with its parameters in it. Takes tens of
        milliseconds and megabytes of memory: call it off a loop, few at a time."""
        ...

    def verify(self, stored: str, password: str) -> bool:
        """Whether ``password`` is that of ``stored``. For "" (nobody's) and for what cannot be
        read it is False after the same work, so that time does not tell which users exist."""
        ...

    def is_outdated(self, stored: str) -> bool:
        """Whether ``stored`` was made with weaker parameters than ``hash`` uses now."""
        ...

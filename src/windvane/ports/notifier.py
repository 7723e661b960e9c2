"""Telling people."""

from __future__ import annotations

from typing import Protocol


class Notifier(Protocol):
    def send(self, key: str, title: str, body: str) -> None:
        """Tell once; a repeated ``key`` is not told again. Raises on failure."""
        ...

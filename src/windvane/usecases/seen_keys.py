"""Which requests were recorded lately, so that one that is repeated is recorded once."""

from __future__ import annotations

from collections.abc import Iterable


class SeenKeys:
    """The latest dedupe keys: at least half of ``limit``, and never more than all of it.

    Two sets, of which the older is dropped when the younger has its half.
    """

    def __init__(self, limit: int = 1_000_000) -> None:
        self.limit = limit
        self._young: set[str] = set()
        self._old: set[str] = set()

    def add(self, key: str) -> bool:
        """False if the key was there already."""
        if key in self._young or key in self._old:
            return False
        if len(self._young) >= max(1, self.limit // 2):
            self._young, self._old = set(), self._young
        self._young.add(key)
        return True

    def forget(self, key: str) -> None:
        """As if it had never been added."""
        self._young.discard(key)
        self._old.discard(key)

    def remember(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.add(key)

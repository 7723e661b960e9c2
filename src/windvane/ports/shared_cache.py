"""Answers kept for all workers and machines, behind each worker's own cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from windvane.core.task import OutputRow


class SharedCache(Protocol):
    """Keys hold tenant, model, version and the input's hash; values are rows of outputs.

    A cache that is slow or gone is an empty one: neither call raises or outlives its deadline.
    """

    async def get_many(self, keys: Sequence[bytes]) -> list[OutputRow | None]:
        """What is held under each key, None where nothing is."""
        ...

    def put_many(self, values: Mapping[bytes, OutputRow], ttl_s: float) -> None:
        """Keep in the background; dropped where too much is on its way already."""
        ...

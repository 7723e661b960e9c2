"""What actions are tried on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from usecases.harness import Harness
from usecases.test_deliver_effects import deliver
from usecases.worlds import Worlds


def learn(harness: Harness) -> None:
    harness.put("1")
    for index in range(12):
        harness.traffic(index)
        harness.judge()
    deliver(harness)


@pytest.fixture
def learnt(worlds: Worlds) -> Iterator[Harness]:
    """Twelve quiet windows, and nothing waits to be told."""
    with worlds.after(learn) as found:
        yield found

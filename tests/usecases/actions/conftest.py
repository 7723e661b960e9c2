"""What actions are tried on."""

from __future__ import annotations

import pytest
from usecases.harness import Harness
from usecases.test_deliver_effects import deliver


@pytest.fixture
def learnt(harness: Harness) -> Harness:
    """Twelve quiet windows, and nothing waits to be told."""
    harness.put("1")
    for index in range(12):
        harness.traffic(index)
        harness.judge()
    deliver(harness)
    return harness

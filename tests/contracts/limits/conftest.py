"""Every law of limits runs on shared memory, alone and with workers, and on a real Valkey."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from contracts.limits.worlds import RedisWorld, SharedWorld, World

WORLDS = ("alone", "workers", "redis")


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "redis":
        made: World = RedisWorld(request.getfixturevalue("valkey").url)
    else:
        made = SharedWorld(solo=request.param == "alone")
    yield made
    made.close()

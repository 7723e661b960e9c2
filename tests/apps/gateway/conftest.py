"""Every story of the gateway is told twice: whole requests go straight, or all go by ASGI."""

from __future__ import annotations

import pytest
from apps.gateway.house import House


@pytest.fixture(autouse=True, params=[True, False], ids=["straight", "asgi"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(House, "straight", request.param)
    return request.param

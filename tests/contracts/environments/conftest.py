"""Wheels, environments and a sandbox that uses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from contracts.environments.wheels import make_wheel

from windvane.adapters.pip import BuildLimits, PipEnvironments
from windvane.adapters.sandbox import Limits, SandboxRuntime

RATE = """
VALUE = {}


class Model:
    def predict(self, rows):
        import numpy as np

        return np.full(len(rows), VALUE)
"""


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of ``rate``, which answers with its own number, and ``needy``, which needs
    it."""
    folder = tmp_path_factory.mktemp("wheels")
    for version, value in (("1.0", 0.25), ("2.0", 0.75)):
        make_wheel(folder, "rate", version, {"rate.py": RATE.format(value)})
    make_wheel(folder, "needy", "1.0", {"needy.py": "import rate\n"}, ["rate>=1"])
    return folder


@pytest.fixture
def environments(tmp_path: Path) -> PipEnvironments:
    return PipEnvironments(tmp_path / "environments", BuildLimits(within_s=120.0))


@pytest.fixture
def runtime(tmp_path: Path, environments: PipEnvironments) -> Iterator[SandboxRuntime]:
    limits = Limits(load_s=120.0, predict_s=60.0, first_wait_s=0.01, last_wait_s=0.02)
    made = SandboxRuntime(limits, tmp_path / "logs", environments=environments)
    yield made
    made.close()

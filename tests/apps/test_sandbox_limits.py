"""Where a version is registered and where it is served, its sandbox has the same limits."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from contracts.runtime.hostile import ROW, model, version
from contracts.runtime.worlds import CONTRACT

from windvane.adapters.files import FileArtifacts
from windvane.adapters.sandbox import Limits
from windvane.apps.gateway import wiring as gateway
from windvane.apps.trainer import wiring as trainer
from windvane.ports.runtime import Predictor, Runtime, RuntimeFailed
from windvane.usecases.read_settings import Settings


def test_they_are_those_of_the_settings() -> None:
    given = Settings(
        sandbox_memory_bytes=1 << 30, sandbox_timeout_s=7.0, sandbox_total_memory=1 << 31,
        sandbox_require=["files"],
    )  # fmt: skip
    assert Limits.of(given) == Limits(
        memory=1 << 30, predict_s=7.0, total_memory=1 << 31, require=frozenset({"files"})
    )
    assert Limits.of(Settings()) == Limits()


def never_ends(rows: Any) -> Any:
    while True:
        len(rows)


@contextmanager
def as_served(settings: Settings) -> Iterator[Runtime]:
    yield gateway.runtimes(settings)


@contextmanager
def as_registered(settings: Settings) -> Iterator[Runtime]:
    with trainer.runtimes_of(settings) as (found, _):
        yield found


@pytest.mark.parametrize("opened", [as_served, as_registered])
def test_an_execution_ends_after_the_seconds_that_are_set(tmp_path: Path, opened: Any) -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    settings = Settings(home=str(tmp_path / "home"), sandbox_timeout_s=0.75)
    manifest = version(tmp_path / "v", model(never_ends))
    artifact = FileArtifacts().open(str(tmp_path / "v"), manifest)
    with opened(settings) as runtime:
        predictor: Predictor = runtime.load(artifact, CONTRACT, trusted=True)
        with pytest.raises(RuntimeFailed, match=r"no answer within 0\.\d+ s"):
            predictor.predict([ROW])
        predictor.close()

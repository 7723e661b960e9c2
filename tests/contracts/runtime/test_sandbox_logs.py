"""What a sandbox says in its log: our own lines as the setting has them, a model's as they are."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from contracts.runtime.hostile import ROW, TIGHT, Calls, load, model, version

from windvane.adapters.sandbox import SandboxRuntime
from windvane.ports.runtime import CannotLoad, RuntimeFailed

KEY = "wv_abcdefgh_0123456789abcdef"


@contextmanager
def runtime_of(logs: Path, form: str) -> Iterator[SandboxRuntime]:
    made = SandboxRuntime(TIGHT, logs, form)
    try:
        yield made
    finally:
        made.close()


def fails_with_a_value(rows: Any) -> Any:
    print(f"row {KEY}", flush=True)
    logging.getLogger("a.library").warning("a library warns of %s", KEY)
    if len(rows) > 1:
        raise ValueError(f"31337.25 is a feature's value in {rows[0]}")
    return np.full(len(rows), 0.5)


def raises_at_load() -> None:
    raise RuntimeError(f"the model's licence {KEY} is over")


def lines_after(
    tmp_path: Path, form: str, thing: Any, use: Callable[[SandboxRuntime, str], None]
) -> list[str]:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    manifest = version(tmp_path / "v", thing)
    with runtime_of(tmp_path / "logs", form) as runtime:
        use(runtime, manifest)
    return (tmp_path / "logs" / f"sandbox-{manifest[:12]}.log").read_text().splitlines()


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_failure_is_told_by_its_place_and_prints_are_kept(tmp_path: Path, form: str) -> None:
    def use(runtime: SandboxRuntime, manifest: str) -> None:
        predictor = load(runtime, tmp_path / "v", manifest, trusted=True)
        with pytest.raises(RuntimeFailed):
            predictor.predict([ROW, ROW])
        predictor.close()

    lines = lines_after(tmp_path, form, model(fails_with_a_value), use)
    assert f"row {KEY}" in lines, "what a model prints is kept as it is"
    ours = [line for line in lines if not line.startswith("row ")]
    assert "31337" not in "\n".join(ours), "a feature's value"
    assert KEY not in "\n".join(ours)
    assert any("a library warns of wv_abcdefgh_***" in line for line in ours)
    if form == "text":
        assert any("ERROR the version failed: ValueError at" in line for line in ours)
        return
    told = [json.loads(line) for line in ours]
    assert {one["process"][:8] for one in told} == {"sandbox-"}
    (failed,) = [one for one in told if one["level"] == "error"]
    assert failed["message"].startswith("the version failed: ValueError at ")
    assert "fails_with_a_value" in failed["message"]
    assert failed["logger"] == "windvane.apps.sandbox.serve"


def test_what_does_not_load_says_why_in_its_log(tmp_path: Path) -> None:
    """No request is there yet, so no value of one."""

    def use(runtime: SandboxRuntime, manifest: str) -> None:
        with pytest.raises(CannotLoad):
            load(runtime, tmp_path / "v", manifest, trusted=True)

    lines = lines_after(tmp_path, "json", Calls(raises_at_load), use)
    (failed,) = [one for one in map(json.loads, lines) if one["level"] == "error"]
    assert failed["message"] == "the version does not load"
    assert failed["error"] == "RuntimeError"
    assert "licence wv_abcdefgh_*** is over" in failed["trace"]
    assert "raises_at_load" in failed["trace"]

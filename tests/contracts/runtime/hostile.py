"""Versions of one input whose model does what a test says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
from contracts.runtime.worlds import CONTRACT, seal

from windvane.adapters.files import FileArtifacts
from windvane.adapters.sandbox import Limits, SandboxRuntime
from windvane.core.execution import RuntimeName, ServedBy
from windvane.core.signature import InputSpec
from windvane.ports.runtime import Predictor

ROW = [1.0]
TIGHT = Limits(
    memory=1 << 30, file_bytes=1 << 20, load_s=40.0, predict_s=2.0,
    first_wait_s=0.02, last_wait_s=0.1,
)  # fmt: skip


def version(folder: Path, thing: Any) -> str:
    """A pickle of ``thing`` as a version with one input; its manifest."""
    folder.mkdir(exist_ok=True)
    (folder / "model.pkl").write_bytes(cloudpickle.dumps(thing))
    return seal(folder, ServedBy(RuntimeName.SKLEARN, "model.pkl"), [InputSpec("real")])


def load(runtime: SandboxRuntime, folder: Path, manifest: str, *, trusted: bool) -> Predictor:
    opened = FileArtifacts().open(str(folder), manifest)
    return runtime.load(opened, CONTRACT, trusted=trusted)


class Calls:
    """Calls what it likes while it is unpickled."""

    def __init__(self, what: Callable[..., Any], *given: Any) -> None:
        self.what, self.given = what, given

    def __reduce__(self) -> Any:
        return self.what, self.given


def model(does: Callable[[Any], Any]) -> Any:
    """A model whose prediction is what ``does`` gives; pickled by value."""

    class Hostile:
        def predict(self, rows: Any) -> Any:
            return does(rows)

    return Hostile()

"""Loading a version by the runtime that its own folder names."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from windvane.core.execution import RuntimeName
from windvane.core.task import Contract, Outputs, make_task
from windvane.ports.artifacts import Artifact
from windvane.ports.runtime import CannotLoad, Predictor, RemotePredictor, Runtime, read_served

_AT_ONCE = 1_000


class BlockingPredictor:
    """A remote version for who may wait: one execution at a time, within ``within_s``."""

    blocking = True

    def __init__(self, remote: RemotePredictor, within_s: float = 60.0) -> None:
        self._remote = remote
        self._within_s = within_s
        self._runner = asyncio.Runner()
        self.memory = remote.memory
        self.encode = remote.encode

    def predict(self, rows: Sequence[Sequence[Any]]) -> Outputs:
        """Raises TimeoutError, RuntimeFailed."""
        return self._runner.run(self._remote.predict_async(rows, self._within_s))

    def close(self) -> None:
        async def end() -> None:
            self._remote.close()
            await asyncio.sleep(0)  # what it leaves to the loop begins
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*rest, return_exceptions=True)

        self._runner.run(end())
        self._runner.close()


def load_to_ask(
    runtimes: Runtime, artifact: Artifact, contract: Contract, *, trusted: bool
) -> Predictor:
    """A version for who may wait for it, wherever it runs. Raises as `Runtime.load`."""
    found = runtimes.load(artifact, contract, trusted=trusted)
    return BlockingPredictor(found) if isinstance(found, RemotePredictor) else found


def answer_encoded(
    predictor: Predictor, contract: Contract, rows: Sequence[Sequence[Any]]
) -> Outputs:
    """Outputs of encoded rows, some at once."""
    parts = [predictor.predict(rows[i : i + _AT_ONCE]) for i in range(0, len(rows), _AT_ONCE)]
    if not parts:
        return [np.empty((0, *spec.shape)) for spec in make_task(contract.task).outputs]
    return [np.concatenate(found) for found in zip(*parts, strict=True)]


class Runtimes:
    """The runtime port over all runtimes: each is made when the first version needs it, so
    that an installation without XGBoost, say, pays nothing for it."""

    def __init__(self, makers: Mapping[RuntimeName, Callable[[], Runtime]]) -> None:
        self._makers = makers
        self._made: dict[RuntimeName, Runtime] = {}
        self._lock = threading.Lock()

    def load(
        self, artifact: Artifact, contract: Contract, *, trusted: bool
    ) -> Predictor | RemotePredictor:
        return self._of(read_served(artifact).runtime).load(artifact, contract, trusted=trusted)

    def _of(self, name: RuntimeName) -> Runtime:
        with self._lock:
            found = self._made.get(name)
            if found is None:
                if name not in self._makers:
                    known = ", ".join(sorted(n.value for n in self._makers))
                    raise CannotLoad(f"no runtime for {name.value} here; there are {known}")
                found = self._made[name] = self._makers[name]()
            return found

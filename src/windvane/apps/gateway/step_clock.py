"""When each step of a request ends, noted from outside of the engine: by what it calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from windvane.core.task import Contract, Outputs
from windvane.inference.request import Codec, InferenceResponse, Inputs
from windvane.inference.snapshot import ServedModel
from windvane.ports.artifacts import Artifact
from windvane.ports.runtime import CannotLoad, Predictor, RemotePredictor, Runtime
from windvane.ports.spool import SpoolWriter

# What ends at each mark, in the order in which a request passes them.
_STEPS = {
    "begun": "authenticate and admit",
    "decoded": "decode and validate",
    "routed": "route",
    "encoded": "encode the row for the model",
    "batched": "wait for the next batch",
    "executed": "execute the model",
    "checked": "check the outputs",
    "answered": "encode the answer",
    "recorded": "record the event",
    "finished": "hand over",
}


class StepClock:
    """One request's marks, in seconds of a clock that only grows."""

    def __init__(self, stopwatch: Callable[[], float] = time.perf_counter) -> None:
        self._stopwatch = stopwatch
        self._began = 0.0
        self._marks: dict[str, float] = {}

    def start(self) -> None:
        self._marks = {}
        self._began = self._stopwatch()

    def mark(self, name: str) -> None:
        self._marks[name] = self._stopwatch()

    def copy(self) -> StepClock:
        """What it noted of this request, kept while it goes on to the next."""
        kept = StepClock(self._stopwatch)
        kept._began, kept._marks = self._began, self._marks
        return kept

    def steps(self) -> dict[str, float]:
        """Seconds of each step by its name for people; they add up to ``total``. Raises KeyError
        for a request that did not pass a mark."""
        ends = [self._began, *(self._marks[name] for name in _STEPS)]
        return {
            name: end - start for name, (start, end) in zip(_STEPS.values(), pairwise(ends),
                                                            strict=True)
        }  # fmt: skip

    def total(self) -> float:
        return self._marks["finished"] - self._began


class TimedCodec:
    """A codec that marks where it ends."""

    def __init__(self, codec: Codec, clock: StepClock) -> None:
        self._codec = codec
        self._clock = clock
        self.name, self.content_type = codec.name, codec.content_type

    def decode(self, body: bytes, model: ServedModel, max_rows: int) -> Inputs:
        found = self._codec.decode(body, model, max_rows)
        self._clock.mark("decoded")
        return found

    def encode(self, response: InferenceResponse) -> bytes:
        self._clock.mark("checked")
        body = self._codec.encode(response)
        self._clock.mark("answered")
        return body


class TimedPredictor:
    """A predictor that marks where it begins and ends."""

    def __init__(self, predictor: Predictor, clock: StepClock) -> None:
        self._predictor = predictor
        self._clock = clock
        self.blocking, self.memory = predictor.blocking, predictor.memory

    def encode(self, values: Sequence[Any]) -> Sequence[Any]:
        self._clock.mark("routed")
        found = self._predictor.encode(values)
        self._clock.mark("encoded")
        return found

    def predict(self, rows: Sequence[Sequence[Any]]) -> Outputs:
        self._clock.mark("batched")
        found = self._predictor.predict(rows)
        self._clock.mark("executed")
        return found

    def close(self) -> None:
        self._predictor.close()


class TimedRuntime:
    """A runtime whose predictors mark."""

    def __init__(self, runtime: Runtime, clock: StepClock) -> None:
        self._runtime = runtime
        self._clock = clock

    def load(self, artifact: Artifact, contract: Contract, *, trusted: bool) -> TimedPredictor:
        found = self._runtime.load(artifact, contract, trusted=trusted)
        if isinstance(found, RemotePredictor):
            raise CannotLoad("another server executes it: its time is not spent here")
        return TimedPredictor(found, self._clock)


class TimedSpool:
    """A spool that marks where an event is with the kernel."""

    def __init__(self, spool: SpoolWriter, clock: StepClock) -> None:
        self._spool = spool
        self._clock = clock

    def append(self, *payloads: bytes) -> None:
        self._spool.append(*payloads)
        self._clock.mark("recorded")

    def sync(self) -> None:
        self._spool.sync()

    def close(self) -> None:
        self._spool.close()

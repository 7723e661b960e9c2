"""What a version's folder says about how it is served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from windvane.core.execution.runtimes import RuntimeName
from windvane.core.signature import OutputMapping

INPUTS_FILE = "inputs.json"
SERVED_FILE = "runtime.json"
PARITY_FILE = "parity.json"
BACKGROUND_FILE = "background.msgpack"


@dataclass(frozen=True, slots=True)
class TensorInput:
    """One input of a model that takes several: ``name`` as the model has it, its element
    ``type`` (float32, float64, int64, int32, bool, string), and the places among the version's
    inputs of those that make its columns."""

    name: str
    type: str
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Background:
    """Some rows of the data that a version was registered with, for explanations by comparison:
    ``features`` are the contract's names, in the order of each row's values."""

    features: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()

    def by_names(self, names: Sequence[str]) -> list[tuple[Any, ...]]:
        """The rows in the order of ``names``, None for what they do not have."""
        places = {name: i for i, name in enumerate(self.features)}
        wanted = [places.get(name) for name in names]
        return [tuple(None if at is None else row[at] for at in wanted) for row in self.rows]


@dataclass(frozen=True, slots=True)
class ServedBy:
    """Which runtime serves a version, from which file, and what its outputs are.

    ``file`` is relative to the version's folder (for a pyfunc: the folder that holds its
    MLmodel). ``task`` is the kind that the version was registered for. ``outputs`` say where
    each of the task's outputs comes from. ``table``: rows are handed over as a table with named
    columns, for models that were trained on one. ``tensors``: the model's inputs where they are
    not one matrix. ``rounds``: of boosted trees, those that are used (0: all); it is the model's
    best iteration where it stopped early. ``environment``: the id of the packages of its own that
    it runs with, as the folder's ``environment.json`` says; "" where it runs with ours.
    """

    runtime: RuntimeName = RuntimeName.ONNX
    file: str = "model.onnx"
    task: str = "binary"
    outputs: tuple[OutputMapping, ...] = ()
    table: bool = False
    tensors: tuple[TensorInput, ...] = ()
    rounds: int = 0
    settings: dict[str, str] = field(default_factory=dict[str, str])
    environment: str = ""

"""What a version's folder says about how it is served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.execution.choose import RuntimeName

INPUTS_FILE = "inputs.json"
SERVED_FILE = "runtime.json"
PARITY_FILE = "parity.json"


@dataclass(frozen=True, slots=True)
class ServedBy:
    """Which runtime serves a version, from which file, and what its output is.

    ``file`` is relative to the version's folder (for a pyfunc: the folder that holds its
    MLmodel). ``output`` names one of several outputs ("" leaves it to the runtime).
    ``column`` is the positive class's where the output has several (-1: the last).
    ``logits``: the outputs are log-odds, not yet probabilities. ``table``: rows are handed
    over as a table with named columns, for models that were trained on one; ``words`` are
    those of its columns that hold texts.

    A folder without a ``runtime.json`` is from before there was a choice: an ONNX graph.
    """

    runtime: RuntimeName = RuntimeName.ONNX
    file: str = "model.onnx"
    output: str = ""
    column: int = -1
    logits: bool = False
    table: bool = False
    words: tuple[str, ...] = ()


def positive_output(found: NDArray[Any], served: ServedBy) -> NDArray[np.float64]:
    """One float64 a row from what a model gave: (rows,), (rows, 1) or (rows, classes)."""
    if found.ndim == 1:
        chosen = found
    elif found.ndim == 2:
        if served.logits and found.shape[1] > 1:
            raw = found.astype(np.float64)
            powers = np.exp(raw - raw.max(axis=1, keepdims=True))
            return powers[:, served.column] / powers.sum(axis=1)
        chosen = found[:, served.column]
    else:
        raise ValueError(f"the output has shape {found.shape}, one number a row is needed")
    values = chosen.astype(np.float64)
    if served.logits:
        return 0.5 * (1.0 + np.tanh(0.5 * values))
    return values

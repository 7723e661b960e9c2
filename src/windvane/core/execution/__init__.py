"""Running versions: which runtime, with which inputs, and when to stop trying."""

from windvane.core.execution.breaker import (
    CLOSED,
    Breaker,
    BreakerPolicy,
    Circuit,
    note,
    try_now,
)
from windvane.core.execution.choose import (
    DATA_ONLY,
    SANDBOXED,
    Offer,
    RuntimeChoice,
    RuntimeName,
    choose_runtime,
)
from windvane.core.execution.circuits import (
    ALL_CLOSED,
    EVERYBODY,
    Circuits,
    may_try,
    note_execution,
)
from windvane.core.execution.served import (
    INPUTS_FILE,
    PARITY_FILE,
    SERVED_FILE,
    ServedBy,
    TensorInput,
)
from windvane.core.execution.skops_types import DATA_TYPES, types_beyond

__all__ = [
    "ALL_CLOSED",
    "CLOSED",
    "DATA_ONLY",
    "DATA_TYPES",
    "EVERYBODY",
    "INPUTS_FILE",
    "PARITY_FILE",
    "SANDBOXED",
    "SERVED_FILE",
    "Breaker",
    "BreakerPolicy",
    "Circuit",
    "Circuits",
    "Offer",
    "RuntimeChoice",
    "RuntimeName",
    "ServedBy",
    "TensorInput",
    "choose_runtime",
    "may_try",
    "note",
    "note_execution",
    "try_now",
    "types_beyond",
]

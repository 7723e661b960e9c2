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
    SANDBOXED,
    Offer,
    RuntimeChoice,
    RuntimeName,
    choose_runtime,
)
from windvane.core.execution.encoding import InputSpec, RowEncoder
from windvane.core.execution.packing import RowPacker
from windvane.core.execution.served import (
    INPUTS_FILE,
    PARITY_FILE,
    SERVED_FILE,
    ServedBy,
    positive_output,
)
from windvane.core.execution.skops_types import DATA_TYPES, types_beyond

__all__ = [
    "CLOSED",
    "DATA_TYPES",
    "INPUTS_FILE",
    "PARITY_FILE",
    "SANDBOXED",
    "SERVED_FILE",
    "Breaker",
    "BreakerPolicy",
    "Circuit",
    "InputSpec",
    "Offer",
    "RowEncoder",
    "RowPacker",
    "RuntimeChoice",
    "RuntimeName",
    "ServedBy",
    "choose_runtime",
    "note",
    "positive_output",
    "try_now",
    "types_beyond",
]

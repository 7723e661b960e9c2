"""Running versions: which runtime, with which inputs, when to stop trying, and at what cost."""

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
    adopt_policy,
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
from windvane.core.execution.trade import (
    Latency,
    Optimization,
    Option,
    Score,
    best_option,
    latency_of,
    pareto,
    relative_loss,
    smallest_that_holds,
    trade,
)

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
    "Latency",
    "Offer",
    "Optimization",
    "Option",
    "RuntimeChoice",
    "RuntimeName",
    "Score",
    "ServedBy",
    "TensorInput",
    "adopt_policy",
    "best_option",
    "choose_runtime",
    "latency_of",
    "may_try",
    "note",
    "note_execution",
    "pareto",
    "relative_loss",
    "smallest_that_holds",
    "trade",
    "try_now",
    "types_beyond",
]

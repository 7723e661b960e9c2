"""The table that a person gave beside an order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from windvane.apps.trainer import wiring
from windvane.apps.trainer.progress import print_notes
from windvane.core.task import Contract
from windvane.ports.learner import TrainingData
from windvane.usecases.optimization_options import OptimizeOrder, ProfileOrder
from windvane.usecases.registration_options import RegistrationOrder
from windvane.usecases.training_options import TrainingOrder


def read_order_table(
    order: TrainingOrder | RegistrationOrder | OptimizeOrder | ProfileOrder,
    contract: Contract,
    on_step: Callable[[str], None],
) -> TrainingData:
    """Prints what is noted of it. Raises BadTable."""
    table = Path(order.data)
    on_step(f"read {table.name}")
    data = wiring.read_table(table, contract, order.label, order.time, order.without)
    print_notes(data.notes, quiet=order.as_json)
    return data

"""The table that a person gave beside an order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from windvane.apps.trainer import wiring
from windvane.apps.trainer.progress import notes
from windvane.core.task import Contract
from windvane.ports.learner import TrainingData
from windvane.usecases.optimization_options import OptimizeOrder, ProfileOrder
from windvane.usecases.registration_options import RegistrationOrder


def read_given_table(
    order: RegistrationOrder | OptimizeOrder | ProfileOrder,
    contract: Contract,
    say: Callable[[str], None],
) -> TrainingData:
    """What is noted of it is told. Raises BadTable."""
    table = Path(order.data)
    say(f"read {table.name}")
    data = wiring.read_table(table, contract, order.label, order.time, order.without)
    notes(data.notes, quiet=order.as_json)
    return data

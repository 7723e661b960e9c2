"""What a version answered against what its stand-in would have, as integers that add up."""

from __future__ import annotations

from collections.abc import Mapping

from windvane.core.sketch import NumericAxis
from windvane.ports.events import Compared
from windvane.usecases.count_rows import output_arrays
from windvane.usecases.event_contracts import EventContracts

_THOUSAND = 1_000


def compare_answers(known: EventContracts, event: Compared) -> Mapping[str, int] | None:
    """Counts of traffic by name. None where it cannot be told how far apart the answers are: the
    version's layout, which says how widely its answers are spread, is gone."""
    if not event.answers:
        return {"compared": 1, "stand_in_silent": 1}
    _, task = known.contracts[event.contract]
    outputs, others = output_arrays([event.outputs]), output_arrays([event.answers])
    spread = 1.0
    if task.compares_by_spread:
        layout = known.counted_on(event.model, event.routed)
        first = next(iter(task.streams(outputs)))
        axis = layout.axes[layout.names.index(first)] if first in layout.names else None
        if not isinstance(axis, NumericAxis):
            return None
        spread = axis.spread()
    (apart,), (another,) = task.disagreement(outputs, others, spread)
    return {
        "compared": 1,
        "stand_in_other_class": int(another),
        "stand_in_thousandths": round(_THOUSAND * float(apart)),
    }

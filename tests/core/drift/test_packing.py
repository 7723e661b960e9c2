"""What is carried of a cell comes back as it was, and takes little room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from windvane.core.drift import (
    Cell,
    Forecast,
    pack_learned,
    pack_pending,
    pack_text,
    unpack_learned,
    unpack_pending,
    unpack_text,
)
from windvane.core.sketch import CategoryAxis, Layout, NumericAxis

LAYOUT = Layout(
    (NumericAxis("distance", tuple(float(i) for i in range(19))), CategoryAxis("carrier", ("AA",)))
)
FLOATS = arrays(
    np.float64, (48, 3), elements=st.floats(-1e6, 1e6, allow_nan=False, allow_infinity=False)
)
COUNTS = arrays(np.int64, (40,), elements=st.integers(0, 2**40))


@given(FLOATS, COUNTS, arrays(np.bool_, (11,)))
@settings(max_examples=60, deadline=None)
def test_what_was_packed_once_is_packed_the_same_again(
    floats: np.ndarray, counts: np.ndarray, flags: np.ndarray
) -> None:
    """Or a steward that is restarted would go on from something else."""
    held = {"level": floats, "forecast.slots": floats, "counts": counts, "flags": flags}
    once = unpack_text(pack_text(held))
    assert pack_text(unpack_text(pack_text(once))) == pack_text(once)
    assert np.array_equal(once["counts"], counts)
    assert np.array_equal(once["flags"], flags)
    assert np.allclose(once["level"], floats, rtol=1e-6, atol=1e-25)
    largest = np.abs(floats).max(axis=0)
    assert (np.abs(once["forecast.slots"] - floats) <= largest * 2.0**-11 + 1e-25).all()


def test_times_keep_their_seconds() -> None:
    cell = Cell.empty(LAYOUT, 1_700_006_460.25)
    runs = replace(cell.pending.runs, since=np.full((2, 3), 1_700_006_520.5))
    cell = replace(cell, pending=replace(cell.pending, runs=runs, waits=1_700_006_580.75))
    pending = unpack_pending(pack_pending(cell.pending))
    again = unpack_learned(pack_learned(cell), pending, {})
    assert again.began == cell.began
    assert pending.waits == cell.pending.waits
    assert np.array_equal(pending.runs.since, runs.since)
    assert unpack_pending(pack_pending(replace(pending, waits=None))).waits is None


def test_a_tenants_cell_is_small_however_much_it_knows() -> None:
    """Of 100 tenants of 1,000 models there are 100,000: what changes in each window is a
    kilobyte, what changes by looks some tens."""
    rng = np.random.default_rng(1)
    layout = Layout(
        tuple(
            NumericAxis(f"f{i}", tuple(float(edge) for edge in np.linspace(-2.0, 2.0, 19)))
            for i in range(40)
        )
    )
    empty = Forecast.empty(40, ranked=False)
    forecast = Forecast(
        **{
            name: rng.normal(0.0, 0.02, getattr(empty, name).shape)
            for name in (*Forecast.BY_AXIS, "slots", "slots_seen", "last", "step")
        }
    )
    cell = Cell.empty(layout, 0.0)
    past = rng.poisson(2_000, layout.size)
    cell = replace(cell, forecast=forecast, previous=past, current=past // 2)
    waiting = np.where(rng.random(layout.size) < 0.3, rng.integers(1, 4, layout.size), 0)
    assert len(pack_pending(replace(cell.pending, waiting=waiting))) < 1_500
    assert len(pack_learned(cell)) < 32_000

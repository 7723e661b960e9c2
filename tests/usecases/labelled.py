"""Windows of predictions whose labels come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from event_rows import predicted_event
from numpy.typing import NDArray
from usecases.harness import FILE, MODEL, START, WINDOW_S, Harness

from windvane.ports.event_log import LogEntry
from windvane.ports.events import OutcomeSeen
from windvane.usecases.read_model_file import read_model_file

Floats = NDArray[np.float64]
# A block is a window. Each row has the same features, so that nothing can be told of their pairs,
# and looking for it is half of what a window costs.
TEXT = FILE.replace("drift_over: 20m", "drift_over: 7m\n  off: [dependence]")
UNITS = {"AA": 82, "UA": 60, "DL": 60, "WN": 36}  # the last is 18 in 100 of AA, DL and UA
CHANGED = 14

Truth = Callable[[str, int, Floats, Floats, np.random.Generator], Floats]
"""Labels from (tenant, window, predictions, uniform draws, more draws)."""


def calibrated(
    tenant: str, window: int, said: Floats, drawn: Floats, rng: np.random.Generator
) -> Floats:
    del tenant, window, rng
    return (drawn < said).astype(float)


def serve(
    harness: Harness, windows: int, truth: Truth, *, first: int = 0, late_s: float = 1.0,
    said_of: Callable[[int], tuple[float, float]] = lambda _: (2.0, 4.0), answered: str = "1",
    told: Callable[[str, int], str] = lambda _tenant, _window: "yes",
    carrier_of: Callable[[str, int], str] = lambda _tenant, _row: "dl",
) -> None:  # fmt: skip
    """Windows with predictions from a beta law, labelled after ``late_s``; days go up and down.
    ``told`` says of a tenant and window whether labels come: "yes", "no", or with the names of no
    predictions, "stray"; ``carrier_of`` which carrier a tenant's row is of."""
    contract = read_model_file(TEXT).contract
    for window in range(first, first + windows):
        rng = np.random.default_rng(7_000 + window)
        events: list[Any] = []
        day = rng.normal(0.0, 0.015)
        for tenant, units in UNITS.items():
            said = rng.beta(*said_of(window), units)
            drawn = np.clip(rng.random(units) - day, 0.0, 1.0)
            labels = truth(tenant, window, said, drawn, rng)
            for i in range(units):
                ts = START + WINDOW_S * window + i * 0.5
                name = f"{tenant}-{window}-{i}"
                events.append(
                    predicted_event(
                        name, ts, MODEL, tenant, contract.id, unit=f"u{i}-{window}",
                        values=[1.0, carrier_of(tenant, i), 1.0], outputs=[float(said[i])],
                        routed="1", answered=answered,
                    )
                )  # fmt: skip
                how = told(tenant, window)
                named = f"stray-{name}" if how == "stray" else name
                label = OutcomeSeen(
                    name, ts + late_s, MODEL, tenant, contract.id, named, 0, float(labels[i])
                )
                events += [] if how == "no" else [label]
        start = 100_000 * window
        entries = [LogEntry("m/w9", start + i, event) for i, event in enumerate(events)]
        harness.log.append("m/w9", start + len(events), entries, {contract.id: contract})
        harness.traffic(window)
        harness.judge()


def watch(harness: Harness) -> None:
    """A step of `Worlds`."""
    harness.clock.at += 1
    harness.apply(TEXT)


def watch_healthy(harness: Harness) -> None:
    """A step of `Worlds`: all windows until the change."""
    serve(harness, CHANGED, calibrated)

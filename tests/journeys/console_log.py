"""Predictions, refusals and outcomes of the story's last days, in a real log beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from event_rows import predicted_event
from journeys.console_harness import FLIGHT, NOW, TENANTS

from windvane.adapters.delta import DeltaEventLog
from windvane.ports.event_log import LogEntry
from windvane.ports.events import Event, OutcomeSeen, Refused
from windvane.usecases.read_model_file import read_model_file

DAYS = 5
HARBOR = "harbor-air"


def seed_log(home: Path, rows: int = 1_500, text: str = FLIGHT) -> DeltaEventLog:
    """``rows`` predictions over the last ``DAYS``, of versions 2 and 3 and, since the feed broke,
    1; four in five have an outcome, and some outcomes are late, unknown or revised."""
    log = DeltaEventLog(str(home / "log"))
    file = read_model_file(text)
    rng = np.random.default_rng(11)
    first = NOW - DAYS * 86_400.0
    events: list[Event] = []
    for i in range(rows):
        ts = first + (NOW - first - 60.0) * i / rows
        version = "1" if NOW - ts < 21 * 3_600.0 else "3" if i % 7 == 0 else "2"
        late = float(rng.random() < 0.35)
        skill = {"1": 0.9, "2": 1.6, "3": 0.1}[version]
        score = float(1 / (1 + np.exp(-(skill * (late - 0.5) + rng.normal(0, 0.9)))))
        tenant = TENANTS[i % len(TENANTS)]
        values = [
            float(rng.normal(50, 12)) if version != "1" else None,
            float(rng.gamma(3.0, 3.5)), 9.5, 0.0, float(rng.gamma(3.0, 350.0)),
            int(rng.integers(5, 24)), "UA",
        ]  # fmt: skip
        name = f"p{i:05d}"
        events.append(
            predicted_event(
                name, ts, file.model, tenant, file.contract.id, values=values, outputs=[score],
                unit=f"passenger-{i % 400}", routed=version, answered=version,
                arm="challenger" if version == "3" else "champion",
                latency_us=int(rng.lognormal(7.5, 0.5)), request_id=f"order-{i}",
            )
        )  # fmt: skip
        if i % 5:
            at = ts + (3_600.0 if i % 50 != 1 else 2 * 86_400.0)
            events += _told(file.contract.id, tenant, name, late, at)
        if tenant == HARBOR and i % 5 == 0:
            message = "row 0: hour must be from 0 to 23, got 99"
            events.append(
                Refused(f"r{i:05d}", ts, file.model, tenant, file.contract.id, "CON-104", message,
                        '{"hour": 99}')
            )  # fmt: skip
    events += _told(file.contract.id, TENANTS[0], "nobody-knows", 1.0, NOW - 600.0)
    events = [e for e in events if e.ts < NOW]
    entries = [LogEntry("gateway-0", 10 * i, event) for i, event in enumerate(events)]
    log.append("gateway-0", 10 * len(events), entries, {file.contract.id: file.contract})
    return log


def _told(contract: str, tenant: str, name: str, value: float, at: float) -> list[Any]:
    return [OutcomeSeen(f"o-{name}/0", at, "flight-delay", tenant, contract, name, 0, value)]

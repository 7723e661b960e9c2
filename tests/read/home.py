"""A home with a little of everything in it, made without processes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from event_rows import predicted_event
from usecases.backups import fill

from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.sql import SqlControlStore
from windvane.core.journal import Decision
from windvane.core.routing import KeyEntry
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.sketch import LATENCY_EDGES_US, NO_AXES, TRAFFIC, Sketch
from windvane.core.task import Contract
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.control_store import (
    Incident,
    KeyRecord,
    ModelRecord,
    WindowKey,
    WindowVerdict,
)
from windvane.ports.event_log import LogEntry
from windvane.ports.events import OutcomeSeen

START = 1_700_000_000.0
FILE = """
model: late
features: {order: {distance: {type: number}}}
serve: {tenants: [acme, zeta]}
"""
CONTRACT = Contract((FeatureSpec("distance", "order", FeatureType.NUMBER),))
ADMIN, ACME, OTHER = "wv_admin", "wv_acme", "wv_other"


def make_home(folder: Path, migrated: Path) -> Path:
    folder.mkdir()
    shutil.copy(migrated, folder / "control.db")
    store = SqlControlStore(f"sqlite:///{folder / 'control.db'}")
    fill(folder, store)
    log(folder)
    with store.begin() as tx:
        tx.put_model(ModelRecord("late", FILE, 1.0))
        for key, tenant, scopes in (
            (ADMIN, "default", ("admin",)), (ACME, "acme", ("read",)), (OTHER, "other", ("read",)),
        ):  # fmt: skip
            tx.put_key(KeyRecord(KeyEntry(_digest(key), tenant, key, scopes), key, 1.0))
        tx.put_layout(NO_AXES)
        for i in range(200):
            for tenant in ("acme", "zeta"):
                tx.add_sketches({window(60.0 * i, tenant): sketch(3 + i)})
        tx.add_verdicts([verdict(i) for i in range(1_200)])
        tx.add_verdicts([verdict(0, "training_drift"), verdict(900, "training_drift")])
        for i in range(25):
            tx.decide(decision(i))
            tx.put_incident(incident(i))
    store.close()
    return folder


def log(folder: Path) -> None:
    """Eight predictions of two tenants, of which four have an outcome: one of them twice, one by
    the client's own id."""
    entries = [
        LogEntry(
            "m/w",
            10 * i,
            predicted_event(
                f"e{i}", START + i, "late", "acme" if i % 2 else "zeta", CONTRACT.id,
                values=[float(i)], outputs=[i / 10], request_id=f"r{i}",
            ),
        )
        for i in range(8)
    ]  # fmt: skip
    told = [
        ("e1", 0.0, 10.0),
        ("e1", 1.0, 20.0),
        ("r3", 0.0, 10.0),
        ("e5", 1.0, 10.0),
        ("e4", 0.0, 9.0),
    ]
    for i, (named, value, later) in enumerate(told):
        tenant = "zeta" if named == "e4" else "acme"
        event = OutcomeSeen(
            f"{named}/{i}", START + later, "late", tenant, CONTRACT.id, named, 0, value
        )
        entries.append(LogEntry("m/w", 1_000 + i, event))
    DeltaEventLog(str(folder / "log")).append("m/w", 2_000, entries, {CONTRACT.id: CONTRACT})


def window(later: float, tenant: str) -> WindowKey:
    return WindowKey("late", START // 60 * 60 + later, "1", "champion", tenant, "here")


def sketch(requests: int) -> Sketch:
    traffic = np.array([requests if n in ("rows", "requests") else 0 for n in TRAFFIC], np.int64)
    latency = np.zeros(len(LATENCY_EDGES_US) + 1, np.int64)
    latency[5] = requests
    return Sketch(NO_AXES.id, np.zeros(NO_AXES.size, np.int64), traffic, latency)


def verdict(i: int, monitor: str = "sudden_shift") -> WindowVerdict:
    reading = {"feature": "distance", "view": "order", "kind": "values", "e": 0.5, "size": i / 1e4}
    return WindowVerdict(
        "late", START // 60 * 60 + 60.0 * i, monitor, "", "pass", "DRI-201", "all is well",
        {"rows": 10, "readings": [{**reading, "changed": None}] * 3},
    )  # fmt: skip


def decision(i: int) -> Decision:
    verdict = Verdict(Outcome.PASS, "MOD-100", f"number {i}")
    return Decision(f"d{i}", "late", "", "model", "apply", START + i, {}, {}, verdict)


def incident(i: int) -> Incident:
    return Incident(
        f"i{i}", "late", f"c{i}", "feed", "page", f"title {i}", START + i, START,
        None if i == 24 else START + 100, "ops", "runbook",
    )  # fmt: skip


def _digest(key: str) -> str:
    import hashlib

    return hashlib.sha256(key.encode()).hexdigest()

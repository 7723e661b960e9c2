"""The queries that the page on the log's tables shows, run as they stand."""

from __future__ import annotations

import re
from typing import Any

import docs.documented as d
import pytest
from event_rows import predicted_event

from windvane.adapters.delta import DeltaEventLog
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract
from windvane.ports.event_log import LogEntry

NOVEMBER, OCTOBER = 1_796_000_000.0, 1_791_000_000.0
CONTRACT = Contract((FeatureSpec("distance_km", "order", FeatureType.NUMBER),))


def code_blocks() -> list[str]:
    text = d.page("reference/events.md")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def fill(log: DeltaEventLog) -> None:
    events = [
        predicted_event(f"e{i}", ts, model, "AA", CONTRACT.id, values=[4.2], outputs=[0.625])
        for i, (ts, model) in enumerate(
            [(NOVEMBER, "order-late"), (NOVEMBER, "other"), (OCTOBER, "order-late")]
        )
    ]
    entries = [LogEntry("w", i, event) for i, event in enumerate(events)]
    log.append("w", 9, entries, {CONTRACT.id: CONTRACT})


def test_the_query_of_a_folder(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(DeltaEventLog(str(tmp_path / ".windvane" / "log")))
    monkeypatch.chdir(tmp_path)
    exec(code_blocks()[0], {})
    shown = capfd.readouterr().out
    assert shown.count("0.625") == shown.count("4.2") == 1
    assert "2026-11-" in shown


def test_the_query_of_an_object_store(object_store: Any, capfd: pytest.CaptureFixture[str]) -> None:
    root = f"{object_store.bucket()}/log"
    fill(DeltaEventLog(root, object_store.storage))
    first, second = code_blocks()
    names: dict[str, Any] = {"storage": object_store.storage}
    exec(
        "\n".join(line for line in first.splitlines() if re.match("import|from|wanted", line)),
        names,
    )
    exec(second.replace("s3://bucket/log", root), names)
    assert re.search(r"│\s+1 │", capfd.readouterr().out)

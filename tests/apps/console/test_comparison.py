"""Two versions side by side: what they take, what they were made of, how they did."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apps.console.visitors import SECRET_EMAIL, World, run
from event_rows import predicted_event

from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.sql import SqlControlStore
from windvane.apps.console.views import RANGES
from windvane.core.drift import build_baseline
from windvane.core.journal import Decision
from windvane.core.sketch import (
    LATENCY_EDGES_US,
    TRAFFIC,
    CategoryAxis,
    Layout,
    NumericAxis,
    Sketch,
)
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.control_store import Checkpoint, VersionRecord, WindowKey
from windvane.ports.event_log import LogEntry
from windvane.usecases.apply_model import apply_model
from windvane.usecases.read_model_file import read_model_file

TEXT = """
model: late
owner: {team: ops}
predicts: {kind: binary, outcome: late}
features:
  order:
    x: {type: number}
    kind: {type: category}
    email: {type: category, tags: [pii]}
    extra: {type: number, nullable: true}
watch: {window: 1h}
"""
PATHS = ("/models/late/compare", "/api/models/late/compare", "/csv/models/late/compare")
BEFORE = Layout(
    (NumericAxis("x", (0.0, 1.0)), CategoryAxis("kind", ("a", "b")),
     CategoryAxis("email", (SECRET_EMAIL,)))
)  # fmt: skip
AFTER = Layout(
    (NumericAxis("x", (0.0, 1.0)), CategoryAxis("kind", ("b", "c")),
     CategoryAxis("email", ("b@example.org",)), NumericAxis("extra", (0.0,)))
)  # fmt: skip


def packed(layout: Layout, *shift: int) -> bytes:
    counts = np.ones(layout.size, np.int64) * 50
    for at in shift:
        counts[at] += 400
    return build_baseline(layout, {0.0: counts}, 60.0, 3_600.0, 50).to_bytes()


@pytest.fixture
def world(migrated_file: Path, tmp_path: Path) -> Iterator[World]:
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    log = DeltaEventLog(str(tmp_path / "log"))
    made = World(store, log=log)
    apply_model(store, made.clock, TEXT)
    now = made.clock.now()
    old = ("x", "kind", "email")
    facts = {"quality": {"metric": "auc", "value": 0.81, "lower": 0.79, "upper": 0.83, "rows": 900}}
    with store.begin() as tx:
        for layout in (BEFORE, AFTER):
            tx.put_layout(layout)
        tx.add_version(
            VersionRecord("late", "7", "a", "7" * 64, BEFORE.id, ("order",), {"auc": 0.78},
                          {"rows": "5000", "git_sha": "aaa", "seed": "1"}, packed(BEFORE), now, old)
        )  # fmt: skip
        tx.add_version(
            VersionRecord("late", "8", "a", "8" * 64, AFTER.id, ("order",), {"auc": 0.81},
                          {"rows": "9000", "git_sha": "bbb", "seed": "1",
                           "parity": {"rows": 2000, "worst": [0.1] * 50}},
                          packed(AFTER, 1), now, ("x", "kind", "extra", "email"))
        )  # fmt: skip
        tx.decide(
            Decision("late/register/8", "late", "acceptance", "version 8", "register", now, {},
                     facts, Verdict(Outcome.PASS, "ACC-200", "good enough"))
        )  # fmt: skip
        tx.set_checkpoint(Checkpoint("w0", 1, now))
        hour = now // 3_600 * 3_600
        found = {}
        for back, versions in ((1, "78"), (2, "78"), (3, "7")):
            for version in versions:
                key = WindowKey("late", hour - back * 3_600, version, "champion", "acme", "r")
                found[key] = sketch(100, errors=10 if version == "8" else 1)
        tx.add_sketches(found)
    contract = read_model_file(TEXT).contract
    events = [
        predicted_event("p", now - 60, "late", "acme", contract.id,
                        values=[1.0, "a", "e", None], outputs=[0.5], routed="8", answered="8")
    ]  # fmt: skip
    log.append("w0", 10, [LogEntry("w0", 0, e) for e in events], {contract.id: contract})
    yield made
    store.close()


def sketch(rows: int, errors: int) -> Sketch:
    traffic = np.zeros(len(TRAFFIC), np.int64)
    for name, n in (("rows", rows), ("requests", rows), ("execution_errors", errors)):
        traffic[TRAFFIC.index(name)] = n
    latency = np.zeros(len(LATENCY_EDGES_US) + 1, np.int64)
    latency[10] = rows
    return Sketch(BEFORE.id, np.zeros(BEFORE.size, np.int64), traffic, latency)


async def told(world: World) -> dict[str, Any]:
    answer = await world.ask("viewer", "GET", "/api/models/late/compare?a=7&b=8")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_each_takes_and_how_its_training_data_moved(world: World) -> None:
    async def story() -> None:
        found = await told(world)
        features = {one["name"]: one for one in found["features"]}
        assert {name: one["change"] for name, one in features.items()} == {
            "extra": "added", "kind": "changed", "email": "changed", "x": "same",
        }  # fmt: skip
        assert "new c" in features["kind"]["what"]
        assert "gone a" in features["kind"]["what"]
        assert features["x"]["psi"] > 0.2
        assert features["kind"]["psi"] is None, "counted in other bins"
        lineage = {one["name"]: (one["a"], one["b"]) for one in found["lineage"]}
        assert lineage["git sha"] == ("aaa", "bbb")
        assert lineage["parity, worst"] == (None, "50 items")
        back = (await world.ask("viewer", "GET", "/api/models/late/compare?a=8&b=7")).json()
        changes = {one["name"]: one["change"] for one in back["features"]}
        assert changes["extra"] == "removed"

    run(story)


def test_metrics_have_their_interval_and_both_are_counted_while_both_served(world: World) -> None:
    async def story() -> None:
        found = await told(world)
        assert found["accepted"][0] is None
        assert [found["accepted"][1][k] for k in ("value", "lower", "upper", "rows")] == [
            0.81, 0.79, 0.83, 900,
        ]  # fmt: skip
        together = {one["version"]: one for one in found["together"]}
        assert (together["7"]["windows"], together["7"]["rows"]) == (2, 200)
        assert together["8"]["error_rate"] == pytest.approx(0.1)
        apart = {one["version"]: one["rows"] for one in found["apart"]}
        assert apart == {"7": 300, "8": 200}
        page = (await world.ask("viewer", "GET", "/models/late/compare?a=7&b=8")).text
        for words in ("3 of 4 features differ", "0.790 to 0.830", "10.00%", "not recorded",
                      "2 windows of 1 h"):  # fmt: skip
            assert words in page

    run(story)


def test_who_served_in_which_window_of_a_sum_is_not_known(world: World) -> None:
    """The versions took turns, an hour each, two days ago."""
    day = (world.clock.now() // 86_400 - 2) * 86_400
    with world.store.begin(["late"]) as tx:
        tx.add_sketches(
            {
                WindowKey("late", day + i * 3_600, "78"[i % 2], "champion", "acme", "r"): sketch(
                    100, 0
                )
                for i in range(24)
            }
        )
        tx.roll_up_sketches("late", day + 86_400, 86_400.0, 500)

    async def story() -> None:
        path = f"/api/models/late/compare?a=7&b=8&windows={RANGES[-1]}"
        found = (await world.ask("viewer", "GET", path)).json()
        assert [one["windows"] for one in found["together"]] == [2, 2]
        assert [one["rows"] for one in found["together"]] == [200, 200]
        assert [one["rows"] for one in found["apart"]] == [1_500, 1_400]
        assert found["summed_until"] == day + 86_400
        page = (await world.ask("viewer", "GET", path.removeprefix("/api"))).text
        assert "which of them both served in is not known" in page

    run(story)


def test_no_value_of_a_personal_feature_is_told(world: World) -> None:
    async def story() -> None:
        for path in (
            "/models/late/compare",
            "/api/models/late/compare",
            "/csv/models/late/compare",
        ):
            text = (await world.ask("admin", "GET", f"{path}?a=7&b=8")).text
            assert "1 categories more and 1 less" in text
            assert "example.org" not in text, path

    run(story)


def test_a_file_has_every_fact_of_the_page(world: World) -> None:
    async def story() -> None:
        text = (await world.ask("viewer", "GET", "/csv/models/late/compare?a=7&b=8")).text
        rows = {(r["of"], r["what"]): r for r in csv.DictReader(io.StringIO(text, newline=""))}
        assert rows["while both served", "rows"]["version 7"] == "200"
        assert rows["accepted with", "lower"]["version 8"] == "0.79"
        assert rows["feature", "extra"]["version 7"] == "false"

    run(story)


def test_what_is_no_version_is_said_so(world: World) -> None:
    async def story() -> None:
        for path in (
            "/models/late/compare",
            "/api/models/late/compare",
            "/csv/models/late/compare",
        ):
            answer = await world.ask("viewer", "GET", f"{path}?a=7&b=99")
            assert answer.status_code == 404, path
        alone = await world.ask("viewer", "GET", "/models/seats/compare")
        assert alone.status_code == 200

    run(story)

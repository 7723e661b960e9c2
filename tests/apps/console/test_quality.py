"""How good answers were, as a model's page, its file and the API tell it from the log."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apps.console.visitors import FILE, World, run
from event_rows import predicted_event

from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.sql import SqlControlStore
from windvane.ports.control_store import WindowVerdict
from windvane.ports.event_log import LogEntry
from windvane.ports.events import Event, OutcomeSeen
from windvane.ports.judging import Progress
from windvane.usecases.apply_model import apply_model
from windvane.usecases.read_model_file import read_model_file

JUDGED = FILE.format(decides="[]") + "watch: {window: 1h, outcomes: {floor: 0.62}}\n"
CONTRACT = read_model_file(JUDGED).contract


def make(
    migrated_file: Path, tmp_path: Path, rows: int, text: str = JUDGED, *, units: bool = True
) -> World:
    """``rows`` predictions with an outcome in the last six hours, by two versions of which the
    second is better; one outcome in ten names no prediction."""
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    log = DeltaEventLog(str(tmp_path / "log"))
    world = World(store, log=log)
    apply_model(store, world.clock, text)
    now = world.clock.now()
    with store.begin() as tx:
        tx.put_progress([Progress("late", now - 86_400.0, now - 3_600.0, 0.0)])
    rng = np.random.default_rng(3)
    events: list[Event] = []
    for i in range(rows):
        at, truth = now - 21_600.0 * (1 - i / rows), float(i % 3 == 0)
        version = "2" if i % 2 else "1"
        score = 1 / (1 + np.exp(-((3.0 if version == "2" else 0.5) * (truth - 0.5) + rng.normal())))
        events.append(
            predicted_event(
                f"p{i}", at, "late", "acme", CONTRACT.id, values=[1.0, "a"],
                outputs=[float(score)], routed=version, answered=version,
                unit=f"u{i // 2}" if units else "",
            )
        )  # fmt: skip
        named = f"p{i}" if i % 10 else f"lost{i}"
        events.append(OutcomeSeen(f"o{i}", at + 5, "late", "acme", CONTRACT.id, named, 0, truth))
    if events:
        log.append(
            "w0", 10 * len(events), [LogEntry("w0", 10 * i, e) for i, e in enumerate(events)],
            {CONTRACT.id: CONTRACT},
        )  # fmt: skip
    return world


async def told(world: World) -> dict[str, Any]:
    answer = await world.ask("viewer", "GET", "/api/models/late/quality")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_each_version_has_its_metric_with_its_interval(migrated_file: Path, tmp_path: Path) -> None:
    world = make(migrated_file, tmp_path, 1_200)

    async def story() -> None:
        found = await told(world)
        whole = {one["version"]: one for one in found["whole"]}
        assert found["metric"] == "auc"
        assert found["floor"] == 0.62
        assert whole["2"]["lower"] > whole["1"]["upper"]
        for one in whole.values():
            assert one["lower"] < one["value"] < one["upper"]
        assert sum(one["outcomes"] for one in whole.values()) == 1_080
        assert [(o["tenant"], o["joined"], o["unknown"]) for o in found["outcomes"]] == [
            ("acme", 1_080, 120)
        ]
        page = (await world.ask("viewer", "GET", "/models/late")).text
        for version in ("1", "2"):
            mine = whole[version]
            words = f"version {version}: AUC {mine['value']:.3f} ({mine['lower']:.3f} to"
            assert words in page
        assert "1,080" in page
        assert "name no prediction" in page
        file = (await world.ask("viewer", "GET", "/csv/models/late/quality")).text
        rows = list(csv.DictReader(io.StringIO(file, newline="")))
        assert len(rows) == len(found["spans"])
        assert {row["floor"] for row in rows} == {"0.62"}
        values = sorted(float(r["value"]) for r in rows if r["value"])
        assert values == sorted(one["value"] for one in found["spans"] if not one["missing"])

    run(story)
    world.store.close()


def test_tenants_and_segments_have_their_metric_and_their_estimate(
    migrated_file: Path, tmp_path: Path
) -> None:
    text = JUDGED.replace("watch: {window: 1h,", "watch: {window: 1h, segments: [day],")
    text = text.replace(
        "    x: {type: number}\n",
        "    x: {type: number}\n    day: {type: integer, nullable: true}\n",
    )
    world = make(migrated_file, tmp_path, 600, text)
    estimate = {
        "version": "1", "metric": "auc", "rows": 900, "began": 0.0, "ended": 3_600.0,
        "segments": [
            {"segment": "day=2", "rows": 9, "checked": 0, "code": "OUT-422", "note": "9 answers"},
            {"segment": "day=null", "rows": 891, "checked": 60, "code": "OUT-420",
             "value": 0.71, "lower": 0.68, "upper": 0.74, "note": "estimated AUC 0.710"},
        ],
    }  # fmt: skip
    look = WindowVerdict(
        "late", world.clock.now() - 3_600.0, "estimates", "", "hold", "OUT-420",
        "estimated AUC 0.700", estimate,
    )  # fmt: skip
    with world.store.begin() as tx:
        tx.add_verdicts([look])

    async def sheet(name: str) -> list[dict[str, str]]:
        file = (await world.ask("viewer", "GET", f"/csv/models/late/{name}")).text
        return list(csv.DictReader(io.StringIO(file, newline="")))

    async def story() -> None:
        found = await told(world)
        assert [one["of"] for one in found["parts"]] == ["tenant acme", "segment day=null"]
        assert {one["of"] for one in [*found["whole"], *found["spans"]]} == {""}
        whole = {one["version"]: one for one in found["whole"]}
        for part in found["parts"]:
            assert part["value"] == whole[part["version"]]["value"]
            assert part["lower"] < part["value"] < part["upper"]
        page = (await world.ask("viewer", "GET", "/models/late")).text
        assert "AUC by tenant and segment" in page
        assert "Estimated AUC by segment" in page
        parts, estimates = await sheet("quality-parts"), await sheet("estimates")
        assert [row["of"] for row in parts] == ["tenant acme", "segment day=null"]
        assert float(parts[1]["value"]) == found["parts"][1]["value"]
        assert [(row["how"], row["of"], row["value"]) for row in estimates] == [
            ("estimated", "segment day=null", "0.71"), ("estimated", "segment day=2", ""),
        ]  # fmt: skip
        assert estimates[0]["says"].endswith("; 60 known outcomes agree")

    run(story)
    world.store.close()


@pytest.mark.parametrize("units", [True, False])
def test_it_is_said_what_the_intervals_are_for(
    migrated_file: Path, tmp_path: Path, units: bool
) -> None:
    world, word = make(migrated_file, tmp_path, 1_200, units=units), "units" if units else "rows"

    async def story() -> None:
        found = await told(world)
        assert {one["independent"] for one in [*found["whole"], *found["spans"]]} == {word}
        page = (await world.ask("viewer", "GET", "/models/late")).text
        assert f"95% intervals for independent {word}" in page
        file = (await world.ask("viewer", "GET", "/csv/models/late/quality")).text
        rows = list(csv.DictReader(io.StringIO(file, newline="")))
        assert {row["independent"] for row in rows} == {word}

    run(story)
    world.store.close()


def test_too_few_outcomes_are_said_to_be_too_few(migrated_file: Path, tmp_path: Path) -> None:
    world = make(migrated_file, tmp_path, 30)

    async def story() -> None:
        found = await told(world)
        assert [one["value"] for one in found["whole"]] == [None, None]
        page = (await world.ask("viewer", "GET", "/models/late")).text
        assert "version 2: too few outcomes to tell the AUC yet" in page
        assert "The judge has not looked yet" in page
        assert "data-chart" in page
        assert 'id="plot-quality"' not in page, "no chart of nothing"

    run(story)
    world.store.close()


def test_no_outcome_at_all_says_how_to_send_one(migrated_file: Path, tmp_path: Path) -> None:
    world = make(migrated_file, tmp_path, 0)

    async def story() -> None:
        page = (await world.ask("viewer", "GET", "/models/late")).text
        assert "No outcome is known yet" in page
        assert "POST /v1/outcomes" in page
        assert "How long labels take" not in page

    run(story)
    world.store.close()


@pytest.mark.parametrize("floor", [True, False])
def test_what_the_judge_said_is_there_without_the_log(
    migrated_file: Path, tmp_path: Path, floor: bool
) -> None:
    world = make(migrated_file, tmp_path, 10, JUDGED if floor else FILE.format(decides="[]"))
    start = world.clock.now() // 3_600 * 3_600 - 7_200.0
    detail = {"auc": 0.7012, "metric": "auc", "scored": 4_321, "lower": 0.68, "upper": 0.72,
              "began": start - 86_400.0}  # fmt: skip
    with world.store.begin() as tx:
        tx.add_verdicts(
            [WindowVerdict("late", start, "outcomes", "", "pass", "OUT-200", "AUC is fine", detail)]
        )
    shutil.rmtree(tmp_path / "log")

    async def story() -> None:
        page = (await world.ask("viewer", "GET", "/models/late")).text
        assert "0.680 to 0.720" in page
        assert "4,321" in page
        assert ('no <span class="code">watch.outcomes.floor</span>' in page) == (not floor)
        file = await world.ask("viewer", "GET", "/csv/models/late/looks")
        assert "OUT-200,0.7012,0.68,0.72,4321,AUC is fine" in file.text

    run(story)
    world.store.close()


def test_a_version_is_beside_what_it_had_on_its_own_holdout(
    migrated_file: Path, tmp_path: Path
) -> None:
    world = make(migrated_file, tmp_path, 1_200)
    with world.store.begin() as tx:
        held = tx.version("late", "2")
        tx.drop_version("late", "2")
        tx.add_version(replace(held, metrics={"auc": 0.9123}))

    async def story() -> None:
        page = (await world.ask("viewer", "GET", "/models/late")).text
        found = re.findall(r"version \d: AUC [^<]*", page)
        assert ["0.912 on its own holdout" in one for one in found] == [False, True]
        chart = next(c for c in charts_of(page) if c.get("floor") == 0.62)
        assert [(one["at"], one["label"]) for one in chart["lines"]] == [(0.9123, "holdout 2")]
        file = (await world.ask("viewer", "GET", "/csv/models/late/quality")).text
        rows = list(csv.DictReader(io.StringIO(file, newline="")))
        assert {(row["version"], row["holdout"]) for row in rows} == {("1", ""), ("2", "0.9123")}

    run(story)
    world.store.close()


def charts_of(page: str) -> list[Any]:
    return [json.loads(html.unescape(text)) for text in re.findall(r'data-chart="([^"]*)"', page)]


def test_how_long_labels_take_is_drawn_by_what_their_monitor_recorded(
    migrated_file: Path, tmp_path: Path
) -> None:
    world = make(migrated_file, tmp_path, 10)
    now = world.clock.now()
    curve = [[1.0, 0.1], [100.0, 0.55], [10_000.0, 0.94], [100_000.0, 0.96]]

    def look(back: int, coverage: float, subject: str = "") -> WindowVerdict:
        detail = {"block": now - back * 86_400.0, "age": 10_000.0, "coverage": coverage,
                  "curve": curve, "missing": ""}  # fmt: skip
        return WindowVerdict(
            "late", now - back * 7_200.0, "labels", subject, "pass", "ABS-210", "as usual", detail
        )

    async def story() -> None:
        page = (await world.ask("viewer", "GET", "/models/late")).text
        assert "96.0% of the oldest predictions have a label; 94.0% by the age of" in page
        assert page.count('class="curve"') == 1
        assert '<line class="wanted" x1="800.0"' in page
        chart = next(c for c in charts_of(page) if c["series"][0]["label"] == "have a label")
        assert chart["series"][0]["values"] == [91.0, 96.0], "oldest first, and no tenant's"
        file = (await world.ask("viewer", "GET", "/csv/models/late/delays")).text
        assert file.splitlines()[1:] == [f"{age},{share}" for age, share in curve]
        file = (await world.ask("viewer", "GET", "/csv/models/late/coverage")).text
        assert [line.split(",")[1] for line in file.splitlines()[1:]] == ["0.96", "0.91"]

    with world.store.begin() as tx:
        tx.add_verdicts([look(2, 0.91), look(1, 0.96), look(1, 0.2, "acme")])
    run(story)
    world.store.close()


def test_an_estimate_is_told_as_one(migrated_file: Path, tmp_path: Path) -> None:
    world = make(migrated_file, tmp_path, 0)
    now = world.clock.now()
    sentence = "estimated AUC 0.640 (0.610 to 0.670), floor 0.620, until outcomes come, n=900"
    detail = {"version": "2", "began": now - 7_200.0, "ended": now - 3_600.0, "value": 0.64}
    look = WindowVerdict(
        "late", now - 7_200.0, "estimates", "", "hold", "OUT-420", sentence, detail
    )
    with world.store.begin() as tx:
        tx.add_verdicts([look])

    async def story() -> None:
        page = (await world.ask("viewer", "GET", "/models/late")).text
        assert "Estimated, not measured" in page
        assert sentence in page
        assert "version 2, " in page

    run(story)
    world.store.close()

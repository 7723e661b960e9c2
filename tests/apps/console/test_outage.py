"""An outage reads as one wherever the console shows what became of requests."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from apps.console.visitors import INCIDENT, World, run

from windvane.adapters.sql import SqlControlStore
from windvane.core.sketch import NO_AXES, TRAFFIC, Sketch
from windvane.ports.control_store import Checkpoint, WindowKey

ROWS = 90


@pytest.fixture
def world(migrated_file: Path, tmp_path: Path) -> Iterator[World]:
    """Each request of the newest window was owed an answer by version 2, and got none."""
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    made = World(store)
    now = made.clock.now()
    lost = Sketch.empty(NO_AXES.id, 0)
    lost.traffic[TRAFFIC.index("unanswered")] = ROWS
    key = WindowKey("late", now // 60 * 60 - 60.0, "2", "champion", "acme", "r")
    with store.begin() as tx:
        tx.put_layout(NO_AXES)
        tx.set_checkpoint(Checkpoint("r", 1, now, now))
        tx.add_sketches({key: lost})
    yield made
    store.close()


def test_nobody_answered_reads_a_hundred_percent(world: World) -> None:
    async def story() -> None:
        card = (await world.ask("viewer", "GET", "/api/models/late")).json()
        (tenant,) = (await world.ask("viewer", "GET", "/api/models/late/tenants")).json()
        (listed,) = [
            one
            for one in (await world.ask("viewer", "GET", "/api/models")).json()
            if one["name"] == "late"
        ]
        window = card["windows"][-1]
        for told in (card, listed, window, tenant, card["tenants"][0]):
            assert (told["unanswered"], told["unanswered_rate"]) == (ROWS, 1.0), told
        for path in ("/", "/models/late"):
            page = (await world.ask("viewer", "GET", path)).text
            assert "<dt>not answered</dt><dd>100.00%</dd>" in page, path
        assert (
            "nobody is answered: none of 90 rows"
            in (await world.ask("viewer", "GET", f"/incidents/{INCIDENT}")).text
        )
        assert "No requests in this range" not in page

    run(story)


def test_the_charts_and_the_tenants_show_it(world: World) -> None:
    async def story() -> None:
        page = (await world.ask("viewer", "GET", "/models/late")).text
        charts = [json.loads(unescape(one)) for one in re.findall(r'data-chart="([^"]*)"', page)]
        last = {
            (at, line["label"]): line["values"][-1]
            for at, chart in enumerate(charts)
            for line in chart["series"]
        }
        assert (last[0, "answered"], last[0, "not answered"]) == (0, ROWS)
        assert last[2, "not answered"] == 100.0
        tenants = page[page.index('id="h-tenants"') :]
        assert "Not answered" in tenants
        assert '<td class="num">100.0%</td>' in tenants

    run(story)


@pytest.mark.parametrize("path", ["models", "models/late/traffic", "models/late/tenants"])
def test_files_have_it(world: World, path: str) -> None:
    async def story() -> None:
        text = (await world.ask("viewer", "GET", f"/csv/{path}")).text
        rows = [
            one for one in csv.DictReader(io.StringIO(text)) if one.get("model", "late") == "late"
        ]
        assert (rows[-1]["unanswered"], rows[-1]["unanswered_rate"]) == (str(ROWS), "1.0")

    run(story)


def test_versions_are_unfolded_where_nobody_is_answered(world: World) -> None:
    async def story() -> None:
        page = (await world.ask("operator", "GET", "/models/late")).text
        assert "none of 90 rows was answered" in page
        assert '<details id="all-versions" open data-unfolded>' in page
        assert 'href="/act/model/deploy/late?version=1"' in page

    run(story)

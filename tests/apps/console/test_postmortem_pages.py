"""Postmortems and action items on the console, by the API and as files."""

from __future__ import annotations

import csv
import html
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from apps.console.visitors import INCIDENT, OTHER_INCIDENT, SECRET_EMAIL, World, run, send

from windvane.adapters.sql import SqlControlStore

ITEM = {"what": "<b>ask acme</b>", "owner": "ana", "due": "2023-11-14", "acceptance": "it fails"}
ADD = f"/act/incident/add-action-item/{INCIDENT}"


@pytest.fixture
def world(migrated_file: Path, tmp_path: Path) -> Iterator[World]:
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    yield World(store)
    store.close()


def test_an_item_goes_from_the_incident_to_the_list_and_is_overdue(world: World) -> None:
    async def story() -> None:
        async with world.browser(world.people["operator"]) as client:
            refused = await send(client, ADD, **{**ITEM, "due": "soon"})
            assert refused.status_code == 422
            assert "ACT-102" in refused.text
            assert 'value="&lt;b&gt;ask acme&lt;/b&gt;"' in refused.text
            assert (await send(client, ADD, **ITEM)).status_code == 303
            page = (await client.get(f"/incidents/{INCIDENT}")).text
            assert "&lt;b&gt;ask acme&lt;/b&gt;" in page
            assert "overdue" not in page
            world.clock.at += 7_200.0
            page = (await client.get("/action-items?state=overdue")).text
            assert "overdue" in page
            (done,) = re.findall(r'href="(/act/incident/set-action-item/[^"]+)"', page)
            form = await client.get(html.unescape(done))
            assert '<option value="done" selected>' in form.text
            (item,) = re.findall(r'name="item" type="text" value="(\w+)"', form.text)
            path = html.unescape(done)
            assert (await send(client, path, item=item, state="done")).status_code == 303
            assert "No action item fits" in (await client.get("/action-items?state=overdue")).text
        assert "set-action-item" not in (await world.ask("viewer", "GET", "/action-items")).text

    run(story)


def test_items_are_seen_by_who_sees_the_model(world: World) -> None:
    async def story() -> None:
        given = {**ITEM, "reason": "r"}
        answer = await world.ask(
            "operator", "POST", f"/api/incidents/{INCIDENT}/add-action-item", given
        )
        assert answer.status_code == 200, answer.text
        for who, n in (("viewer", 1), ("viewer of ops", 1), ("viewer of seats", 0)):
            listed = (await world.ask(who, "GET", "/api/action-items")).json()
            assert len(listed) == n
            file = (await world.ask(who, "GET", "/csv/action-items")).text
            assert len(list(csv.DictReader(io.StringIO(file)))) == n
        listed = (await world.ask("viewer", "GET", "/api/action-items")).json()
        assert (listed[0]["owner"], listed[0]["state"], listed[0]["overdue"]) == (
            "ana", "open", False,
        )  # fmt: skip
        for query, n in (("q=ACME", 1), ("q=none", 0), ("state=verified", 0), ("model=late", 1)):
            assert len((await world.ask("viewer", "GET", f"/api/action-items?{query}")).json()) == n
        # Of another team's incident, by way of one's own.
        moved = await world.ask(
            "operator of seats", "POST", f"/api/incidents/{OTHER_INCIDENT}/set-action-item",
            {"reason": "r", "item": listed[0]["id"], "state": "done"},
        )  # fmt: skip
        assert moved.status_code == 409
        assert "INC-105" in moved.text

    run(story)


def test_a_postmortem_is_shown_and_downloaded_without_values(world: World) -> None:
    async def story() -> None:
        page = (await world.ask("viewer", "GET", f"/postmortems/{INCIDENT}")).text
        assert "# Postmortem: late is ill" in page
        assert f"/api/postmortems/{INCIDENT}" in page
        file = await world.ask("admin", "GET", f"/api/postmortems/{INCIDENT}")
        assert file.headers["content-type"].startswith("text/markdown")
        assert file.headers["content-disposition"] == (
            f'attachment; filename="postmortem-{INCIDENT}.md"'
        )
        assert "## Action items" in file.text
        assert SECRET_EMAIL not in file.text
        missing = await world.ask("viewer", "GET", "/api/postmortems/none")
        assert missing.status_code == 404

    run(story)

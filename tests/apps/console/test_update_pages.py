"""An open incident says when its next update is due, drafts it, and takes it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from apps.console.visitors import INCIDENT, World, hidden_on, run

from windvane.adapters.sql import SqlControlStore

PAGE, API = f"/incidents/{INCIDENT}", f"/api/incidents/{INCIDENT}/update"


@pytest.fixture
def world(migrated_file: Path, tmp_path: Path) -> Iterator[World]:
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    yield World(store)
    store.close()


def told(world: World, ago_s: float, **also: object) -> None:
    with world.store.begin() as tx:
        held = tx.incident(INCIDENT)
        since = world.clock.wall() - ago_s
        tx.put_incident(replace(held, severity="medium", update_since=since, **also))  # type: ignore[arg-type]


def test_it_counts_down_and_says_what_is_overdue(world: World) -> None:
    async def story() -> None:
        assert "<dt>update</dt>" not in (await world.ask("viewer", "GET", PAGE)).text
        assert (await world.ask("viewer", "GET", API)).json()["due"] is None
        told(world, 600.0)
        page = (await world.ask("viewer", "GET", PAGE)).text
        assert "next in 20 min" in page
        assert "overdue" not in page
        told(world, 2_400.0, maintenance="the warehouse moves")
        page = (await world.ask("viewer", "GET", PAGE)).text
        assert "overdue" in page
        assert "for 10 min" in page
        assert "in planned maintenance" in page
        draft = (await world.ask("viewer", "GET", API)).json()
        assert (draft["number"], draft["overdue"], draft["every_s"]) == (1, True, 1_800.0)
        assert draft["text"].startswith("update 1 on late (medium)")

    run(story)


def test_the_form_begins_with_the_draft_and_posts_what_was_made_of_it(world: World) -> None:
    told(world, 2_400.0)

    async def story() -> None:
        form = f"/act/incident/update/{INCIDENT}"
        async with world.browser(world.people["operator"]) as client:
            page = await client.get(form)
            assert "update 1 on late (medium)" in page.text
            sent = {**hidden_on(page), "text": "we know why", "reason": "due"}
            assert (await client.post(form, data=sent)).status_code == 303
            shown = (await client.get(PAGE)).text
            assert "we know why" in shown
            assert "1 posted" in shown
            again = (await client.get(f"/api/incidents/{INCIDENT}")).json()
            assert again["updates"] == 1
        assert (
            await world.ask("viewer", "POST", API, {"reason": "x", "text": "y"})
        ).status_code == 403

    run(story)

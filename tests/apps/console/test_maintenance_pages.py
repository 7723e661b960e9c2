"""Planned maintenance on pages and by the API: who may declare it, and what they see of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apps.console.visitors import World, hidden_on, run

from windvane.adapters.sql import SqlControlStore

API = "/api/maintenance"
NOW = 1_700_000_000.0


@pytest.fixture
def world(migrated_file: Path, tmp_path: Path) -> Iterator[World]:
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    yield World(store)
    store.close()


def wanted(**given: Any) -> dict[str, Any]:
    return {"until": NOW + 3_600.0, "reason": "the warehouse moves", **given}


def test_it_is_declared_listed_and_cancelled_by_the_api(world: World) -> None:
    async def story() -> None:
        made = await world.ask("operator", "POST", API, wanted(model="late", begins=NOW + 60.0))
        assert made.status_code == 200, made.text
        one = made.json()
        assert (one["model"], one["begins"], one["until"]) == ("late", NOW + 60.0, NOW + 3_600.0)
        assert (await world.ask("viewer", "GET", API)).json() == [one]
        assert (await world.ask("viewer of seats", "GET", API)).json() == []
        gone = await world.ask("operator", "DELETE", f"{API}/{one['id']}")
        assert gone.json()["id"] == one["id"]
        assert (await world.ask("viewer", "GET", API)).json() == []
        assert {d.action for d in world.decisions()} >= {"plan_maintenance", "cancel_maintenance"}

    run(story)


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        (wanted(until=NOW + 8 * 86_400.0), 422, "INC-107"),
        (wanted(until=NOW - 5.0), 422, "INC-107"),
        (wanted(reason=" "), 422, "reason"),
        (wanted(modell="late"), 422, "modell"),
        (wanted(model="none"), 404, "none"),
        (wanted(until="soon"), 422, "until"),
    ],
)
def test_what_cannot_be_declared_is_refused(
    world: World, given: dict[str, Any], status: int, said: str
) -> None:
    async def story() -> None:
        answer = await world.ask("admin", "POST", API, given)
        assert answer.status_code == status, answer.text
        assert said in answer.text
        assert (await world.ask("admin", "GET", API)).json() == []

    run(story)


def test_all_models_are_for_who_operates_all(world: World) -> None:
    async def story() -> None:
        for who, status in (("viewer", 403), ("admin", 200)):
            answer = await world.ask(who, "POST", API, wanted())
            assert answer.status_code == status, (who, answer.text)
        for model in ("late", "none"):
            other = await world.ask("operator of seats", "POST", API, wanted(model=model))
            assert other.status_code == 403, "they learn of no other model"
        (one,) = (await world.ask("viewer of seats", "GET", API)).json()
        assert one["model"] == "", "what is of all models concerns everybody"

    run(story)


def test_the_form_declares_it_and_says_what_is_wrong(world: World) -> None:
    async def story() -> None:
        async with world.browser(world.people["admin"]) as client:
            form = hidden_on(await client.get("/maintenance/plan"))
            sent = {**form, "model": "late", "begins": "2023-11-14T23:00", "lasts": "9d",
                    "reason": "moves"}  # fmt: skip
            refused = await client.post("/maintenance/plan", data=sent)
            assert refused.status_code == 422
            assert "lasts" in refused.text
            sent["begins"] = "tomorrow"
            assert "no time" in (await client.post("/maintenance/plan", data=sent)).text
            sent |= {"begins": "2023-11-14T23:00", "lasts": "2h"}
            done = await client.post("/maintenance/plan", data=sent)
            assert (done.status_code, done.headers["location"]) == (303, "/maintenance")
            page = (await client.get("/maintenance")).text
            assert "model late" in page
            assert "2023-11-14 23:00" in page
            assert "planned maintenance" in (await client.get("/models/late")).text
            (one,) = (await client.get(API)).json()
            form = hidden_on(await client.get(f"/maintenance/cancel?id={one['id']}"))
            gone = await client.post(
                f"/maintenance/cancel?id={one['id']}", data={**form, "reason": "done"}
            )
            assert gone.status_code == 303
            assert "Nothing is planned" in (await client.get("/maintenance")).text

    run(story)

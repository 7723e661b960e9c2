"""What a call asks with is read, or refused: nothing that was meant is ignored."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from apps.console.visitors import World, run

from windvane.adapters.sql import SqlControlStore


@pytest.fixture
def world(migrated_file: Path, tmp_path: Path) -> Iterator[World]:
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    yield World(store)
    store.close()


@pytest.mark.parametrize(
    ("path", "name", "hint"),
    [
        ("/api/incidents?modell=late", "modell", "did you mean 'model'?"),
        ("/api/models?per_pages=2", "per_pages", "did you mean 'per_page'?"),
        ("/api/silences?page=1&since=3", "since", "page"),
        ("/api/models/late?windows=4", "windows", "it takes none"),
        ("/api/models/late/drift?window=4", "window", "did you mean 'windows'?"),
    ],
)
def test_an_unknown_parameter_is_named_with_what_is_close(
    world: World, path: str, name: str, hint: str
) -> None:
    async def story() -> None:
        answer = await world.ask("viewer", "GET", path)
        assert answer.status_code == 422, answer.text
        told = answer.json()
        assert told["code"] == "CSL-123"
        assert f"no query parameter {name!r}" in told["message"]
        assert hint in told["hint"]

    run(story)


def test_a_change_with_one_changes_nothing(world: World) -> None:
    async def story() -> None:
        before = len(world.decisions())
        answer = await world.ask(
            "operator", "POST", "/api/models/late/silence?lasts=30m", {"reason": "seen"}
        )
        assert answer.status_code == 422, "what was meant is in the body"
        assert len(world.decisions()) == before

    run(story)


def test_who_may_not_ask_learns_nothing_of_parameters(world: World) -> None:
    async def story() -> None:
        assert (await world.ask("", "GET", "/api/models?x=1")).status_code == 401
        assert (await world.ask("viewer", "GET", "/api/keys?x=1")).status_code == 403

    run(story)


def test_pages_are_not_so_strict(world: World) -> None:
    """Links to pages come with what mail programs add to them."""

    async def story() -> None:
        assert (await world.ask("viewer", "GET", "/incidents?utm_source=mail")).status_code == 200

    run(story)

"""Forms of actions: refused before anybody types where that is known, and nothing typed is lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from apps.console.visitors import World, hidden_on, run

from windvane.adapters.sql import SqlControlStore
from windvane.core.execution import Offer, RuntimeName, choose_runtime

PATH = "/act/model/deploy/late?version=3"


@pytest.fixture
def world(migrated_file: Path, tmp_path: Path) -> Iterator[World]:
    """Version 3 can run code as it is loaded, and nobody trusts it."""
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    made = World(store)
    choice = choose_runtime([Offer(RuntimeName.SKLEARN, runs_code=True)])
    with store.begin() as tx:
        known = tx.version("late", "2")
        lineage = {"runtime": msgspec.to_builtins(choice)}
        tx.add_version(replace(known, version="3", manifest="3" * 64, lineage=lineage))
    yield made
    store.close()


def test_who_deploys_what_nobody_trusts_hears_it_first_and_where_to_go(world: World) -> None:
    async def story() -> None:
        page = (await world.ask("admin", "GET", PATH)).text
        assert "nobody trusts its files" in page
        assert '<span class="code">ROL-102</span>' in page
        assert 'href="/act/model/trust/late?version=3"' in page
        assert "<textarea" not in page, "there is nothing to type a reason for"
        below = (await world.ask("operator", "GET", PATH)).text
        assert "nobody trusts its files" in below
        assert "/act/model/trust/" not in below, "they may not"

        trust = "/act/model/trust/late?version=3"
        async with world.browser(world.people["admin"]) as client:
            form = hidden_on(await client.get(trust))
            assert (await client.post(trust, data={**form, "reason": "mine"})).status_code == 303
            page = (await client.get(PATH)).text
        assert "begins at" in page
        assert "<textarea" in page

    run(story)


@pytest.mark.parametrize("lasts", ["2 fortnights", "1h"])
def test_a_form_that_is_refused_keeps_what_was_typed(world: World, lasts: str) -> None:
    async def story() -> None:
        path = "/act/model/silence/late"
        async with world.browser(world.people["operator"]) as client:
            form = hidden_on(await client.get(path))
            reason = '<b>"ours" & known</b>' + "x" * (500 if lasts == "1h" else 0)
            sent = {**form, "reason": reason, "lasts": lasts}
            page = await client.post(path, data=sent)
        assert page.status_code == 422
        assert "&lt;b&gt;&#34;ours&#34; &amp; known&lt;/b&gt;" in page.text
        assert f'name="lasts" value="{lasts}"' in page.text

    run(story)


def test_versions_are_unfolded_where_another_one_is_wanted(world: World) -> None:
    async def story() -> None:
        fold = '<details id="all-versions"'
        page = (await world.ask("admin", "GET", "/models/late")).text
        assert f"{fold}>" in page
        with world.store.begin() as tx:
            tx.drop_deployment("late")
        page = (await world.ask("admin", "GET", "/models/late?windows=30")).text
        assert f"{fold} open data-unfolded>" in page
        assert 'href="/act/model/deploy/late?version=3"' in page

    run(story)

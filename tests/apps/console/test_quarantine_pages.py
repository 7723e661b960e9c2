"""What is set aside: on its pages, as a file and by the API; who may put it back or forget it."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from apps.console.visitors import World, hidden_on, run, send
from event_rows import predicted_event

from windvane.adapters.sql import SqlControlStore
from windvane.ports.events import EVENT_ENCODER
from windvane.ports.quarantine import MAX_BODY_BYTES, ItemKind, Quarantined

BODY = EVENT_ENCODER.encode(
    predicted_event("e1", 5.0, "seats", "AA", "c", values=[1.5], outputs=[0.25])
)
ITEMS = (
    Quarantined("a1", ItemKind.EVENT, "seats", "AA", 5.0, "REC-106", "1.5 is odd", BODY, len(BODY),
                "m@7"),
    Quarantined("a2", ItemKind.EVENT, "seats", "UA", 6.0, "REC-106", "long", b"x",
                MAX_BODY_BYTES + 1, "m@8"),
    Quarantined("b1", ItemKind.FILE, "late", "", 7.0, "MOD-101", "quotes ada", b"model: [", 8, "f"),
    Quarantined("c1", ItemKind.EVENT, "", "", 8.0, "REC-101", "no event", b"\xff", 1, "m@9"),
)  # fmt: skip


@pytest.fixture
def world(migrated_file: Path, tmp_path: Path) -> Iterator[World]:
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    made = World(store)
    with store.begin() as tx:
        tx.add_quarantined(ITEMS)
    yield made
    store.close()


def held(world: World) -> dict[str, str]:
    with world.store.read() as tx:
        return {one.id: str(one.status) for one in tx.quarantined()}


def test_each_sees_and_may_change_what_their_roles_reach(world: World) -> None:
    async def story() -> None:
        for who, seen, changeable in (
            ("admin", {"a1", "a2", "b1", "c1"}, {"a1", "a2", "b1", "c1"}),
            ("viewer", {"a1", "a2", "b1", "c1"}, set[str]()),
            ("operator of seats", {"a1", "a2"}, {"a1", "a2"}),
            ("viewer of ops", {"b1"}, set[str]()),
        ):
            page = (await world.ask(who, "GET", "/quarantine")).text
            assert set(re.findall(r'href="/quarantine/(\w\d)"', page)) == seen, who
            assert set(re.findall(r"/forget\?item=(\w\d)", page)) == changeable, who
            assert ("1.5 is odd" in page) == (who in ("admin", "operator of seats")), who
            assert "quotes ada" not in page, "the file of late has personal features"
            file = (await world.ask(who, "GET", "/csv/quarantine")).text
            assert {row["id"] for row in csv.DictReader(io.StringIO(file))} == seen
            home = (await world.ask(who, "GET", "/")).text
            assert f"{len(seen)} item{'s' * (len(seen) > 1)}</a> could not be processed" in home
            for item in {"a1", "a2", "b1", "c1"} - seen:
                answer = await world.ask(who, "GET", f"/quarantine/{item}")
                assert answer.status_code == 404, (who, item)

    run(story)


def test_a_list_is_searched_and_narrowed(world: World) -> None:
    async def story() -> None:
        for query, found in (("q=odd", {"a1"}), ("kind=file", {"b1"}),
                             ("model=seats", {"a1", "a2"}), ("q=nothing", set[str]())):  # fmt: skip
            page = (await world.ask("admin", "GET", f"/quarantine?{query}")).text
            assert set(re.findall(r'href="/quarantine/(\w\d)"', page)) == found, query

    run(story)


def test_an_item_is_shown_with_its_content_to_whoever_sees_values(world: World) -> None:
    async def story() -> None:
        page = (await world.ask("operator", "GET", "/quarantine/a1")).text
        assert "&#34;event_id&#34;: &#34;e1&#34;" in page
        assert "counted and logged by a recorder within seconds, once" in page
        for who, item in (("viewer", "a1"), ("admin", "b1")):
            page = (await world.ask(who, "GET", f"/quarantine/{item}")).text
            assert "Hidden: it is of a request" in page
            assert "e1&#34;" not in page
            assert "model: [" not in page
        page = (await world.ask("operator", "GET", "/quarantine/a2")).text
        assert "it cannot be processed again" in page
        assert "/quarantine/put-back" not in page

    run(story)


def test_a_form_says_what_follows_and_puts_back_what_fits(world: World) -> None:
    path = "/quarantine/put-back?model=seats"

    async def story() -> None:
        page = (await world.ask("operator of seats", "GET", path)).text
        assert "2 events: counted and logged by a recorder within seconds, once." in page
        assert "1 of them is not whole, and cannot be processed." in page
        async with world.browser(world.people["operator of seats"]) as client:
            refused = await send(client, path, reason="")
            assert refused.status_code == 422, "a reason is needed"
            assert held(world)["a1"] == "held"
            done = await send(client, path, reason="mended")
        assert (done.status_code, done.headers["location"]) == (303, "/quarantine")

    run(story)
    assert held(world) == {"a1": "retry", "a2": "held", "b1": "held", "c1": "held"}
    (last,) = (d for d in world.decisions() if d.subject == "quarantine")
    assert (last.model, last.action, last.reason) == ("seats", "put-back", "mended")
    assert last.actor == "oidc:operator of seats"


def test_what_came_after_the_form_was_shown_is_not_forgotten(world: World) -> None:
    path = "/quarantine/forget?model=seats"

    async def story() -> None:
        async with world.browser(world.people["admin"]) as client:
            page = await client.get(path)
            assert "2 events will never be processed" in page.text
            with world.store.begin() as tx:
                tx.add_quarantined([replace(ITEMS[0], id="a3")])
            sent = {**hidden_on(page), "reason": "old"}
            answer = await client.post(path, data=sent)
            assert (answer.status_code, "3 items by now" in answer.text) == (422, True)
            assert len(held(world)) == 5
            sent = {**hidden_on(answer), "reason": "old"}
            assert (await client.post(path, data=sent)).status_code == 303

    run(story)
    assert set(held(world)) == {"b1", "c1"}


def test_the_api_leaves_out_what_is_not_ones_own_before_it_counts(world: World) -> None:
    async def story() -> None:
        for who, found in (("operator of seats", ["a2"]), ("admin", ["c1"])):
            answer = await world.ask(who, "GET", "/api/quarantine?limit=1")
            assert [one["id"] for one in answer.json()] == found

    run(story)


def test_an_item_of_another_release_is_shown_and_forgotten(world: World) -> None:
    with world.store.begin() as tx:
        tx.add_quarantined([replace(ITEMS[0], id="z1", kind="plan")])

    async def story() -> None:
        for path in ("/quarantine/z1", "/quarantine/put-back?item=z1"):
            page = await world.ask("admin", "GET", path)
            assert (page.status_code, "does not know" in page.text) == (200, True), path
        async with world.browser(world.people["admin"]) as client:
            done = await send(client, "/quarantine/forget?item=z1")
        assert done.status_code == 303

    run(story)
    assert "z1" not in held(world)


def test_nobody_forgets_what_is_not_theirs(world: World) -> None:
    async def story() -> None:
        given = {"items": ["a1", "b1"], "reason": "old"}
        answer = await world.ask("operator of seats", "POST", "/api/quarantine/forget", given)
        assert (answer.status_code, answer.json()["code"]) == (403, "CSL-104")
        assert len(held(world)) == 4
        answer = await world.ask("admin", "POST", "/api/quarantine/forget", given)
        assert answer.json() == {"items": 2}
        answer = await world.ask("admin", "POST", "/api/quarantine/forget", given)
        assert answer.status_code == 404
        page = await world.ask("viewer of ops", "GET", "/quarantine/forget")
        assert page.status_code == 403
        page = await world.ask("operator of seats", "GET", "/quarantine/forget?item=c1")
        assert page.status_code == 404

    run(story)
    assert set(held(world)) == {"a2", "c1"}
    told = {(d.model, d.action): d.verdict.sentence for d in world.decisions()
            if d.subject == "quarantine"}  # fmt: skip
    assert told == {
        ("seats", "forget"): "what was set aside is forgotten: 1 event",
        ("late", "forget"): "what was set aside is forgotten: 1 file",
    }

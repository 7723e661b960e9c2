"""Long tables: searched on the server, in pages, worst first, in a bounded number of queries."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from apps.console.visitors import INCIDENT, OTHER_INCIDENT, World, run
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.engine import Engine

from windvane.adapters.sql import SqlControlStore
from windvane.apps.console.tables import PER_PAGE, paged, search
from windvane.core.sketch import NO_AXES, TRAFFIC, Sketch
from windvane.ports.control_store import (
    Checkpoint,
    Deployment,
    Incident,
    ModelRecord,
    WindowKey,
)

MODELS = 1_000
FILE = "model: m-{i:04d}\nowner: {{team: team-{t}}}\nfeatures: {{v: {{f: {{type: number}}}}}}\n"


@given(st.integers(0, 400), st.integers(1, 60), st.text(max_size=6))
def test_pages_hold_every_row_once_and_their_links_lead_on(n: int, size: int, word: str) -> None:
    rows = list(range(n))
    page, seen, path = "", list[int](), "/t"
    for _ in range(n // size + 2):
        shown = paged(rows, page, path, {"q": word, "state": ""}, size)
        seen += shown.rows
        assert shown.total == n
        if shown.page == shown.pages:
            break
        link = urlsplit(shown.link(shown.page + 1))
        asked = dict(parse_qsl(link.query, keep_blank_values=True))
        page = asked.pop("page")
        assert asked == ({"q": word} if word else {})
    assert seen == rows


@pytest.mark.parametrize("page", ["0", "-1", "x", "999999", "9" * 30, "٣"])
def test_any_page_that_is_asked_for_is_one_that_there_is(page: str) -> None:
    shown = paged(list(range(10)), page, "/", {}, 4)
    assert shown.rows
    assert 1 <= shown.page <= 3


def test_every_word_has_to_be_found_in_any_case() -> None:
    rows = ["flight-delay ops", "seat-demand Revenue", "no-show gates"]
    found = search(rows, "DEMAND rev", lambda row: (row,))
    assert found == ["seat-demand Revenue"]
    assert search(rows, "  ", lambda row: (row,)) == rows


@contextmanager
def counted(store: SqlControlStore) -> Iterator[list[str]]:
    asked: list[str] = []

    def note(conn: object, cursor: object, statement: str, *rest: object) -> None:
        del conn, cursor, rest
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture(scope="module")
def crowded(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A thousand models of ten teams: the last has an urgent incident, one stands in."""
    home = tmp_path_factory.mktemp("crowded")
    shutil.copy(migrated_file, home / "control.db")
    store = SqlControlStore(f"sqlite:///{home / 'control.db'}")
    world = World(store)
    now = world.clock.now()
    with store.begin() as tx:
        for i in range(MODELS):
            text = FILE.format(i=i, t=i % 10)
            tx.put_model(ModelRecord(f"m-{i:04d}", text, now))
            tx.put_deployment(Deployment(f"m-{i:04d}", champion="1"))
        tx.put_deployment(Deployment("m-0500", champion="2", standing_in="1"))
        for i in range(MODELS):
            opened = i == MODELS - 1
            tx.put_incident(
                Incident(f"i-{i}", f"m-{i:04d}", f"cause-{i}", "feed" if i % 2 else "errors",
                         "high" if opened else "low", f"incident {i}", now + i, now,
                         None if opened else now + i, "o", "r", {})
            )  # fmt: skip
    yield world
    store.close()


def test_a_thousand_models_are_found_in_as_many_queries_as_a_hundred(crowded: World) -> None:
    async def story() -> None:
        with counted(crowded.store) as asked:
            page = await crowded.ask("viewer", "GET", "/")
        assert page.status_code == 200
        assert len(asked) < 12 * PER_PAGE, "only the models on the page are looked at closely"
        at = [page.text.index(f'id="model-{name}"') for name in ("m-0999", "m-0500")]
        assert at == sorted(at), "worst first"
        assert f"1 to {PER_PAGE} of 1,002" in page.text
        found = await crowded.ask("viewer", "GET", "/?q=m-0777")
        assert found.text.count('class="card ') == 1
        with counted(crowded.store) as asked:
            narrow = await crowded.ask("viewer", "GET", "/?q=m-07&team=team-3")
        assert narrow.text.count('class="card ') == 10
        assert len(asked) < 40 + 12 * 10
        none = await crowded.ask("viewer", "GET", "/?q=zzz")
        assert "None of 1,002 models fits." in none.text
        states = await crowded.ask("viewer", "GET", "/?state=standing+in")
        assert states.text.count('class="card ') == 1

    run(story)


def test_the_links_of_a_list_keep_what_was_asked_for(crowded: World) -> None:
    async def story() -> None:
        page = await crowded.ask("viewer", "GET", "/?q=m-0&page=2")
        assert 'href="/?q=m-0&amp;page=3"' in page.text
        assert 'href="/csv/models?q=m-0"' in page.text
        last = await crowded.ask("viewer", "GET", "/?q=m-0&page=999")
        assert "to 1,000 of 1,000" in last.text

    run(story)


def test_the_api_says_how_many_there_are_and_where_the_next_are(crowded: World) -> None:
    async def story() -> None:
        names: list[str] = []
        path = "/api/models?q=m-0&per_page=150"
        for _ in range(10):
            answer = await crowded.ask("viewer", "GET", path)
            assert answer.headers["x-total-count"] == "1000"
            names += [one["name"] for one in answer.json()]
            if "link" not in answer.headers:
                break
            path = answer.headers["link"].split(">")[0].lstrip("<")
        assert len(names) == len(set(names)) == MODELS
        assert names[0] == "m-0999"

    run(story)


def test_incidents_are_filtered_and_paged(crowded: World) -> None:
    async def story() -> None:
        page = await crowded.ask("viewer", "GET", "/incidents")
        assert "incident 999" in page.text
        assert f"1 to {PER_PAGE} of 1,002" in page.text
        for query, total in (("state=open", 3), ("state=closed", 999), ("severity=high", 1),
                             ("kind=feed&state=closed", 499), ("q=incident+12", 20),
                             ("model=m-0007", 1), ("state=odd", 0)):  # fmt: skip
            answer = await crowded.ask("viewer", "GET", f"/api/incidents?{query}")
            assert answer.headers["x-total-count"] == str(total), query
        second = await crowded.ask("viewer", "GET", "/incidents?state=closed&page=2")
        assert 'href="/incidents?state=closed&amp;page=3"' in second.text
        file = await crowded.ask("viewer", "GET", "/csv/incidents?kind=feed&state=closed")
        assert len(file.text.splitlines()) == 1 + 499

    run(story)


def test_all_models_fit_into_one_file(crowded: World) -> None:
    async def story() -> None:
        file = await crowded.ask("viewer", "GET", "/csv/models?q=m-0")
        rows = file.text.splitlines()
        assert len(rows) == 1 + MODELS
        assert rows[1].startswith("m-0999,")

    run(story)


def test_a_thousand_tenants_are_searched_and_paged(crowded: World) -> None:
    hour = crowded.clock.now() // 3_600 * 3_600
    with crowded.store.begin() as tx:
        tx.put_layout(NO_AXES)
        tx.set_checkpoint(Checkpoint("w0", 1, hour))
        tx.add_sketches(
            {
                WindowKey("late", hour - 600.0, "2", "champion", f"t-{i:04d}", "r"): asked(i + 1)
                for i in range(MODELS)
            }
        )

    async def story() -> None:
        page = await crowded.ask("viewer", "GET", "/models/late/tenants")
        assert f"1 to {PER_PAGE} of 1,000" in page.text
        assert page.text.index("t-0999") < page.text.index("t-0998"), "the busiest first"
        found = await crowded.ask("viewer", "GET", "/api/models/late/tenants?q=t-07&per_page=60")
        assert found.headers["x-total-count"] == "100"
        assert found.headers["link"].startswith("</api/models/late/tenants?q=t-07&page=2&per_page")
        assert len(found.json()) == 60
        file = await crowded.ask("viewer", "GET", "/csv/models/late/tenants?q=t-07")
        assert len(file.text.splitlines()) == 101
        model = await crowded.ask("viewer", "GET", "/models/late")
        assert "and 960 more with less traffic: search them" in model.text

    run(story)


def asked(requests: int) -> Sketch:
    found = Sketch.empty(NO_AXES.id, 0)
    for name in ("requests", "rows"):
        found.traffic[TRAFFIC.index(name)] = requests
    return found


def test_incidents_are_filtered_by_whether_somebody_is_on_them(
    migrated_file: Path, tmp_path: Path
) -> None:
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    world = World(store)

    async def story() -> None:
        path = f"/api/incidents/{INCIDENT}/acknowledge"
        assert (await world.ask("operator", "POST", path, {"reason": "T-1"})).status_code == 200
        both = {INCIDENT, OTHER_INCIDENT}
        for asked_for, wanted in {
            "yes": {INCIDENT}, "no": {OTHER_INCIDENT}, "odd": set[str](), "": both,
        }.items():  # fmt: skip
            query = f"acknowledged={asked_for}"
            answer = await world.ask("viewer", "GET", f"/api/incidents?{query}")
            assert {one["id"] for one in answer.json()} == wanted
            page = (await world.ask("viewer", "GET", f"/incidents?{query}")).text
            file = (await world.ask("viewer", "GET", f"/csv/incidents?{query}")).text
            for name in both:
                assert (f'id="incident-{name}"' in page) == (name in wanted)
                assert (name in file) == (name in wanted)
        held = (await world.ask("viewer", "GET", "/api/incidents?acknowledged=yes")).json()[0]
        assert held["acknowledged_by"] == "oidc:operator"
        assert held["acknowledged_at"] == world.clock.at
        assert "acknowledged by oidc:operator" in (
            await world.ask("viewer", "GET", "/incidents")
        ).text  # fmt: skip

    run(story)
    store.close()

"""A model's log for people: what it shows to whom, what it finds, what it says if it cannot."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import quote

import pytest
from apps.console.visitors import FILE, SECRET_EMAIL, World, run
from event_rows import predicted_event

from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.sql import SqlControlStore
from windvane.ports.event_log import LogEntry
from windvane.ports.events import Event, OutcomeSeen, Refused
from windvane.usecases.read_model_file import read_model_file

CONTRACT = read_model_file(FILE.format(decides="[]")).contract
VALUES = ("41.25", "0.6137", "u-secret", SECRET_EMAIL)
MANY = 130


@pytest.fixture
def world(migrated_file: Path, tmp_path: Path) -> Iterator[World]:
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    log = DeltaEventLog(str(tmp_path / "log"))
    made = World(store, log=log)
    now = made.clock.now()
    events: list[Event] = [
        predicted_event(
            f"p{i:03d}", now - 4_000.0 + 10.0 * i, "late", "acme" if i % 2 else "bolt",
            CONTRACT.id, values=[41.25, SECRET_EMAIL], outputs=[0.6137], unit="u-secret",
            routed="2", answered="1" if i == 7 else "2", request_id=f"mine-{i}",
        )
        for i in range(MANY)
    ]  # fmt: skip
    events.append(OutcomeSeen("o1", now - 100.0, "late", "acme", CONTRACT.id, "p129", 0, 1.0))
    events.append(
        Refused("r1", now - 50.0, "late", "acme", CONTRACT.id, "CON-102",
                f"x must be a number, got '{SECRET_EMAIL}'", f'{{"x": "{SECRET_EMAIL}"}}')
    )  # fmt: skip
    log.append(
        "w0", 10 * len(events), [LogEntry("w0", 10 * i, e) for i, e in enumerate(events)],
        {CONTRACT.id: CONTRACT},
    )  # fmt: skip
    yield made
    store.close()


def test_the_newest_come_first_with_their_outcome_and_pages_lead_on(world: World) -> None:
    async def story() -> None:
        page = await world.ask("operator", "GET", "/models/late/log")
        assert page.status_code == 200
        assert re.findall(r"p\d{3}(?=</span>)", page.text)[:2] == ["p129", "p128"]
        assert "<b>1</b>" in page.text.replace("1.0", "1"), "the outcome stands beside it"
        seen: list[str] = []
        path = "/models/late/log"
        for _ in range(6):
            page = await world.ask("operator", "GET", path)
            seen += re.findall(r'<span class="code">(p\d{3})</span>', page.text)
            older = re.search(r'rel="next" href="([^"]+)"', page.text)
            if older is None:
                break
            path = unescape(older[1])
        assert seen == [f"p{i:03d}" for i in reversed(range(MANY))]

    run(story)


def test_filters_find_what_they_name(world: World) -> None:
    async def rows(query: str) -> list[str]:
        answer = await world.ask("operator", "GET", f"/api/models/late/log?limit=500&{query}")
        assert answer.status_code == 200, answer.text
        return [row["prediction_id"] for row in answer.json()["rows"]]

    async def story() -> None:
        assert len(await rows("tenant=bolt")) == MANY // 2
        assert await rows("request=mine-12") == await rows("request=p012") == ["p012"]
        assert await rows("version=1") == ["p007"]
        assert await rows("kind=refusals&code=CON-102") == ["r1"]
        assert await rows("kind=refusals&code=CON-101") == []
        assert await rows("kind=outcomes") == ["p129"]
        assert await rows("last=1h") == [f"p{i:03d}" for i in reversed(range(40, MANY))]
        now = world.clock.now()
        assert await rows(f"since={now - 4_000}&until={now - 3_980}") == ["p001", "p000"]
        assert await rows("since=2023-11-14T21:06:40&until=2023-11-14T21:06:51Z") == [
            "p001", "p000",
        ]  # fmt: skip
        page = await world.ask("operator", "GET", "/models/late/log?kind=outcomes&version=2")
        assert "no outcomes are found by it" in page.text

    run(story)


@pytest.mark.parametrize(
    "path", ["/models/late/log", "/api/models/late/log", "/csv/models/late/log"]
)
def test_values_are_for_operators_personal_ones_for_nobody(world: World, path: str) -> None:
    async def story() -> None:
        for kind in ("predictions", "refusals", "outcomes"):
            for who in ("viewer", "operator", "approver", "admin"):
                answer = await world.ask(who, "GET", f"{path}?kind={kind}")
                assert answer.status_code == 200, answer.text
                text = answer.text
                assert SECRET_EMAIL not in text, (who, kind)
                assert "u-secret" not in text, "the unit is tagged pii"
                if kind == "predictions":
                    assert ("41.25" in text) == (who != "viewer"), who
                    assert ("0.6137" in text) == (who != "viewer"), who
                    assert "p129" in text
        for who, status in (("viewer of ops", 200), ("operator of ops", 200),
                            ("admin of seats", 403), ("nobody", 403), ("", 401)):  # fmt: skip
            answer = await world.ask(who, "GET", path)
            assert answer.status_code in (status, 303 if not who else status), who

    run(story)


def test_who_looked_at_values_is_on_record(world: World) -> None:
    def viewed() -> dict[tuple[str, str], int]:
        with world.store.read() as tx:
            return {(a.key, a.tenant): a.calls for a in tx.access("", 0.0, 100)}

    async def story() -> None:
        await world.ask("viewer", "GET", "/models/late/log")
        await world.ask("admin", "GET", "/models/late/log?request=nothing-of-this-name")
        assert viewed() == {}
        await world.ask("operator", "GET", "/models/late/log?tenant=acme")
        assert viewed() == {("oidc:operator", "acme"): 50}
        await world.ask("admin", "GET", "/csv/models/late/log?tenant=bolt")
        assert viewed()["oidc:admin", "bolt"] == MANY // 2
        audit = (await world.ask("admin", "GET", "/api/audit?tenant=acme")).json()
        assert [(a["key"], a["action"]) for a in audit] == [("oidc:operator", "viewed")]

    run(story)


def test_a_file_has_every_row_and_every_feature(world: World) -> None:
    async def story() -> None:
        text = (await world.ask("operator", "GET", "/csv/models/late/log")).text
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        assert [row["prediction_id"] for row in rows] == [
            f"p{i:03d}" for i in reversed(range(MANY))
        ]
        assert rows[0]["ts"].endswith("+00:00")
        assert (rows[0]["outcome"], rows[0]["outputs.probability"]) == ("[1.0]", "0.6137")
        assert {row["features.email"] for row in rows} == {"hidden"}

    run(story)


def test_what_cannot_be_read_is_said_so(world: World) -> None:
    async def story() -> None:
        for query, word in (("since=yesterday", "since is no time: 'yesterday'"),
                            ("last=9y", "'9y' is no span"), ("kind=guesses", "no 'guesses'"),
                            ("until=-4", "outside of the years"),
                            ("before=[1]", "no place in the log")):  # fmt: skip
            page = await world.ask("operator", "GET", f"/models/late/log?{query}")
            assert page.status_code == 422, query
            assert word in unescape(page.text), query
            answer = await world.ask("operator", "GET", f"/api/models/late/log?{query}")
            told = answer.json()
            assert (answer.status_code, set(told)) == (422, {"code", "message", "hint", "docs"})
            assert told["docs"] == f"errors/{told['code'][:3]}#{told['code'].lower()}"
        unknown = await world.ask("viewer", "GET", "/models/lete/log")
        assert "windvane explain-code STO-103" in unknown.text
        assert (unknown.status_code, "did you mean" in unknown.text) == (404, True)

    run(story)


def test_a_storage_that_is_away_is_said_so_and_the_rest_of_the_console_goes_on(
    world: World, tmp_path: Path
) -> None:
    async def story() -> None:
        assert (await world.ask("operator", "GET", "/models/late/log")).status_code == 200
        shutil.move(tmp_path / "log", tmp_path / "away")
        page = await world.ask("operator", "GET", "/models/late/log?tenant=acme")
        assert (page.status_code, "LOG-104" in page.text) == (503, True)
        assert "p129" not in page.text
        answer = await world.ask("operator", "GET", "/api/models/late/log?tenant=acme")
        assert (answer.status_code, answer.json()["code"]) == (503, "LOG-104")
        model = await world.ask("operator", "GET", "/models/late")
        assert model.status_code == 200
        assert "The outcomes cannot be read from the log just now: LOG-104" in model.text
        shutil.move(tmp_path / "away", tmp_path / "log")
        again = await world.ask("operator", "GET", "/models/late/log?request=p012")
        assert "p012" in again.text

    run(story)


@pytest.mark.parametrize("table", ["predictions", "outcomes"])
def test_tables_of_values_hide_a_personal_unit_and_go_on_record(world: World, table: str) -> None:
    async def story() -> None:
        path = f"/api/read/{table}?model=late"
        assert (await world.ask("viewer", "GET", path)).status_code == 403
        answer = await world.ask("operator", "GET", path + "&tenant=acme")
        assert answer.status_code == 200, answer.text
        rows = answer.json()["rows"]
        assert {row["unit"] for row in rows} == {"hidden"}
        assert SECRET_EMAIL not in answer.text
        assert "41.25" in answer.text
        audit = (await world.ask("admin", "GET", "/api/audit?tenant=acme")).json()
        assert [(a["key"], a["action"], a["calls"]) for a in audit] == [
            ("oidc:operator", "viewed", len(rows))
        ]

    run(story)


CURSORS = (
    "[" * 990, '[1,"\\ud800",0]', '[1,"\\u0000",0]', '[1,"a",' + "9" * 900 + "]", "9" * 900, "NaN",
    "true", '{"a":1}', "-1e400",
)  # fmt: skip


@pytest.mark.parametrize("cursor", CURSORS)
def test_a_cursor_that_no_page_gave_is_refused(world: World, cursor: str) -> None:
    async def story() -> None:
        tables = ("predictions", "outcomes", "windows", "drift", "decisions", "incidents")
        paths = [f"/api/read/{table}?model=late&after=" for table in tables]
        paths += [f"{one}/models/late/log?before=" for one in ("/api", "", "/csv")]
        for path in paths:
            answer = await world.ask("admin", "GET", path + quote(cursor))
            assert (answer.status_code, "RDR-101" in answer.text) == (422, True), path

    run(story)

"""Grading on the console, and what is made of it: precision, times, proposals."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from apps.console.visitors import INCIDENT, OTHER_INCIDENT, World, run, send

from windvane.adapters.sql import SqlControlStore
from windvane.ports.control_store import Incident

HOUR = 3_600.0


@pytest.fixture
def world(migrated_file: Path, tmp_path: Path) -> Iterator[World]:
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    yield World(store)
    store.close()


def incident(world: World, name: str = INCIDENT) -> Incident:
    with world.store.read() as tx:
        return tx.incident(name)


def test_closing_on_the_console_asks_what_it_was(world: World) -> None:
    async def story() -> None:
        path = f"/act/incident/close/{INCIDENT}"
        async with world.browser(world.people["operator"]) as client:
            form = (await client.get(path)).text
            for words in ("What was it?", "not known yet", "What should the runbook say?"):
                assert words in form
            typed = {"grade": "harmless", "runbook_change": "<b>ask acme</b>"}
            refused = await send(client, path, **{**typed, "grade": "maybe"})
            assert refused.status_code == 422
            assert "ACT-102" in refused.text
            assert 'value="&lt;b&gt;ask acme&lt;/b&gt;"' in refused.text, "it is not typed again"
            assert (await send(client, path, **typed)).status_code == 303
            page = (await client.get(f"/incidents/{INCIDENT}")).text
        assert "<b>harmless</b> by oidc:operator" in page
        assert "&lt;b&gt;ask acme&lt;/b&gt;" in page

    run(story)
    held = incident(world)
    assert (held.grade, held.graded_by) == ("harmless", "oidc:operator")
    assert held.closed_at == world.clock.at


def test_what_is_closed_can_be_graded_later_by_the_api(world: World) -> None:
    with world.store.begin() as tx:
        tx.put_incident(replace(tx.incident(INCIDENT), closed_at=world.clock.at))

    async def story() -> None:
        page = (await world.ask("operator", "GET", f"/incidents/{INCIDENT}")).text
        assert "nobody said yet whether it was true" in page
        assert f"/act/incident/grade/{INCIDENT}" in page
        path = f"/api/incidents/{INCIDENT}/grade"
        for given, status in (
            ({"reason": "r"}, 422),
            ({"reason": "r", "grade": ""}, 422),
            ({"reason": "r", "grade": "yes"}, 422),
            ({"reason": "r", "grade": "true", "runbook_change": "x" * 501}, 422),
            ({"reason": "r", "grade": "true", "runbook_change": "none"}, 200),
        ):
            answer = await world.ask("operator", "POST", path, given)
            assert answer.status_code == status, answer.text
        told = (await world.ask("viewer", "GET", f"/api/incidents/{INCIDENT}")).json()
        assert (told["grade"], told["graded_by"], told["runbook_change"]) == (
            "true", "oidc:operator", "none",
        )  # fmt: skip
        listed = (await world.ask("viewer", "GET", "/csv/incidents")).text
        rows = {row["id"]: row for row in csv.DictReader(io.StringIO(listed))}
        assert rows[INCIDENT]["grade"] == "true"

    run(story)


def many(world: World) -> None:
    """Six false alarms of one monitor of the team's model, answered within minutes."""
    now = world.clock.at
    with world.store.begin() as tx:
        for n in range(6):
            opened = now - n * 7 * 24 * HOUR
            tx.put_incident(
                Incident(f"late-slo-{n}", "late", "slo", "slo", "high", "t", opened, opened - 120.0,
                         opened + 2 * HOUR, "ops", "r", acknowledged_by="user:ana",
                         acknowledged_at=opened + 60.0, first_acknowledged_at=opened + 60.0,
                         monitors=("slo",), grade="false", graded_by="user:ana", graded_at=now)
            )  # fmt: skip


def test_precision_times_and_proposals_are_shown_to_who_sees_the_model(world: World) -> None:
    many(world)

    async def story() -> None:
        page = (await world.ask("viewer of ops", "GET", "/alerts")).text
        assert "Proposed for retirement" in page
        assert "0 of 6 were true: at most 46%" in page
        assert "seats" not in page
        one = await world.ask("viewer", "GET", "/alerts?model=late")
        assert 'id="plot-response"' in one.text
        assert (await world.ask("viewer of seats", "GET", "/alerts?model=late")).status_code == 403
        assert (await world.ask("viewer", "GET", "/alerts?model=none")).status_code == 404
        other = (await world.ask("viewer of seats", "GET", "/api/alerts")).json()
        assert (other["incidents"], {rule["model"] for rule in other["rules"]}) == (1, {"seats"})
        told = (await world.ask("viewer", "GET", "/api/alerts")).json()
        slo = next(m for m in told["monitors"] if m["monitor"] == "slo")
        assert (slo["alerts"], slo["graded"], slo["false"], slo["precision"]) == (6, 6, 6, 0.0)
        assert 0.45 < slo["upper"] < 0.46
        assert told["ungraded"] == 0, "those of the small world are open"
        late = next(t for t in told["times"] if t["model"] == "late" and t["week"] is None)
        assert late["acknowledge"] == {"median_s": 60.0, "count": 6}
        assert late["resolve"] == {"median_s": 2 * HOUR, "count": 6}
        file = (await world.ask("viewer", "GET", "/csv/alerts/times?model=late")).text
        rows = list(csv.DictReader(io.StringIO(file)))
        assert [row["week"] for row in rows].count("") == 1
        assert len(rows) == 7
        file = (await world.ask("viewer", "GET", "/csv/alerts/precision")).text
        found = {(r["monitor"], r["model"]): r for r in csv.DictReader(io.StringIO(file))}
        assert found["slo", ""]["retire"] == found["slo", "late"]["retire"] != ""

    run(story)


def test_monitors_of_incidents_from_before_follow_from_their_kind(world: World) -> None:
    async def story() -> None:
        told = (await world.ask("viewer of seats", "GET", "/api/alerts")).json()
        # `tenant` is what refusals of one tenant are called.
        assert [m["monitor"] for m in told["monitors"]] == ["refusals"]

    assert incident(world, OTHER_INCIDENT).monitors == ()
    run(story)

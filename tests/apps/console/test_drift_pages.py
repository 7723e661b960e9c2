"""What drifted, of whom and since when: the map, a feature's page, and the files behind both."""

from __future__ import annotations

import csv
import html
import io
import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from apps.console.visitors import World, run
from journeys.console_harness import TENANTS
from journeys.console_seed import Seeded, seed

from windvane.apps.console.drift_views import MOST_POINTS, insensitive, map_view
from windvane.core.drift import DriftFacts, DriftPolicy, Kind, Reading, StreamState
from windvane.ports.control_store import WindowVerdict
from windvane.ports.judging import MonitorState
from windvane.usecases.apply_model import apply_model
from windvane.usecases.closed_window import tenant_subject
from windvane.usecases.monitors.drift_table import drift_table
from windvane.usecases.read_drift import evidence_points, make_drift_map
from windvane.usecases.read_model_file import read_model_file

MODEL = "/models/flight-delay"
HOUR = 3_600.0


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seeded]:
    given = seed(tmp_path_factory.mktemp("drift"))
    yield given
    given.store.close()


@pytest.fixture(scope="module")
def world(told: Seeded) -> World:
    world = World(told.store)
    world.clock.at = told.clock.now()
    for who in list(world.people):  # sessions began at another time
        del world.people[who]
    world.session("viewer", "viewer")
    return world


def data_of(page: str, name: str) -> Any:
    found = re.search(rf'data-{name}="([^"]*)"', page)
    assert found, page[:2_000]
    return json.loads(html.unescape(found[1]))


def charts_of(page: str) -> list[Any]:
    return [json.loads(html.unescape(text)) for text in re.findall(r'data-chart="([^"]*)"', page)]


async def shown(world: World, path: str, status: int = 200) -> str:
    answer = await world.ask("viewer", "GET", path)
    assert answer.status_code == status, answer.text
    return answer.text


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_map_has_the_worst_first_and_leads_to_the_features(world: World) -> None:
    async def story() -> None:
        page = await shown(world, f"{MODEL}/drift")
        drawn = data_of(page, "heat")
        assert (drawn["tenants"][0], drawn["features"][0]) == ("elm-express", "carrier")
        assert sorted(drawn["tenants"]) == sorted(TENANTS)
        assert drawn["cells"][0] == "9000000"
        assert {len(row) for row in drawn["cells"]} == {7}
        levels = [int(row[0]) for row in drawn["cells"]]
        assert levels == sorted(levels, reverse=True)
        assert 0 < levels[1] < 9
        assert f'href="{MODEL}/drift/carrier?tenant=elm-express"' in page
        assert "1 open alarm of" in page
        assert "carrier: values, only changes with a PSI of 0.60 or more are told" in page
        file = rows_of(await shown(world, f"/csv{MODEL}/drift"))
        assert (file[0]["tenant"], file[0]["alarmed"]) == ("elm-express", "true")
        some = sum(int(cell) > 0 for row in drawn["cells"] for cell in row)
        assert len(file) == some
        command = re.search(r"<code>curl -H .*?</code>", page)
        assert command
        assert f"http://localhost/csv{MODEL}/drift" in html.unescape(command[0])

    run(story)


@pytest.mark.parametrize(
    ("asked", "tenants", "features"),
    [("ELM", 1, 7), ("temp", 12, 1), ("a", 7, 2), ("zzz", 0, 0), ("elm express", 1, 7)],
)
def test_the_map_is_narrowed_to_a_tenant_or_a_feature(
    world: World, asked: str, tenants: int, features: int
) -> None:
    async def story() -> None:
        page = await shown(world, f"{MODEL}/drift?q={asked.replace(' ', '+')}")
        if not tenants:
            assert "No tenant and no feature of 12 and 7 fits" in page
            return
        drawn = data_of(page, "heat")
        assert len(drawn["tenants"]) == tenants
        assert len(drawn["features"]) == features

    run(story)


def cell(tenant: str, streams: dict[str, StreamState]) -> MonitorState:
    body = {"packed": "", "streams": msgspec.to_builtins(streams)}
    alarmed = any(s.alarmed for s in streams.values())
    return MonitorState("m", "sudden_shift", tenant_subject(tenant), 60.0, alarmed, body)


def test_a_map_of_a_thousand_tenants_and_a_hundred_features_stays_small() -> None:
    features = [f"feature {i:03}" for i in range(130)]
    states = [
        cell(
            f"tenant-{t:04}",
            {
                f"feature {i:03}/{kind}": StreamState(
                    1.0 + (t + i) % 13, 1.0, 1.0, 1.0, alarmed=(t, i) == (1_180, 77)
                )
                for i in range(130)
                for kind in ("values", "nulls")
            },
        )
        for t in range(1_200)
    ]
    found = make_drift_map(features, states, [], 1e6)
    view = map_view(found, "", "/models/m/drift")
    assert (view.tenants, view.features) == (1_000, 100)
    assert found.left_out == (200, 30)
    assert found.tenants[0] == "tenant-1180"
    assert found.features[0] == "feature 077"
    assert view.data["cells"][0][0] == "9"
    assert len(json.dumps(view.data)) < 150_000
    assert len(view.worst) <= 30


def look(start: float, subject: str, facts: DriftFacts, evidence: dict[str, StreamState]) -> Any:
    detail = drift_table(facts, (), DriftPolicy(1e6), evidence)
    return WindowVerdict("m", start, "sudden_shift", subject, "pass", "DRI-200", "ok", detail)


def test_the_map_of_the_last_windows_has_the_most_that_was_found_in_them() -> None:
    reading = Reading("f", "v", Kind.VALUES, 1.0, 0.3)
    facts = DriftFacts(0.0, 100, 50, (reading,), {})
    states = [cell("a", {"f/values": StreamState(2.0)}), cell("b", {})]
    looks = [
        look(0.0, tenant_subject("a"), facts, {"f/values": StreamState(9.0)}),
        look(0.0, tenant_subject("gone"), facts, {"f/values": StreamState(4.0)}),
        look(0.0, "", facts, {"f/values": StreamState(13.0)}),
    ]
    now, lately = (make_drift_map(["f"], states, given, 1e6) for given in ([], looks))
    assert now.cells["a", "f"].log_evidence == 2.0
    assert now.tenants == ("a", "b")
    assert {k: c.log_evidence for k, c in lately.cells.items()} == {
        ("a", "f"): 9.0, ("gone", "f"): 4.0,
    }  # fmt: skip
    assert lately.cells["a", "f"].size == pytest.approx(0.3)
    assert now.part(now.cells["a", "f"]) == pytest.approx(2.0 / math.log(1e6))
    assert replace(now, alarm_at=None).part(now.cells["a", "f"]) == 0.0, "not known is not much"


def test_a_feature_has_its_evidence_against_what_an_alarm_asks_for(world: World) -> None:
    async def story() -> None:
        path = f"{MODEL}/drift/temp?windows=120"
        page = await shown(world, path)
        evidence, effects = charts_of(page)
        lines = {one["label"]: one["values"] for one in evidence["series"]}
        assert set(lines["an alarm asks for"]) == {5.0}
        assert max(lines["nulls"]) > 5.0 > lines["nulls"][0]
        assert len(evidence["t"]) == len(lines["nulls"]) <= MOST_POINTS
        assert evidence["log"]
        assert evidence["marks"], "where an alarm opened is marked"
        assert [one["at"] for one in effects["lines"]] == [0.1, 0.2, 0.25]
        sizes = {one["label"]: one["values"] for one in effects["series"]}
        assert set(sizes) == {"PSI", "JS", "KL", "KS", "nulls rose by"}
        assert max(sizes["nulls rose by"]) == pytest.approx(0.97, abs=0.03)
        assert page.count('class="hist"') == 8
        assert "alarm: nulls" in page
        assert "nulls opened, size" in page
        file = rows_of(await shown(world, f"/csv{MODEL}/drift/evidence/temp?windows=120"))
        nulls = [float(row["log_evidence"]) for row in file if row["kind"] == "nulls"]
        in_powers = [round(value / math.log(10.0), 3) for value in nulls]
        assert in_powers == lines["nulls"]
        file = rows_of(await shown(world, f"/csv{MODEL}/drift/effects/temp?windows=120"))
        assert [round(float(row["psi"]), 4) for row in file] == sizes["PSI"]
        file = rows_of(await shown(world, f"/csv{MODEL}/drift/bins/temp"))
        assert {row["bin"] for row in file} > {"null"}
        names = (await shown(world, f"{MODEL}/drift/carrier")).count('class="hist"')
        assert names == 8

    run(story)


def test_one_tenants_feature_has_its_own_state_and_counts(world: World) -> None:
    async def story() -> None:
        page = await shown(world, f"{MODEL}/drift/carrier?tenant=elm-express")
        assert "alarm: values" in page
        assert "size 0.34" in page
        assert "Looks at one tenant are kept where something was found" in page
        mine = rows_of(await shown(world, f"/csv{MODEL}/drift/effects/carrier?tenant=elm-express"))
        all_rows = rows_of(await shown(world, f"/csv{MODEL}/drift/effects/carrier"))
        assert 0 < int(mine[5]["rows"]) < int(all_rows[5]["rows"])
        other = await shown(world, f"{MODEL}/drift/carrier?tenant=alder-air")
        assert "68% of the evidence that an alarm asks for" in other
        assert "no open alarm" in other
        nobody = await shown(world, f"{MODEL}/drift/carrier?tenant=nobody")
        assert "not looked at yet" in nobody
        assert "No row of this tenant" in nobody

    run(story)


def test_what_is_not_there_is_said_with_what_is(world: World) -> None:
    async def story() -> None:
        page = await shown(world, f"{MODEL}/drift/temo", 404)
        assert "no feature" in page
        assert f"{MODEL}/drift/temp" in page
        assert "there is no table" in await shown(world, f"/csv{MODEL}/drift/all/temp", 404)
        empty = await shown(world, "/models/no-show/drift")
        assert "Nothing is live" in empty
        await shown(world, "/models/no-show/drift/checked_in")

    run(story)


def test_a_look_of_an_earlier_release_has_no_evidence_rather_than_none_at_all() -> None:
    old = {"rows": 9, "readings": [{"feature": "f", "kind": "values", "e": 9.0, "size": 0.1}]}
    kept = WindowVerdict("m", 0.0, "sudden_shift", "", "pass", "DRI-200", "ok", old)
    assert evidence_points([kept], "f") == []
    assert make_drift_map(["f"], [], [replace(kept, subject="tenant/a")], None).cells == {}
    text = "model: m\nowner: {team: a}\nfeatures: {v: {f: {type: number}}}\n"
    assert insensitive([kept], read_model_file(text)) == []


def test_streams_that_show_large_changes_only_are_named_in_plain_words() -> None:
    text = "model: m\nowner: {team: a}\nfeatures: {v: {f: {type: number}, g: {type: number}}}\n"
    readings = (
        Reading("f", "v", Kind.VALUES, 0.0, 0.0, usual=0.5, known=1_000),
        Reading("f", "v", Kind.NULLS, 0.0, 0.0, usual=0.15, known=1_000),
        Reading("g", "v", Kind.VALUES, 0.0, 0.0, usual=0.01, known=1_000),
    )
    held = look(0.0, "", DriftFacts(0.0, 200, 50, readings, {}), {})
    found = insensitive([held], read_model_file(text))
    assert "\n".join(one.sentence for one in found) == (
        "f: values, only changes with a PSI of 0.60 or more are told (others from 0.10 on), "
        "after about 1,400 rows\n"
        "f: nulls, only rises of the null rate by 18 points or more are told (others from 5 "
        "points on), after about 1,200 rows"
    )


def test_names_of_a_personal_feature_are_on_no_page_of_drift(world: World, told: Seeded) -> None:
    with told.store.read() as tx:
        text = tx.model("flight-delay").text
    tagged = text.replace("carrier: {type: category}", "carrier: {type: category, tags: [pii]}")
    assert tagged != text

    async def story() -> None:
        for path in (f"{MODEL}/drift/carrier", f"/csv{MODEL}/drift/bins/carrier"):
            assert re.search(r"\bMQ\b", await shown(world, path))
        apply_model(told.store, told.clock, tagged)
        world.clock.at += 1.0
        try:
            for path in (f"{MODEL}/drift/carrier", f"/csv{MODEL}/drift/bins/carrier"):
                after = await shown(world, f"{path}?windows=30")
                assert not re.search(r"\bMQ\b", after)
                assert "bin 3" in after
        finally:
            apply_model(told.store, told.clock, text)

    run(story)


def test_an_incident_says_its_onset_from_what_to_what_and_what_was_near(
    world: World, told: Seeded
) -> None:
    async def story() -> None:
        page = await shown(world, f"/incidents/{told.feed_incident}")
        assert "between 2013-02-25 21:00 UTC and 2013-02-26 03:00 UTC" in page
        assert re.search(r"temp: nulls 0% to 9\d%, median [\d.]{2,5} to", page)
        assert f'href="{MODEL}/drift/wind_speed"' in page
        canary = told.canary_decision
        assert canary not in page, "days before"
        with told.store.begin() as tx:
            incident = tx.incident(told.feed_incident)
            decision = tx.decision(canary)
            tx.decide(replace(decision, id="near-1", at=incident.since - 2 * HOUR))
        after = await shown(world, f"/incidents/{told.feed_incident}")
        assert "/decisions/near-1" in after
        assert re.search(r"2 h(ours)? before", after)

    run(story)


def test_the_map_of_a_span_reads_what_the_looks_in_it_kept(world: World, told: Seeded) -> None:
    reading = Reading("hour", "flight", Kind.NULLS, 1.0, 0.3)
    facts = DriftFacts(0.0, 100, 50, (reading,), {})
    kept = look(
        world.clock.at - 40 * 3 * HOUR,
        tenant_subject("birch-jet"),
        facts,
        {"hour/nulls": StreamState(13.0, alarmed=True)},
    )
    with told.store.begin() as tx:
        tx.add_verdicts([replace(kept, model="flight-delay")])

    async def story() -> None:
        for windows, level in (("", "0"), ("30", "0"), ("60", "9"), ("many", "0")):
            page = await shown(world, f"{MODEL}/drift?windows={windows}")
            drawn = data_of(page, "heat")
            row = drawn["cells"][drawn["tenants"].index("birch-jet")]
            assert row[drawn["features"].index("hour")] == level, windows
        file = rows_of(await shown(world, f"/csv{MODEL}/drift?windows=60"))
        assert any((r["tenant"], r["kind"]) == ("birch-jet", "nulls") for r in file)
        mine = await shown(world, f"{MODEL}/drift/hour?tenant=birch-jet&windows=60")
        assert charts_of(mine)[0]["series"][0]["values"] == [round(13.0 / math.log(10.0), 3)]

    run(story)


def test_the_api_says_what_the_pages_and_files_say(world: World) -> None:
    async def story() -> None:
        cells = json.loads(await shown(world, f"/api{MODEL}/drift"))
        file = rows_of(await shown(world, f"/csv{MODEL}/drift"))
        assert [(c["tenant"], c["feature"], c["kind"]) for c in cells] == [
            (r["tenant"], r["feature"], r["kind"]) for r in file[: len(cells)]
        ]
        assert cells[0]["alarmed"] is True
        found = json.loads(await shown(world, f"/api{MODEL}/drift/temp"))
        effects = rows_of(await shown(world, f"/csv{MODEL}/drift/effects/temp"))
        evidence = rows_of(await shown(world, f"/csv{MODEL}/drift/evidence/temp"))
        told = [w for w in found["windows"] if w["rows"]]
        assert {round(w["psi"], 6) for w in told if w["psi"] is not None} == {
            round(float(row["psi"]), 6) for row in effects if row["psi"]
        }
        assert sum(len(w["evidence"]) for w in found["windows"]) == len(evidence) > 0
        assert all(0.0 <= w["null_share"] <= 1.0 for w in told)
        assert max(w["null_share"] for w in told) > 0.9, "the broken windows"
        assert found["bands"]["look"] < found["bands"]["alert"]

    run(story)


def test_the_api_has_pages_and_bounds(world: World) -> None:
    async def story() -> None:
        whole = json.loads(await shown(world, f"/api{MODEL}/drift/temp"))["windows"]
        first = await world.ask("viewer", "GET", f"/api{MODEL}/drift/temp?per_page=3")
        assert first.json()["windows"] == whole[:3]
        assert int(first.headers["X-Total-Count"]) >= len(whole) > 3
        following = re.fullmatch(r'<([^>]*)>; rel="next"', first.headers["Link"])
        assert following is not None
        second = json.loads(await shown(world, following[1]))["windows"]
        assert second == whole[3:6]
        cells = await world.ask("viewer", "GET", f"/api{MODEL}/drift?per_page=2&page=2")
        assert len(cells.json()) == 2
        for path, status in (
            (f"/api{MODEL}/drift?per_page=201", 422), (f"/api{MODEL}/drift/tmp", 404),
            (f"/api{MODEL}/drift?windows=abc", 422), (f"/api{MODEL}/drift/temp?windows=-1", 422),
            ("/api/models/none/drift", 404), (f"/api{MODEL}/drift/temp?per_page=0", 422),
        ):  # fmt: skip
            answer = json.loads(await shown(world, path, status))
            assert answer["code"], path
        near = json.loads(await shown(world, f"/api{MODEL}/drift/tmp", 404))
        assert near["hint"] == "did you mean 'temp'?"

    run(story)

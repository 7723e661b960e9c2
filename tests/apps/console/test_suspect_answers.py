"""An incident's page draws what the version makes of its suspect, and says why where it cannot."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from apps.console.visitors import World, run
from journeys.console_seed import Seeded, seed

from windvane.apps.console.evidence import evidence_of
from windvane.apps.console.suspect_answers import suspect_answers
from windvane.apps.console.svg import CurveMark, answer_curve
from windvane.ports.control_store import Incident
from windvane.usecases.apply_model import apply_model


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seeded]:
    given = seed(tmp_path_factory.mktemp("answers"), windows=60)
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


async def shown(world: World, path: str) -> str:
    answer = await world.ask("viewer", "GET", path)
    assert answer.status_code == 200, answer.text
    return answer.text


def section(page: str) -> str:
    found = re.search(r'<section[^>]*aria-labelledby="h-answers".*?</section>', page, re.DOTALL)
    return found[0] if found else ""


def test_the_page_the_file_and_the_api_say_the_same(world: World, told: Seeded) -> None:
    async def story() -> None:
        page = section(await shown(world, f"/incidents/{told.feed_incident}"))
        said = re.search(r"As version 2 sees it: (mean answer[^<]*)\.</p>", page)
        assert said
        assert re.fullmatch(
            r"mean answer \(late\) 0\.2\d+ at wind_speed \d[\d.]* \(usual\), "
            r"0\.341 where it is missing \(now\)",
            said[1],
        )
        assert f'aria-label="Mean answer as wind_speed moves: {said[1]}"' in page
        assert "extrapolation" in page
        rows = csv.DictReader(
            io.StringIO(await shown(world, f"/csv/incidents/answers/{told.feed_incident}"))
        )
        by_mark = {row["mark"]: row for row in rows}
        assert by_mark["now"] == {
            "feature": "wind_speed", "value": "null", "mean_answer": "0.341",
            "where": "missing", "mark": "now", "asked": "",
        }  # fmt: skip
        assert by_mark["usual"]["mean_answer"].startswith("0.2")
        api = (await world.ask("viewer", "GET", f"/api/incidents/{told.feed_incident}")).json()
        held = api["evidence"]["partial_dependence"]
        assert held["now"]["answer"] == 0.341
        assert len(held["points"]) == 14

    run(story)


def test_a_feature_that_is_tagged_since_is_not_drawn(world: World, told: Seeded) -> None:
    with told.store.read() as tx:
        text = tx.model("flight-delay").text
    assert "wind_speed: {" in text
    apply_model(told.store, told.clock, text.replace("wind_speed: {", "wind_speed: {tags: [pii], "))
    try:

        async def story() -> None:
            page = section(await shown(world, f"/incidents/{told.feed_incident}"))
            assert "Not shown: values of wind_speed are tagged as pii." in page
            assert "<svg" not in page
            api = (await world.ask("viewer", "GET", f"/api/incidents/{told.feed_incident}")).json()
            assert set(api["evidence"]["partial_dependence"]) == {"feature", "version", "missing"}
            file = await shown(world, f"/csv/incidents/answers/{told.feed_incident}")
            assert len(file.splitlines()) == 1

        run(story)
    finally:
        apply_model(told.store, told.clock, text)


def test_where_there_is_none_the_page_says_why(world: World, told: Seeded) -> None:
    with told.store.read() as tx:
        held = tx.incident(told.feed_incident)

    def put(answers: Any) -> None:
        with told.store.begin() as tx:
            evidence = {**held.evidence, "partial_dependence": answers}
            tx.put_incident(replace(held, evidence=evidence))

    async def story() -> None:
        put({"feature": "wind_speed", "version": "2", "missing": "it is served elsewhere"})
        page = section(await shown(world, f"/incidents/{told.feed_incident}"))
        assert "Not shown: it is served elsewhere." in page
        assert "extrapolation" not in page
        put({"feature": "wind_speed", "points": "of a later release"})
        assert not section(await shown(world, f"/incidents/{told.feed_incident}"))

    try:
        run(story)
    finally:
        put(held.evidence["partial_dependence"])


def held_of(**given: Any) -> dict[str, Any]:
    points = [
        {"value": 0.0, "where": "training", "answer": -1.0},
        {"value": 10.0, "where": "training", "answer": 3.0},
        {"value": 20.0, "where": "outside", "answer": None},
        {"value": None, "where": "null", "answer": 1.0},
    ]
    body = {
        "feature": "x", "version": "1", "output": "late", "rows": 9, "rank": 2, "features": 3,
        "points": points, "quartiles": [2.0, 4.0, 6.0],
        "usual": {"value": 4.0, "where": "training", "answer": 0.6},
        "now": {"value": 10.0, "where": "training", "answer": 3.0},
    }  # fmt: skip
    return {"partial_dependence": {**body, **given}}


def test_usual_and_present_values_are_rows_of_the_table() -> None:
    found = suspect_answers(held_of())
    assert found is not None
    assert [(r.value, r.said, r.where, r.mark) for r in found.rows] == [
        ("0", "-1", "", ""), ("4", "0.6", "", "usual"), ("10", "3", "", "now"),
        ("20", "not asked", "beyond training", ""), ("null", "1", "missing", ""),
    ]  # fmt: skip
    assert [r.part for r in found.rows] == [0.0, 0.4, 1.0, 0.0, 0.5]
    assert (found.low, found.high, found.least, found.most) == ("0", "20", "-1", "3")
    unknown = suspect_answers(held_of(now=None))
    assert unknown is not None
    assert unknown.words == ""
    assert {r.mark for r in unknown.rows} == {"", "usual"}


def test_a_value_beyond_training_is_a_row_of_its_own_beside_the_edge() -> None:
    for side, edge in (("over", 10.0), ("under", 0.0)):
        found = suspect_answers(
            held_of(
                now={
                    "value": edge, "beyond": side, "where": "outside", "answer": 2.5,
                    "asked": 20.0,
                }
            )
        )  # fmt: skip
        assert found is not None
        assert f"2.5 at 20, the nearest asked {side} {edge:g} (now)" in found.words
        order = [row.value for row in found.rows]
        (row,) = [row for row in found.rows if row.mark == "now"]
        assert (row.value, row.where, row.asked) == (f"{side} {edge:g}", "beyond training", "20")
        at = order.index(f"{edge:g}")
        assert order[at + 1 if side == "over" else at - 1] == row.value


def test_names_are_rows_without_a_picture() -> None:
    points = [
        {"value": "<b>", "where": "training", "answer": 0.2},
        {"value": True, "where": "unseen", "answer": 0.4},
    ]
    same = {"value": "<b>", "where": "training", "answer": 0.2}
    found = suspect_answers(held_of(points=points, quartiles=[], usual=same, now=same))
    assert found is not None
    assert found.picture is None
    assert [(r.value, r.mark, r.part) for r in found.rows] == [
        ("'<b>'", "usual and now", 0.5), ("true", "", 1.0),
    ]  # fmt: skip


@pytest.mark.parametrize("answers", [1, "x", [1], {"feature": "x"}, held_of(points=[{}])])
def test_what_cannot_be_read_leaves_the_rest_of_the_page(answers: Any) -> None:
    body = {"partial_dependence": answers} if not isinstance(answers, dict) else answers
    body = body if "partial_dependence" in body else {"partial_dependence": body}
    incident = Incident("i", "m", "feed:x", "feed", "low", "t", 0.0, 0.0, None, "o", "r", body)
    assert evidence_of(incident).answers is None


def test_the_picture_holds_every_number_within_its_frame() -> None:
    whole = answer_curve(
        [(-1e100, 0.0), (0.0, 0.5), (1e100, None), (2e100, 1.0)],
        [CurveMark("usual", 5e100, 0.5), CurveMark("now", None, 0.75)],
        (-1e100, 1e100), (-9e100, 9e100), 'a "label"',
    )  # fmt: skip
    numbers = [float(n) for n in re.findall(r' (?:x|y|x1|x2|y1|y2)="([^"]*)"', whole)]
    pairs = re.findall(r"([\d.-]+),([\d.-]+)", " ".join(re.findall(r'points="([^"]*)"', whole)))
    assert all(0.0 <= n <= 1000.0 for n in numbers)
    assert all(0.0 <= float(x) <= 1000.0 and 0.0 <= float(y) <= 100.0 for x, y in pairs)
    assert whole.count("<polyline") == 2, "broken where nothing was answered"
    assert 'class="now" x1="0"' in whole, "a level across, for it has no place on the axis"
    assert "a &#34;label&#34;" in whole
    flat = answer_curve([(1e20, 0.5)], [], None, None, "one")
    assert '"0.0,50.0"' in flat

"""The console as a person meets it: the real process, a real store, a real browser."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from fastapi.openapi.models import OpenAPI
from journeys.console_process import begin_session, get, running_console, watched_page
from journeys.console_seed import (
    FLIGHT,
    NOW,
    TENANTS,
    WINDOW_S,
    Seeded,
    heal_feed,
    open_empty,
    seed,
    settings,
)
from journeys.installation import free_port
from playwright.sync_api import Browser, Page, expect

from windvane.core.alerting import Cause
from windvane.core.sketch import TRAFFIC, Sketch
from windvane.ports.control_store import Checkpoint, WindowKey
from windvane.usecases.monitors.errors import ERRORS
from windvane.usecases.open_incident import open_incident
from windvane.usecases.read_model_file import read_model_file

FEED_DECISION = "flight-delay/feed:weather/1361847600/broken"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Seeded:
    """One seeded installation that no test changes."""
    given = seed(tmp_path_factory.mktemp("console"))
    given.store.close()
    return given


@pytest.fixture(scope="module")
def console(told: Seeded) -> Iterator[str]:
    """The console over it."""
    port = free_port()
    settings(told.home, port)
    with running_console(told.home, port) as url:
        yield url


@pytest.fixture
def changing(told: Seeded, tmp_path: Path) -> Iterator[tuple[Seeded, str]]:
    """A copy of it that may be written to, and a console of its own."""
    home = tmp_path / "home"
    shutil.copytree(told.home, home, ignore=shutil.ignore_patterns("console.log"))
    port = free_port()
    settings(home, port)
    store, clock = open_empty(home)
    clock.move_to(NOW)
    with running_console(home, port) as url:
        yield replace(told, home=home, store=store, clock=clock), url
    store.close()


def paths(told: Seeded) -> dict[str, str]:
    return {
        "models": "/",
        "model": "/models/flight-delay",
        "rolling out": "/models/seat-demand",
        "not live": "/models/no-show",
        "incidents": "/incidents",
        "feed": f"/incidents/{told.feed_incident}",
        "tenant": f"/incidents/{told.tenant_incident}",
        "decision": f"/decisions/{quote(FEED_DECISION)}",
        "api": "/api",
        "unknown": "/models/flight-dely",
    }


# From the state of the world to a decision judged again.


def test_from_the_models_to_the_replayed_decision(
    browser: Browser, console: str, told: Seeded
) -> None:
    with watched_page(browser) as page:
        page.goto(console)
        expect(page.get_by_role("heading", level=1)).to_contain_text(
            "3 open incidents on flight-delay, 1 of high severity"
        )
        card = page.locator(".card", has_text="flight-delay")
        expect(card).to_contain_text("standing in")
        expect(card).to_contain_text("version 1 stands in for version 2; broken: weather")
        card.get_by_role("link", name="flight-delay").click()

        _model_page(page)
        page.locator(".alert").get_by_role("link", name="the weather feed changed").click()

        _feed_incident(page)
        page.get_by_role("link", name="decision: fall back").click()

        expect(page).to_have_url(f"{console}/decisions/{quote(FEED_DECISION)}")
        expect(page.get_by_role("heading", level=1)).to_have_text("fall back: source weather")
        again = page.get_by_role("region", name="Judged again")
        expect(again).to_contain_text("same verdict")
        expect(again.locator("code")).to_have_text(f"windvane replay-decision '{FEED_DECISION}'")
        expect(page.get_by_role("region", name="Effects")).to_contain_text("publish")
        page.get_by_role("link", name="the weather feed changed").click()
        expect(page).to_have_url(f"{console}/incidents/{told.feed_incident}")


def _model_page(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_contain_text("flight-delay")
    expect(page.get_by_role("region", name="Who answers now")).to_contain_text("standing in 100%")
    expect(page.locator(".chart canvas")).to_have_count(5)
    expect(page.locator(".chart").first.locator(".u-legend")).to_contain_text("answered")
    drawn = page.evaluate(
        """() => [...document.querySelectorAll(".chart canvas")].map((c) => {
          const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
          return data.some((value, i) => i % 4 === 3 && value > 0);
        })"""
    )
    assert drawn == [True] * 5
    versions = page.get_by_role("region", name="Versions and weights")
    expect(versions.get_by_role("link").first).to_have_text("fall back")
    expect(versions.locator("svg.bands rect")).not_to_have_count(0)
    features = page.locator(".feature")
    expect(features).to_have_count(8)
    first = features.first
    expect(first).to_contain_text("alarm: nulls")
    expect(first.locator("svg.hist rect.after")).not_to_have_count(0)
    expect(features.last).to_contain_text("steady")
    tenants = page.get_by_role("region", name="Tenants", exact=True).first
    expect(tenants.locator("tbody tr").first).to_contain_text("harbor-air")


def _feed_incident(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_contain_text("the weather feed changed")
    expect(page.locator("main")).to_contain_text(
        "Now: version 1 stands in for version 2, until weather is healthy again."
    )
    suspects = page.locator(".suspects li > span")
    expect(suspects).to_have_text(["wind_speed", "temp", "visibility", "precip"])
    glance = page.get_by_role("region", name="At a glance")
    for words in (
        "2013-02-26 03:00 UTC (21 h ago)", "ops #ops-ml", "docs/runbooks/feed-broken.md",
        "the weather feed (nulls)", "version 2, data before",
    ):  # fmt: skip
        expect(glance).to_contain_text(words)
    timeline = page.get_by_role("region", name="What happened, what was done")
    expect(timeline.get_by_role("listitem")).to_have_count(2)
    expect(timeline).to_contain_text("version 1, which does not need weather, stands in")
    expect(page.locator(".histogram")).to_have_count(4)
    expect(page.locator(".histogram").first).to_contain_text("missing 0.4% → 97")
    expect(page.locator(".samples > li")).to_have_count(5)
    expect(page.locator(".samples > li").first.locator(".is-null")).to_have_count(4)
    expect(page.locator(".samples > li").first).to_contain_text("answered 0.21 by version 2")
    whom = page.get_by_role("region", name="Whom it hurts").first
    expect(whom.locator("tbody tr")).to_have_count(len(TENANTS))
    expect(whom.locator("tbody tr").first).to_contain_text("wind_speed missing98.8%0.5%249252")
    expect(whom).to_contain_text("1,312 rows in 1,312 requests")
    expect(whom).to_contain_text("auc 0.671 (0.652 to 0.69), by 41,201 outcomes")


def test_what_tenants_send_is_text(browser: Browser, console: str, told: Seeded) -> None:
    with watched_page(browser) as page:
        page.goto(f"{console}/incidents/{told.tenant_incident}")
        expect(page.locator(".samples pre").first).to_contain_text("<script>alert(1)</script>")
        for path in (f"/incidents/{told.feed_incident}", "/models/flight-delay"):
            page.goto(console + path)
            expect(page.get_by_text("<b>lark&co</b>").first).to_be_attached()
            assert page.locator("script:not([src])").count() == 0
            assert page.locator("b", has_text=re.compile(r"^lark&co$")).count() == 0


# Live, without a reload.


def test_pages_follow_by_themselves(browser: Browser, changing: tuple[Seeded, str]) -> None:
    given, url = changing
    with watched_page(browser) as page, watched_page(browser) as incident:
        incident.goto(f"{url}/incidents/{given.feed_incident}")
        page.goto(f"{url}/models/flight-delay")
        expect(page.locator(".chart canvas")).to_have_count(5)
        page.evaluate("window.sameDocument = true")
        page.evaluate("document.querySelector('.chart canvas').sameCanvas = true")
        page.get_by_text("tenants without a finding").click()
        link = page.get_by_role("region", name="Decisions").first.get_by_role("link").first
        link.focus()
        page.get_by_role("heading", name="Features, most moved first").scroll_into_view_if_needed()
        before = _reader(page)

        _write_news(given)

        expect(page.get_by_role("link", name="errors rose")).to_be_attached()
        expect(page.locator(".figures dd").nth(2)).to_have_text("4,321")
        after = _reader(page)
        assert abs(after.pop("features") - before.pop("features")) < 3.0, "the page jumped"
        assert after == before
        assert page.evaluate("window.sameDocument")
        assert page.evaluate("document.querySelector('.chart canvas').sameCanvas")
        expect(page).to_have_title("flight-delay · Windvane")

        expect(incident.locator("h1 + p")).to_contain_text("open")
        heal_feed(given)
        expect(incident.locator("h1 + p")).to_contain_text("closed")
        expect(incident.locator(".timeline")).to_contain_text("version 2 answers again")
        expect(page.locator("h1")).not_to_contain_text("standing in")


def _reader(page: Page) -> dict[str, Any]:
    """Where the reader is: what is under their eyes, what has the focus, what is open."""
    return page.evaluate(
        """() => ({
          features: document.getElementById("h-features").getBoundingClientRect().top,
          focus: document.activeElement.getAttribute("href"),
          open: [...document.querySelectorAll("details[open]")].map((d) => d.id),
        })"""
    )


def _write_news(given: Seeded) -> None:
    """What recorder and steward would write: a busier open window, and an incident."""
    file, now = read_model_file(FLIGHT), given.clock.now()
    with given.store.begin() as tx:
        version = tx.versions(file.model)[0]
        layout = tx.layout(version.layout_id)
        known = tx.sketches(file.model, now - WINDOW_S, float("inf"))
        start = now // WINDOW_S * WINDOW_S
        so_far = sum(s.total("requests") for k, s in known if k.start == start)
        news = Sketch.empty(layout.id, layout.size)
        news.traffic[TRAFFIC.index("requests")] = 4_321 - so_far
        tx.add_sketches({WindowKey(file.model, start, "1", "fallback", "new-air", "r-1"): news})
        tx.set_checkpoint(Checkpoint("gateway-0", 2, now))
        open_incident(
            tx, file, Cause(ERRORS, file.model), title="errors rose", now=now,
            since=now - 60.0, evidence={}, decision="", done=[],
        )  # fmt: skip


def test_a_page_at_rest_is_not_swapped(browser: Browser, console: str) -> None:
    with watched_page(browser) as page:
        page.goto(f"{console}/incidents")
        page.evaluate("document.getElementById('live').same = true")
        for _ in range(2):
            with page.expect_response(lambda r: r.request.headers.get("hx-request") == "true") as r:
                pass
            assert r.value.status == 204
        assert page.evaluate("document.getElementById('live').same")


# Readable: phone, light, dark, by keyboard and by ear.


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_page_reads_on_a_phone_and_has_contrast(
    browser: Browser, console: str, told: Seeded, dark: bool
) -> None:
    with watched_page(browser, 375, dark=dark, expected="404") as page:
        for name, path in paths(told).items():
            page.goto(console + path)
            page.evaluate("document.querySelectorAll('details').forEach((d) => d.open = true)")
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 375, f"{name} is {wide} px wide"
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            light = float(np.mean([int(v) for v in ground[4:-1].split(",")])) / 255
            assert light < 0.2 if dark else light > 0.8, f"{name}: {ground}"
            poor = page.evaluate(_CONTRAST)
            assert not poor, f"{name}: {poor}"


_CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const part = (v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const ground = (box) => {
    for (let at = box; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const poor = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const box = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !box.checkVisibility() || box.closest("svg")) continue;
    const pair = [light(rgb(getComputedStyle(box).color)), light(ground(box))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < 4.5) poor.add(`${ratio.toFixed(2)} ${box.className}: ${box.textContent.trim()}`);
  }
  return [...poor].slice(0, 5);
}"""


def test_every_page_has_landmarks_and_labels(browser: Browser, console: str, told: Seeded) -> None:
    with watched_page(browser, expected="404") as page:
        for name, path in paths(told).items():
            page.goto(console + path)
            expect(page.locator("main")).to_have_count(1)
            expect(page.locator("h1")).to_have_count(1)
            wrong = page.evaluate(_STRUCTURE)
            assert not wrong, f"{name}: {wrong}"
        page.goto(console)
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()


_STRUCTURE = """() => {
  const wrong = [];
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  for (const id of new Set(ids)) {
    if (/\\s/.test(id) || ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push(`id ${id}`);
  }
  for (const e of document.querySelectorAll("[aria-labelledby]")) {
    if (!document.getElementById(e.getAttribute("aria-labelledby"))) wrong.push(e.outerHTML);
  }
  for (const svg of document.querySelectorAll("svg")) {
    if (!svg.hasAttribute("aria-hidden") && !svg.getAttribute("aria-label")) {
      wrong.push("svg without a label");
    }
  }
  for (const th of document.querySelectorAll("th:not(.u-legend th)")) {
    if (!th.scope) wrong.push(`th without scope: ${th.textContent}`);
  }
  for (const a of document.querySelectorAll("a")) {
    if (!a.textContent.trim()) wrong.push("link without words");
  }
  for (const e of document.querySelectorAll("[style]:not(.u-wrap, .u-wrap *, .uplot *)")) {
    wrong.push(`style attribute: ${e.outerHTML.slice(0, 80)}`);
  }
  return wrong;
}"""


# When things are not there.


def test_without_a_database_it_says_so_and_comes_back(browser: Browser, tmp_path: Path) -> None:
    port = free_port()
    settings(tmp_path, port)
    empty, _ = open_empty(tmp_path)
    empty.close()
    token = begin_session(tmp_path)
    database = tmp_path / "control.db"
    aside = tmp_path / "aside.db"
    database.rename(aside)
    with (
        running_console(tmp_path, port, token) as url,
        watched_page(browser, expected="503") as page,
    ):
        for path in ("/", "/models/flight-delay", "/incidents", "/incidents/x", "/decisions/y"):
            found = get(url + path)
            assert found.status_code == 503
            assert "The control database does not answer" in found.text
            assert "Traceback" not in found.text
        for path in ("/api/models", "/api/incidents", "/api/decisions/y"):
            found = get(url + path)
            assert found.status_code == 503
            assert set(found.json()) == {"code", "message", "hint", "docs"}
            assert found.json()["code"].startswith("STO-")
        found = get(f"{url}/readyz")
        assert found.status_code == 503
        assert found.json()["code"].startswith("STO-")
        assert found.json()["status"] == "unavailable"
        assert get(f"{url}/healthz").status_code == 200

        page.goto(url)
        expect(page.get_by_role("heading", level=1)).to_contain_text("does not answer")
        aside.rename(database)
        expect(page.get_by_role("heading", level=2)).to_have_text("No model is known yet")
        expect(page.locator("main")).to_contain_text("windvane apply FILE")
        page.goto(f"{url}/incidents")
        expect(page.locator("main")).to_contain_text("Quiet is the normal state")

        database.rename(aside)
        expect(page.get_by_role("status")).to_contain_text("the console answered 503")
        expect(page.locator("main")).to_contain_text("Quiet is the normal state")
        aside.rename(database)
        expect(page.get_by_role("status")).to_be_hidden()

        page.close()
        database.unlink()
        database.write_bytes(b"this is not a database\n" * 500)
        assert get(url).status_code == 503
        assert get(f"{url}/api/models").json()["code"].startswith("STO-")


# The control API.


GUARDED = ("/api/keys", "/api/limits", "/api/audit")


def test_the_openapi_document_is_valid_and_every_get_answers(console: str, told: Seeded) -> None:
    document = get(f"{console}/api/openapi.json").json()
    OpenAPI.model_validate(document)
    assert document["openapi"].startswith("3.")
    known = set(document["components"]["schemas"])
    assert {ref.rsplit("/", 1)[1] for ref in _refs(document)} <= known
    names = [op["operationId"] for path in document["paths"].values() for op in path.values()]
    assert len(names) == len(set(names))
    real = {
        "model": "flight-delay",
        "incident": told.feed_incident,
        "decision": told.canary_decision,
        "feature": "visibility",
    }
    for path, methods in document["paths"].items():
        if path.startswith(GUARDED) or set(methods) != {"get"}:  # a stranger changes nothing
            for method in methods:
                address = console + path.format(key="k", model="m", incident="i", name="n")
                answer = httpx.request(method, address, json={})
                assert answer.status_code in (401, 422), f"{method} {path}: {answer.text}"
            continue
        takes = {given["name"] for given in methods["get"].get("parameters", [])}
        asked = "?model=flight-delay" if "model" in takes and "{" not in path else ""
        found = get(console + path.format(**real) + asked)
        assert found.status_code == 200, f"{path}: {found.text}"
        if path == "/metrics":
            assert found.headers["content-type"].startswith("text/plain")
            continue
        said = document["paths"][path]["get"]["responses"]["200"]["content"]
        assert found.headers["content-type"].partition(";")[0] in said
        if "{" in path:
            last = path.rpartition("{")[2].partition("}")[0].partition(":")[0]
            lost = get(console + path.format(**real | {last: real[last][:-1]}))
            assert lost.status_code == 404
            assert set(lost.json()) == {"code", "message", "hint", "docs"}
            assert lost.json()["hint"] == f"did you mean {real[last]!r}?"


def _refs(node: Any) -> set[str]:
    if isinstance(node, dict):
        here = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return here.union(*map(_refs, node.values()))
    return set().union(*map(_refs, node)) if isinstance(node, list) else set()


def test_the_api_says_what_the_pages_say(console: str, told: Seeded) -> None:
    models = {m["name"]: m for m in get(f"{console}/api/models").json()}
    assert models["flight-delay"]["health"]["word"] == "standing in"
    assert len(models["flight-delay"]["open_incidents"]) == 3
    assert models["seat-demand"]["health"]["word"] == "rolling out"
    assert models["no-show"]["requests"] == 0
    shown = get(f"{console}/api/models/flight-delay").json()
    assert len(shown["windows"]) == 60
    assert sum(w["requests"] for w in shown["windows"]) <= shown["requests"]
    alarms = {f["name"] for f in shown["features"] if f["alarms"]}
    assert alarms == {"temp", "wind_speed", "visibility", "precip"}
    decision = get(f"{console}/api/decisions/{quote(FEED_DECISION)}").json()
    assert decision["replay"]["same"] is True
    assert json.loads(json.dumps(decision["facts"]))["rows"] == decision["facts"]["rows"]


def test_an_unknown_name_links_to_the_closest(browser: Browser, console: str) -> None:
    with watched_page(browser, expected="404") as page:
        page.goto(f"{console}/models/flight-dely")
        expect(page.locator("main")).to_contain_text("STO-103")
        page.get_by_role("link", name="did you mean 'flight-delay'?").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("flight-delay")


def test_every_answer_is_guarded(console: str, told: Seeded) -> None:
    wanted = [
        *paths(told).values(), "/api/models", "/api/openapi.json", "/healthz", "/nowhere",
        "/static/console.js", "/static/vendor/htmx.min.js", "/static/../app.py",
    ]  # fmt: skip
    for path in wanted:
        found = get(console + path)
        assert found.status_code < 500, path
        policy = found.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["referrer-policy"] == "no-referrer"
    assert httpx.post(f"{console}/models/flight-delay").status_code == 405

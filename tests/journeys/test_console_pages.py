"""The pages that answer the next question, in a real browser: read by everybody, and live."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from journeys.console_installation import seed_installation
from journeys.console_log import seed_log
from journeys.console_process import get, running_console, watched_page
from journeys.console_seed import NOW, Seeded, seed, settings
from journeys.installation import free_port
from playwright.sync_api import Browser, Page, expect

from windvane.adapters.delta import DeltaEventLog
from windvane.core.task import Contract
from windvane.ports.event_log import LogEntry

MODEL = "/models/flight-delay"
FEED_DECISION = "flight-delay/feed:weather/1361847600/broken"
_SHOWN = {"critical", "serious"}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Seeded:
    given = seed(tmp_path_factory.mktemp("pages"))
    given = replace(given, key=seed_installation(given))
    seed_log(given.home)
    given.store.close()
    return given


@pytest.fixture(scope="module")
def console(told: Seeded) -> Iterator[str]:
    port = free_port()
    settings(told.home, port)
    with running_console(told.home, port) as url:
        get(url + MODEL)
        yield url


def test_what_is_left_of_a_budget_is_on_the_models_page(console: str, browser: Browser) -> None:
    with watched_page(browser) as page:
        page.goto(console + MODEL)
        section = page.locator("section[aria-labelledby=h-objectives]")
        expect(section.get_by_role("heading", level=3).first).to_contain_text(
            "availability ✓in budget"
        )
        expect(section.locator("figure canvas")).to_be_visible()
        expect(section.locator("table.tight tr")).to_have_count(7)
    for table, first in (("budget", "objective,until,budget_left"), ("objectives", "objective,")):
        answer = get(f"{console}/csv{MODEL}/{table}")
        assert answer.text.startswith(first)
        assert len(answer.text.splitlines()) >= 7


def paths(told: Seeded) -> dict[str, str]:
    return {
        "models": "/",
        "narrowed": "/?q=demand",
        "none": "/?q=zzz",
        "model": MODEL,
        "not live": "/models/no-show",
        "tenants": f"{MODEL}/tenants",
        "drift": f"{MODEL}/drift",
        "drift of none": f"{MODEL}/drift?q=zzz",
        "drift of a feature": f"{MODEL}/drift/temp?windows=120",
        "drift of a tenant": f"{MODEL}/drift/carrier?tenant=elm-express",
        "compare": f"{MODEL}/compare?a=2&b=3&windows=240",
        "predictions": f"{MODEL}/log?last=7d",
        "refusals": f"{MODEL}/log?last=all&kind=refusals",
        "outcomes": f"{MODEL}/log?last=all&kind=outcomes",
        "bad log": f"{MODEL}/log?since=yesterday",
        "incidents": "/incidents",
        "feed": f"/incidents/{told.feed_incident}",
        "tenant": f"/incidents/{told.tenant_incident}",
        "decision": f"/decisions/{quote(FEED_DECISION)}",
        "act": "/act/model/roll-back/flight-delay",
        "keys": "/keys",
        "no key": "/keys?q=zzz",
        "issue": "/keys/issue",
        "revoke": f"/keys/{told.key}/revoke",
        "limits": "/limits",
        "set limit": "/limits/set",
        "remove limit": "/limits/remove?tenant=%2A",
        "users": "/users",
        "add user": "/users/add",
        "remove user": "/users/ben/remove",
        "silences": "/silences",
        "quarantine": "/quarantine",
        "set aside": "/quarantine/a1",
        "put back": "/quarantine/put-back",
        "forget": "/quarantine/forget?item=a1",
        "account": "/account",
        "api": "/api",
        "unknown": "/models/flight-dely",
    }


@pytest.mark.parametrize(
    ("dark", "width"),
    [
        pytest.param(False, 1280, id="light-1280"),
        pytest.param(True, 375, id="dark-375"),
        # Each width and each scheme is asked above; what only a pair of them has takes turns.
        pytest.param(False, 375, id="light-375", marks=pytest.mark.takes_turns),
        pytest.param(True, 1280, id="dark-1280", marks=pytest.mark.takes_turns),
    ],
)
def test_no_page_has_a_serious_violation(
    browser: Browser, console: str, told: Seeded, dark: bool, width: int
) -> None:
    axe = Axe()
    wrong: dict[str, list[str]] = {}
    with watched_page(browser, width, dark=dark, expected="status of 4") as page:
        for name, path in paths(told).items():
            page.goto(console + path)
            page.evaluate("document.querySelectorAll('details').forEach((d) => d.open = true)")
            found = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
            wrong[name] = [
                f"{v['impact']} {v['id']}: {v['nodes'][0]['html'][:160]}"
                for v in found
                if v["impact"] in _SHOWN
            ]
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > width:
                wrong[name].append(f"{wide} px wide")
    with watched_page(browser, width, dark=dark, stranger=True) as page:
        page.goto(f"{console}/sign-in")
        found = axe.run(page).response["violations"]
        wrong["sign-in"] = [v["id"] for v in found if v["impact"] in _SHOWN]
    assert {name: held for name, held in wrong.items() if held} == {}


def test_everything_is_reached_and_seen_by_keyboard(browser: Browser, console: str) -> None:
    with watched_page(browser) as page:
        for path in ("/", MODEL, f"{MODEL}/log?last=7d"):
            page.goto(console + path)
            page.keyboard.press("Tab")
            expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
            page.keyboard.press("Enter")
            assert page.evaluate("document.activeElement.id") == "main"
            unseen = page.evaluate(_UNSEEN_FOCUS)
            assert unseen == [], path
        log = page.get_by_role("region", name="Predictions")
        log.focus()
        expect(log).to_be_focused()
        page.get_by_label("Tenant").focus()
        page.keyboard.type("kelp-cargo")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("tenant=kelp-cargo"))
        expect(page.locator("tbody tr td:nth-child(2)").first).to_have_text("kelp-cargo")


# What can have the focus and does not show it.
_UNSEEN_FOCUS = """() => {
  const kinds = ["a", "button", "input", "select", "summary", "[tabindex='0']"];
  return [...document.querySelectorAll(kinds.map((kind) => `main ${kind}`).join())]
    .filter((box) => box.checkVisibility())
    .filter((box) => {
      box.focus({ focusVisible: true });
      const { outlineStyle, outlineWidth } = getComputedStyle(box);
      const seen = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
      return document.activeElement !== box || !seen;
    })
    .map((box) => box.outerHTML.slice(0, 120));
}"""


def test_quality_is_drawn_in_the_colours_of_its_versions(browser: Browser, console: str) -> None:
    with watched_page(browser) as page:
        page.goto(console + MODEL)
        quality = page.get_by_role("region", name=re.compile("Quality over time"))
        expect(quality.locator("canvas")).to_have_count(2)  # and how many have a label
        expect(quality).to_contain_text("version 2: AUC")
        expect(quality).to_contain_text("floor 0.62")
        colours = page.evaluate(_COLOURS)
        assert len(colours) >= 3
        assert all(len(held) == 1 for held in colours.values()), colours
        page.goto(f"{console}{MODEL}/compare?a=2&b=3")
        again = page.evaluate(_COLOURS)
        for version in ("2", "3"):
            assert again[version] == colours[version]


_COLOURS = """() => {
  const seen = {};
  for (const key of document.querySelectorAll(".key")) {
    const version = (key.parentElement.textContent.match(/^\\s*(?:version )?(\\d+)/) || [])[1];
    if (version) (seen[version] ??= new Set()).add(getComputedStyle(key).color);
  }
  return Object.fromEntries(Object.entries(seen).map(([v, held]) => [v, [...held]]));
}"""


def test_the_first_tick_says_its_day_and_the_last_window_is_told(
    browser: Browser, console: str
) -> None:
    with watched_page(browser) as page:
        page.goto(console + MODEL)
        ends = page.get_by_role("region", name="Versions and weights").locator(".ends span")
        first = ends.first.inner_text()
        assert re.fullmatch(r"\d\d \w{3} \d\d:\d\d", first), first
        expect(ends.last).to_have_text("now")
        given = json.loads(page.locator("figure.chart").first.get_attribute("data-chart") or "")
        legend = page.locator("figure.chart").first.locator(".u-legend")
        expect(legend).to_contain_text(re.compile(r"26 Feb 21:00"))
        assert given["t"][-1] == 1_361_912_400.0


@pytest.mark.parametrize("width", [1280, 375])
def test_the_map_of_tenants_leads_to_the_drift_of_a_feature(
    browser: Browser, console: str, width: int
) -> None:
    with watched_page(browser, width) as page:
        page.goto(f"{console}{MODEL}/drift")
        heat, told_cell = page.locator("#heat"), page.locator(".heat-told")
        expect(heat.locator("canvas")).to_be_visible()
        heat.scroll_into_view_if_needed()
        wide, left = page.evaluate(
            "[heat.clientWidth, Math.min(150, Math.round(heat.clientWidth * 0.36))]"
        )
        column = max(16, min(72, (wide - left) // 7))
        first = {"x": left + column / 2, "y": 92 + 9}
        heat.hover(position=first)
        expect(told_cell).to_have_text("elm-express, carrier: alarm")
        heat.hover(position={"x": left + column / 2, "y": 92 + 18 + 9})
        expect(told_cell).to_have_text(re.compile(r"alder-air, carrier: about \d+% of the evid"))
        page.evaluate("document.dispatchEvent(new Event('htmx:afterSettle'))")
        expect(heat.locator("canvas")).to_have_count(1)
        heat.click(position=first)
        page.wait_for_url("**/drift/carrier?tenant=elm-express")
        expect(page.get_by_role("heading", level=1)).to_contain_text("alarm: values")
        expect(page.locator("figure[data-chart] canvas")).to_be_visible()
        page.get_by_label("For whom").select_option("everyone")
        page.get_by_role("button", name="Show").click()
        expect(page.locator("figure[data-chart] canvas")).to_have_count(2)
        expect(page.locator(".u-legend").first).to_contain_text("an alarm asks for1e5")


def test_the_map_is_walked_by_keyboard(browser: Browser, console: str) -> None:
    with watched_page(browser) as page:
        page.goto(f"{console}{MODEL}/drift?q=temp")
        told_cell = page.locator(".heat-told")
        expect(page.locator("#heat canvas")).to_be_visible()
        page.locator("#heat").focus()
        page.keyboard.press("ArrowDown")
        expect(told_cell).to_have_text(re.compile("^elm-express, temp: no evidence"))
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowDown")
        expect(told_cell).to_have_text(re.compile("^alder-air, temp: "))
        page.keyboard.press("Enter")
        page.wait_for_url("**/drift/temp?tenant=alder-air")


def test_ticks_say_their_time_and_the_first_of_a_day_its_day(
    browser: Browser, console: str
) -> None:
    with watched_page(browser) as page:
        page.add_init_script(_NOTE_TEXTS)
        page.goto(console + MODEL)
        expect(page.locator(".chart canvas").first).to_be_visible()
        for start, wanted, step in (
            (1_361_964_300.0, "11:30\n27 Feb", 60.0),
            (1_361_922_600.0, "27 Feb", 60.0),
            (1_361_925_000.0, "03:00\n27 Feb", 600.0),
        ):
            drawn = page.evaluate(_DRAW_FROM, [start, step])
            words = wanted.split("\n")
            assert words[0] in drawn, drawn
            at = drawn.index(words[0])
            assert drawn[at : at + len(words)] == words, drawn
            times = [text for text in drawn if re.fullmatch(r"\d\d:\d\d", text)]
            assert "00:00" not in times, "midnight is a day"
        close = page.evaluate(_DRAW_FROM, [1_361_964_310.0, 2.0])
        ticks = [text for text in close if re.fullmatch(r"\d\d:\d\d(:\d\d)?", text)]
        assert len(set(ticks)) == len(ticks) > 1, close
        expect(page.locator("figure.chart .u-legend").first).to_contain_text("27 Feb 11:26:58")
        days = page.evaluate(_DRAW_FROM, [1_361_836_800.0, 43_200.0])
        assert not [text for text in days if ":" in text], "a tick a day tells no time"


_NOTE_TEXTS = """
window.texts = [];
const write = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
  window.texts.push(text);
  return write.call(this, text, ...rest);
};
"""
# The first chart with 55 windows from a time on: what it writes, once it has drawn.
_DRAW_FROM = """([start, step]) => new Promise((done) => {
  const figure = document.querySelector("figure.chart");
  const given = JSON.parse(figure.dataset.chart);
  given.t = Array.from({ length: 55 }, (_, i) => start + i * step);
  given.series.forEach((one) => { one.values = given.t.map((_, i) => i); });
  given.marks = [];
  window.texts = [];
  figure.dataset.chart = JSON.stringify(given);
  document.dispatchEvent(new Event("htmx:afterSettle"));
  setTimeout(() => done(window.texts), 300);
})"""


def test_the_log_follows_and_leaves_what_is_typed(
    browser: Browser, console: str, told: Seeded
) -> None:
    with watched_page(browser) as page:
        page.goto(f"{console}{MODEL}/log?last=7d")
        expect(page.locator("tbody tr").first).to_contain_text("p01499")
        page.evaluate("window.sameDocument = true")
        box = page.get_by_label("Tenant")
        box.fill("kelp")
        box.blur()
        _write_row(told)
        page.wait_for_timeout(4_000)
        expect(box).to_have_value("kelp")
        box.fill("")
        expect(page.locator("tbody tr").first).to_contain_text("news-1", timeout=30_000)
        assert page.evaluate("window.sameDocument")


def _write_row(told: Seeded) -> None:
    from event_rows import predicted_event
    from journeys.console_seed import FLIGHT

    from windvane.usecases.read_model_file import read_model_file

    contract: Contract = read_model_file(FLIGHT).contract
    values = [50.0, 3.0, 9.5, 0.0, 300.0, 9, "UA"]
    event = predicted_event(
        "news-1", NOW - 1.0, "flight-delay", "alder-air", contract.id, values=values, outputs=[0.5]
    )
    log = DeltaEventLog(str(told.home / "log"))
    log.append("gateway-1", 10, [LogEntry("gateway-1", 0, event)], {contract.id: contract})


def test_every_link_to_a_file_leads_to_its_rows(
    browser: Browser, console: str, told: Seeded
) -> None:
    seen: set[str] = set()
    with watched_page(browser, expected="status of 4") as page:
        for path in paths(told).values():
            page.goto(console + path)
            seen |= set(_links(page))
    assert len(seen) > 20
    for address in sorted(seen):
        answer = get(console + address)
        assert answer.status_code == 200, f"{address}: {answer.text[:300]}"
        assert answer.headers["content-type"].startswith("text/csv"), address
        assert "attachment" in answer.headers["content-disposition"]
        assert answer.text.splitlines(), address


def _links(page: Page) -> list[str]:
    return page.eval_on_selector_all("a[download]", "as => as.map((a) => a.getAttribute('href'))")

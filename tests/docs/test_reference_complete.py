"""Whatever the code offers has its line in the reference. The truth is read from the code."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import docs.documented as d
import msgspec
import pytest
import yaml
from event_rows import predicted_event
from typer.testing import CliRunner

from windvane.adapters.delta.tables import TABLES, to_arrow
from windvane.apps.console.app import make_app
from windvane.apps.console.control_metrics import control_names
from windvane.apps.console.metrics import PREFIX, recorder_series
from windvane.apps.gateway import answers, http_app
from windvane.apps.gateway.openapi import document
from windvane.apps.gateway.statuses import STATUSES
from windvane.core.alerting import CauseGroup, Response, Severity
from windvane.core.errors import REGISTRY, WindvaneError
from windvane.core.routing import Scope
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract
from windvane.core.verdict import rate
from windvane.inference.metrics import Metrics, metric_names
from windvane.ports.event_log import LogEntry
from windvane.ports.events import OutcomeSeen, Refused
from windvane.ports.metrics import Series
from windvane.usecases.monitors import (
    cause_kinds,
    disagreement,
    errors,
    fallbacks,
    freshness,
    refusals,
)
from windvane.usecases.read_model_file import ModelFile
from windvane.usecases.read_settings import Settings

TINY = "model: tiny\nfeatures: {v: {f: {type: number}}}\n"


def settings() -> dict[str, Any]:
    return {name: v for name, v in d.keys_of(Settings).items() if name != "home"}


def error_codes() -> dict[str, type[WindvaneError]]:
    for _ in d.modules():
        pass  # importing a module registers its errors
    ours = {c: e for c, e in REGISTRY.items() if e.__module__.startswith("windvane.")}
    return {WindvaneError.code: WindvaneError, **ours}


def verdict_codes() -> set[str]:
    """Literals in the source, and those that judge_rate makes of a policy's letters."""
    watching = (refusals, errors, fallbacks, freshness, disagreement)
    letters = [monitor.CODES for monitor in watching]
    made = {word + suffix for word in letters for suffix in d.code_suffixes(rate)}
    return (d.codes_in_source() | made) - error_codes().keys()


def console_routes() -> set[str]:
    stand_in: Any = SimpleNamespace()
    found: set[str] = set()

    def walk(routes: Any, prefix: str = "") -> None:
        for route in routes:
            inner = getattr(route, "original_router", None)
            if inner is not None:
                walk(inner.routes, prefix)
            elif getattr(route, "methods", None):
                path = re.sub(r":\w+}", "}", prefix + route.path)
                found.update(f"{m} {path}" for m in route.methods - {"HEAD"})
            else:
                found.add(f"GET {route.path}/…")

    walk(make_app(stand_in, stand_in, log=stand_in).routes)
    return found


def gateway_paths() -> set[str]:
    """Paths that the gateway compares with, as its source spells them."""
    source = d.ast.parse(d.inspect.getsource(http_app))
    return {
        node.value
        for node in d.ast.walk(source)
        if isinstance(node, d.ast.Constant) and re.fullmatch(r"/[\w/.]+", str(node.value))
    }


def gateway_routes() -> set[str]:
    """As the gateway's own document says them."""
    paths = json.loads(document())["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def metrics() -> dict[str, Series]:
    """Every metric that a gateway can post, or the recorders count, by name."""
    made = Metrics()
    for held in made.counts.values():
        held[()] += 1
    for name in metric_names():
        made.gauges.setdefault(name.removeprefix(PREFIX), {(): 0.0})
    known = [*made.series(), *recorder_series({}), *control_names().values()]
    return {PREFIX + series.name: series for series in known}


def all_metric_names() -> set[str]:
    recorded = (PREFIX + series.name for series in recorder_series({}))
    return {*metric_names(), *recorded, *(PREFIX + name for name in control_names())}


def columns(table: str) -> set[str]:
    event = {
        "predictions": predicted_event("e", 0.0, "m", "t", "c", values=[1.0], outputs=[0.5]),
        "refusals": Refused("e", 0.0, "m", "t", "c", "CON-100", "", ""),
        "outcomes": OutcomeSeen("e/0", 0.0, "m", "t", "c", "e", 0, 1.0),
    }[table]
    contract = Contract((FeatureSpec("name", "v", FeatureType.NUMBER),))
    return set(to_arrow(table, [LogEntry("s", 0, event)], {"c": contract}).column_names)


def test_every_setting_has_its_row_with_its_default() -> None:
    text = d.page("reference/settings.md")
    assert d.missing(settings(), text) == []
    told = d.rows(d.section(text, "## windvane.yaml"))
    assert sorted(told) == sorted(settings()), "a setting that is gone"
    for name, default in settings().items():
        wanted = d.shown(default)
        if wanted is not None:
            assert told[name][1] == wanted, name


def test_every_environment_variable_has_its_row() -> None:
    text = d.section(d.page("reference/settings.md"), "## Environment")
    assert d.environment_names() == d.documented(text)


def test_every_key_of_the_model_file_has_its_row_with_its_default() -> None:
    text = d.page("reference/model-file.md")
    keys = d.keys_of(ModelFile)
    assert {"watch.false_alarms", "features.VIEW.NAME.range"} <= keys.keys()
    assert d.missing(keys, text) == []
    told = d.rows(text)
    for name, default in keys.items():
        wanted = d.shown(default)
        if wanted is not None:
            assert told[name][1] == wanted, name
    gone = {name for name in told if re.fullmatch(r"[\w.]+\.\w+", name)} - keys.keys()
    assert gone == set(), "a key that is gone"


def test_every_cause_severity_and_response_of_the_model_file_is_there() -> None:
    text = d.section(d.page("reference/model-file.md"), "## Watch")
    assert d.missing([*CauseGroup, *Response], text) == []
    assert d.missing([*CauseGroup, *Severity], d.page("reference/monitors.md")) == []


def test_every_error_code_has_its_row_with_its_class() -> None:
    text = d.section(d.page("reference/codes.md"), "## Errors")
    codes = error_codes()
    assert len(codes) > 25
    assert d.missing(codes, text) == []
    told = d.rows(text)
    assert sorted(told) == sorted(codes), "a code that is gone"
    assert {c: told[c][1] for c in codes} == {c: kind.__name__ for c, kind in codes.items()}


def test_every_verdict_and_problem_code_has_its_row() -> None:
    text = d.page("reference/codes.md")
    codes = verdict_codes()
    assert {"CON-203", "SLO-203", "DRI-201", "ROL-304", "RUN-103", "CON-105"} <= codes
    assert d.missing(codes, text) == []
    told = {name for name in d.documented(text) if re.fullmatch(r"[A-Z]{2,3}-\d{3}", name)}
    assert told - codes - error_codes().keys() == set(), "a code that is gone"


def test_every_port_has_its_row_and_every_adapter_is_named() -> None:
    text = d.page("reference/ports.md")
    ports = d.protocols()
    assert {"Clock", "ControlStore", "SpoolWriter"} <= ports
    assert d.missing(ports, text) == []
    told = d.rows(text)
    assert sorted(told) == sorted(ports), "a port that is gone"
    folders = {p.name for p in (d.SOURCE / "adapters").iterdir() if (p / "__init__.py").is_file()}
    named = set(re.findall(r"`(\w+)`", text))
    assert folders - named == set()


@pytest.mark.parametrize("command", sorted(d.commands()))
def test_every_command_has_its_section_and_every_option_its_row(command: str) -> None:
    text = d.section(d.page("reference/cli.md"), f"## `windvane {command}`")
    assert text, f"no section on {command}"
    wanted = d.commands()[command] - {"--help", "-h"}
    assert d.documented(text) - {f"windvane {command}"} == wanted


@pytest.mark.parametrize("command", sorted(d.commands()))
def test_a_row_of_the_command_line_begins_with_what_help_says(command: str) -> None:
    told = d.rows(d.section(d.page("reference/cli.md"), f"## `windvane {command}`"))
    helps = d.option_helps()[command]
    assert [name for name, text in helps.items() if not text] == [], "an option without a help"
    rows = {name: d.plain(told[name][2]) for name in helps.keys() - {"--home", "--help", "-h"}}
    assert {n: r for n, r in rows.items() if not r.startswith(d.plain(helps[n]))} == {}


@pytest.mark.parametrize("command", sorted(d.commands()))
def test_help_shows_every_option_with_its_meaning(command: str) -> None:
    shown = CliRunner().invoke(d.cli, [*command.split(), "--help"], env={"COLUMNS": "500"})
    assert shown.exit_code == 0
    text = " ".join(shown.output.replace("│", " ").split())
    for name, meaning in d.option_helps()[command].items():
        assert re.search(rf"(?i)(?<![\w-]){re.escape(name)}(?![\w-])", text), name
        assert " ".join(meaning.replace("`", "").split()) in text, name


def test_every_route_of_the_console_has_its_row() -> None:
    text = d.section(d.page("reference/http.md"), "## Console")
    told = {name for name in d.documented(text) if " /" in name}
    assert told == console_routes()


def test_every_path_of_the_gateway_is_part_of_a_row() -> None:
    text = d.section(d.page("reference/http.md"), "## Gateway")
    told = {name for name in d.documented(text) if " /" in name}
    paths = gateway_paths()
    assert {"/v1/outcomes", "/healthz", "/openapi.json", "/events"} <= paths
    assert {p for p in paths if not any(p in route for route in told)} == set()
    assert told == gateway_routes()


def test_every_status_of_the_gateway_has_its_row() -> None:
    text = d.section(d.page("reference/http.md"), "### Errors")
    told = {
        (int(s), c) for s, c in re.findall(r"^\| (\d{3}) \| `([A-Z]+-\d+)`", text, re.MULTILINE)
    }
    assert told == {(status, kind.code) for kind, status in STATUSES.items()}


def test_every_header_of_the_gateway_has_its_row() -> None:
    text = d.section(d.page("reference/http.md"), "### Headers")
    paths = json.loads(document())["paths"].values()
    given = [p for path in paths for o in path.values() for p in o.get("parameters", ())]
    wanted = {"Authorization"} | {p["name"] for p in given if p["in"] == "header"}
    assert len(wanted) > 4
    assert d.missing(wanted, text) == []
    sent = re.findall(r'\(b"([a-z-]+)"', d.inspect.getsource(answers))
    assert {"retry-after", "ratelimit", "www-authenticate"} <= set(sent)
    told = {name.lower() for name in d.documented(text)}
    assert set(sent) - {"content-type", "content-length"} - told == set()


def test_every_api_version_has_its_row() -> None:
    text = d.section(d.page("reference/http.md"), "### Versions")
    assert d.documented(text) == {version.value for version in answers.ApiVersion}


def test_every_scope_has_its_row() -> None:
    text = d.section(d.page("howto/issue-keys.md"), "## What a key may do")
    assert d.documented(text) == {scope.value for scope in Scope}


def test_every_metric_has_its_row_with_its_kind_and_labels() -> None:
    text = d.page("reference/metrics.md")
    known = metrics()
    assert set(known) == all_metric_names()
    assert d.missing(known, text) == []
    told = d.rows(text)
    assert {name for name in told if name.startswith(PREFIX)} == set(known), "one that is gone"
    assert {n: told[n][1] for n in known} == {n: series.kind for n, series in known.items()}
    labels = {n: set(re.findall(r"`(\w+)`", told[n][2])) for n in known}
    assert labels == {
        n: {*series.labels, *(["worker"] if series.kind == "gauge" else [])}
        for n, series in known.items()
    }


@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_the_log_has_its_row(table: str) -> None:
    text = d.section(d.page("reference/events.md"), f"## {table}")
    assert d.documented(text) == columns(table)


def test_every_kind_of_incident_has_its_runbook() -> None:
    index = d.page("runbooks/index.md")
    for kind, name in {k: cause.runbook for k, cause in cause_kinds().items()}.items():
        text = d.page(f"runbooks/{name}")
        assert f"({name})" in index, kind
        for heading in (
            "## What it means",
            "## What Windvane already did",
            "## Check in this order",
            "## How it closes",
            "## How to prevent it",
        ):
            assert heading in text, f"{name}: {heading}"


def test_every_page_is_in_the_navigation() -> None:
    nav = (d.DOCS.parent / "mkdocs.yml").read_text()
    listed = set(re.findall(r"[\w/-]+\.md", str(yaml.safe_load(nav)["nav"])))
    there = {str(p.relative_to(d.DOCS)) for p in d.DOCS.rglob("*.md")}
    assert listed == there
    decisions = {p.name for p in (d.DOCS / "adr").glob("[0-9]*.md")}
    index = d.page("adr/index.md")
    assert decisions
    assert {name for name in decisions if f"({name})" not in index} == set()


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    root = d.DOCS.parent
    pages = [*d.DOCS.rglob("*.md"), *root.glob("*.md")]
    broken: list[str] = []
    for path in pages:
        for link in d.links(path.read_text()):
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = link.partition("#")
            target = (path.parent / name).resolve() if name else path
            if not target.exists():
                broken.append(f"{path.name}: {link}")
            elif anchor and anchor not in d.anchors(target.read_text()):
                broken.append(f"{path.name}: {link} (no such heading)")
            if path.is_relative_to(d.DOCS) and not target.is_relative_to(d.DOCS):
                broken.append(f"{path.name}: {link} leaves the documentation")
    assert broken == []


PLANTED = """
# A page

| name | default |
|---|---|
| `kept` | `1` |

`only_mentioned` in passing.

```text
| `in_code` | `2` |
```
"""


def test_a_planted_gap_is_found() -> None:
    wanted = ["kept", "left_out", "only_mentioned", "in_code"]
    assert d.missing(wanted, PLANTED) == ["in_code", "left_out", "only_mentioned"]


@pytest.mark.parametrize(
    ("name", "wanted", "gone"),
    [
        ("settings.md", "settings", "lease_s"),
        ("codes.md", "error_codes", "GAT-107"),
        ("codes.md", "verdict_codes", "SLO-203"),
        ("ports.md", "protocols", "RoutingFeed"),
        ("metrics.md", "metric_names", "windvane_routing_seq"),
        ("model-file.md", "keys", "watch.false_alarms"),
    ],
)
def test_a_row_taken_out_of_a_page_is_missed(name: str, wanted: str, gone: str) -> None:
    text = d.page(f"reference/{name}")
    names = {
        "settings": settings,
        "error_codes": error_codes,
        "verdict_codes": verdict_codes,
        "protocols": d.protocols,
        "metric_names": all_metric_names,
        "keys": lambda: d.keys_of(ModelFile),
    }[wanted]()
    row = re.compile(rf"\| \[?`{re.escape(gone)}`")
    without = "\n".join(x for x in text.splitlines() if not row.match(x))
    assert d.missing(names, text) == []
    assert d.missing(names, without) == [gone]


def test_defaults_are_written_as_the_pages_write_them() -> None:
    told = [d.shown(v) for v in (msgspec.NODEFAULT, None, "", True, ["5%"], 1.0)]
    assert told == ["–", "none", "empty", "`true`", "`[5%]`", "`1.0`"]

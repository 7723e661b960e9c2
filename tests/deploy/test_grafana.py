"""The dashboards: Grafana can load them, and they show metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.exported import check_expression, exported

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
BOARDS = sorted(FOLDER.glob("*.json"))
DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24  # of Grafana's grid


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def expressions(board: dict[str, Any]) -> list[str]:
    """With Grafana's own variables replaced, as it does before it asks."""
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return [
        re.sub(r"\$\{?model\}?", "late", text.replace("$__rate_interval", "5m")) for text in asked
    ]


def test_there_is_one_for_each_question() -> None:
    assert [path.stem for path in BOARDS] == ["control-plane", "fleet", "gateway", "model"]
    assert len({load(path)["uid"] for path in BOARDS}) == len(BOARDS)


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_its_form_is_what_grafana_loads(path: Path) -> None:
    board = load(path)
    assert board["schemaVersion"] >= 39
    assert board["title"]
    assert board["description"]
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", board["uid"])
    assert "id" not in board, "an id is of one Grafana"
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    used = set(re.findall(r"\$\{?(\w+)", path.read_text()))
    of_grafana = {one for one in used if one.startswith("__")}
    assert used - of_grafana <= variables.keys()


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_every_panel_says_what_it_shows(path: Path) -> None:
    panels = load(path)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        title = panel["title"]
        assert title
        assert len(panel["description"]) > 10, title
        assert panel["fieldConfig"]["defaults"]["unit"], title
        assert panel["datasource"] == DATA_SOURCE, title
        assert panel["targets"], title
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs), title
        assert all(target["datasource"] == DATA_SOURCE for target in panel["targets"]), title


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_no_panel_lies_on_another(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in load(path)["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= WIDTH
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_it_names_metrics_and_labels_that_there_are(path: Path) -> None:
    known = exported()
    for expression in expressions(load(path)):
        check_expression(expression, known)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_every_expression_is_promql(tmp_path: Path) -> None:
    """promtool reads them as recording rules."""
    asked = [expression for path in BOARDS for expression in expressions(load(path))]
    assert len(asked) > 50
    rules = [{"record": f"panel:{i}", "expr": text} for i, text in enumerate(asked)]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", str(file)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr

"""The alert rules: they speak of metrics that there are, and fire when they should."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from windvane.apps.console.control_metrics import control_names
from windvane.apps.console.metrics import PREFIX, recorder_series

RULES = Path(__file__).parents[2] / "deploy" / "prometheus"


def test_every_rule_speaks_of_metrics_that_there_are() -> None:
    known = {PREFIX + name for name in control_names()}
    known |= {PREFIX + series.name for series in recorder_series({})}
    (group,) = yaml.safe_load((RULES / "rules.yaml").read_text())["groups"]
    assert len(group["rules"]) > 5
    for rule in group["rules"]:
        named = set(re.findall(r"windvane_\w+", rule["expr"]))
        assert named, rule["alert"]
        assert named <= known, rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_they_fire_when_they_should() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", "rules_test.yaml"],
        cwd=RULES, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr

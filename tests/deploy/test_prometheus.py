"""The alert rules: they speak of metrics that there are, and fire when they should."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from deploy.exported import check_expression, exported

RULES = Path(__file__).parents[2] / "deploy" / "prometheus"


def test_every_rule_speaks_of_metrics_that_there_are() -> None:
    known = exported()
    (group,) = yaml.safe_load((RULES / "rules.yaml").read_text())["groups"]
    assert len(group["rules"]) > 10
    for rule in group["rules"]:
        check_expression(rule["expr"], known)
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_they_fire_when_they_should() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", "rules_test.yaml"],
        cwd=RULES, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr

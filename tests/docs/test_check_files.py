"""The page's blocks run as they stand, one after the other, in an empty folder without a home."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import docs.documented as d
import pytest
from docs.test_tutorial import missing_lines

from windvane.usecases.check_frames import MOST_COLUMNS
from windvane.usecases.watch_frames import MOST_SEGMENTS

PAGE = d.page("howto/check-files.md")
_STEP = re.compile(
    r"^```(sh|python)\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL
)


@pytest.mark.timeout(300)
def test_every_block_runs_and_says_what_the_page_shows(tmp_path: Path) -> None:
    steps = [step for step in _STEP.findall(PAGE) if not step[1].startswith("pip install")]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WINDVANE")}
    alias = f'windvane() {{ "{sys.executable}" -m windvane.apps.cli.main "$@"; }}\n'
    python = ""
    for kind, block, promised in steps:
        if kind == "python":
            python += block
            words = [sys.executable, "-c", python]
        else:
            words = ["bash", "-euc", alias + block]
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=200, check=False, cwd=tmp_path,
            env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert missing_lines(tuple(promised.splitlines()), done.stdout) == [], done.stdout
    assert len(steps) == 6
    assert done.stdout == "fail chicago\n"
    body = json.loads((tmp_path / "check.json").read_text())
    table = d.documented(d.section(PAGE, "## In cron and CI"))
    assert set(body) - {"alpha", "status"} <= table
    assert not list(tmp_path.glob(".windvane")), "no home is begun"


def test_the_bounds_are_those_of_the_source() -> None:
    assert f"{MOST_COLUMNS:,} columns" in PAGE
    assert f"{MOST_SEGMENTS} segments" in PAGE

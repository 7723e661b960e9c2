"""The statements of the page run as they stand, one after the other, on a home and its console."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import docs.documented as d
from read.console import console
from read.home import ADMIN, make_home

PAGE = d.page("howto/read-from-a-notebook.md")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_every_statement_runs(tmp_path: Path, migrated_file: Path) -> None:
    home = make_home(tmp_path / "home", migrated_file)
    with console(home) as url:
        done = subprocess.run(
            [sys.executable, "-c", "\n".join(BLOCKS)], capture_output=True, text=True, check=False,
            timeout=120,
            env={**os.environ, "WINDVANE_HOME": str(home), "CONSOLE": url, "KEY": ADMIN},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(BLOCKS) == 7
    (shown,) = re.findall(r"^```text\n.*\n(.*\n)```$", PAGE, re.MULTILINE)
    assert shown in done.stdout, "the page shows what is printed"
    assert "4 known, Brier score" in done.stdout

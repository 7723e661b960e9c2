"""The page on monitors, followed: its file and its line in a copy of the source, and what it says
that one gets."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import windvane

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/howto/write-a-monitor.md").read_text()
FOLLOWED = '''
from usecases.harness import MODEL, START, WINDOW_S, Harness
from usecases.conftest import (
    deployed_file,
    empty_harness_of,
    harness,
    harness_of,
    trained,
    worlds,
)
from usecases.timeline import QUIET, only, play, verdicts

import numpy as np
import pytest

from windvane.core.sketch import LATENCY_EDGES_US, TRAFFIC, Sketch
from windvane.ports.control_store import WindowKey
from windvane.usecases.monitors import MONITORS, cause_kinds
from windvane.usecases.replay_decision import replay_decision

def answer(harness, index, seconds):
    """Sixty requests of a window that took so long each."""
    empty = Sketch.empty(harness.layout.id, harness.layout.size)
    empty.latency[np.searchsorted(LATENCY_EDGES_US, seconds * 1e6)] = 60
    key = WindowKey(MODEL, START + WINDOW_S * index, "1", "fallback", "AA", "r2")
    with harness.store.begin() as tx:
        tx.add_sketches({key: empty})

def test_it_is_found_told_and_closed(harness: Harness) -> None:
    assert "latency" in [m.name for m in MONITORS] and "slow" in cause_kinds()
    for i in range(12):
        answer(harness, i, 1.0 if 3 <= i < 7 else 0.002)
        play(harness, [QUIET], first=i)
    incident = only(harness, f"slow:{MODEL}")
    assert incident.title.startswith("latency: slow 100.0%, 5.0% allowed")
    assert incident.severity == "high" and incident.closed_at is not None
    assert [v.code for v in verdicts(harness, "latency")][3:5] == ["LAT-203", "LAT-203"]
    began, ended = (d for d in reversed(harness.decisions()) if d.subject == "Latency")
    assert (began.action, ended.action) == ("notify", "close")
    assert replay_decision(began).same and replay_decision(ended).same
'''


def test_one_file_and_one_line_are_enough(tmp_path: Path) -> None:
    source = Path(windvane.__file__).parent
    copy = tmp_path / "src" / "windvane"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    file, line = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (copy / "usecases/monitors/latency.py").write_text(file)
    registry = copy / "usecases/monitors/__init__.py"
    added, _, listed = line.partition("\n\n")
    before = registry.read_text()
    after = re.sub(r"MONITORS: tuple.*?\n\)\n", listed, before, flags=re.DOTALL)
    after = after.replace(
        "from windvane.usecases.monitors.outcomes",
        f"{added}\nfrom windvane.usecases.monitors.outcomes",
    )
    changed = [new for new in after.splitlines() if new not in before.splitlines()]
    assert changed == [added, "    Latency(),"], "the page shows more of the list than its own line"
    registry.write_text(after)
    test = tmp_path / "test_followed.py"
    test.write_text(FOLLOWED)
    path = os.pathsep.join([str(tmp_path / "src"), str(ROOT / "tests")])
    # As a run of its own, which shares nothing with the workers of this one.
    alone = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull,
         "--rootdir", str(tmp_path), "--import-mode=importlib", "-p", "conftest", str(test)],
        env={**alone, "PYTHONPATH": path}, cwd=tmp_path, capture_output=True, text=True,
        timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]

"""The import contracts hold, and each can fail: a planted breach names the contract it breaks."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINTER = Path(sys.executable).with_name("lint-imports")

LAYERS = "apps, then adapters and use cases, then inference, then ports, then core"
CLIENT = "the client knows nothing of the rest but the base of errors"
CALLERS = "only the command line calls a gateway by its client"
SUBJECTS = (
    "subjects of core meet only through errors, statistics, verdict, sketch, signature and task"
)
ADAPTERS = "adapters do not know each other"
APPS = "apps do not know each other"
READER = "who reads in a notebook goes by use cases; its wiring alone picks adapters"
READ_BY_NOBODY = "nobody else reads by it"
WIRING = "only wiring picks adapters"
PURE = "core has no network, clock or dice"
REQUEST = "a request never reaches pandas, sklearn or SQL"

# What is planted where, and the contracts that it breaks.
BREACHES = [
    ("core/journal/decision.py", "import time", [PURE]),
    ("core/sketch/sketch.py", "import pandas", [PURE, REQUEST]),
    ("core/drift/budget.py", "from windvane.core.routing import Arm", [SUBJECTS]),
    ("ports/clock.py", "import windvane.usecases.read_settings", [LAYERS]),
    ("client/rows.py", "import numpy", [CLIENT]),
    ("client/rows.py", "from windvane.core.signature import show", [CLIENT]),
    ("apps/steward/loop.py", "import windvane.client", [CALLERS]),
    ("usecases/issue_key.py", "import windvane.adapters.clock", [LAYERS]),
    ("adapters/notify/apprise_notifier.py", "import windvane.adapters.clock.clocks", [ADAPTERS]),
    ("apps/trainer/train.py", "import windvane.apps.recorder", [APPS]),
    ("apps/steward/loop.py", "import windvane.adapters.notify", [WIRING]),
    ("read/reader.py", "import windvane.adapters.sql", [READER]),
    ("read/sources.py", "import windvane.apps.console.app", [APPS, READER]),
    ("apps/steward/loop.py", "import windvane.read.reader", [READ_BY_NOBODY]),
    ("apps/gateway/worker.py", "import sqlalchemy", [REQUEST]),
    ("usecases/read_settings.py", "import sklearn", [REQUEST]),  # reached by way of its wiring
]


def lint(copy: Path) -> tuple[int, dict[str, str]]:
    """lint-imports on the copy: its exit status and KEPT or BROKEN by contract."""
    done = subprocess.run(
        [str(LINTER), "--config", str(copy / "pyproject.toml"), "--no-cache"],
        cwd=copy, env={"PYTHONPATH": str(copy / "src"), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    found = dict(re.findall(r"^(.+?) (KEPT|BROKEN)\b", done.stdout, re.MULTILINE))
    assert found, f"{done.stdout}\n{done.stderr}"
    return done.returncode, found


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources and the configuration, to be spoiled."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def plant(copy: Path, name: str, line: str) -> None:
    path = copy / "src" / "windvane" / name
    path.write_text(path.read_text() + f"\n{line}\n")


def broken(found: dict[str, str]) -> list[str]:
    return sorted(contract for contract, held in found.items() if held == "BROKEN")


def test_every_contract_holds_and_has_a_breach_here(copy: Path) -> None:
    status, found = lint(copy)
    assert (status, broken(found)) == (0, [])
    assert set(found) == {contract for *_, contracts in BREACHES for contract in contracts}


@pytest.mark.parametrize(("name", "line", "contracts"), BREACHES)
def test_a_breach_names_its_contract(
    copy: Path, name: str, line: str, contracts: list[str]
) -> None:
    plant(copy, name, line)
    status, found = lint(copy)
    assert (status, broken(found)) == (1, sorted(contracts))


@pytest.mark.parametrize("layer", ["", "core"])
def test_a_new_folder_must_find_its_place(copy: Path, layer: str) -> None:
    """No `utils` at the top, no unlisted subject in core."""
    folder = copy / "src" / "windvane" / layer / "utils"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    status, found = lint(copy)
    assert (status, broken(found)) == (1, [SUBJECTS if layer else LAYERS])


@pytest.mark.parametrize(
    ("line", "banned"),
    [
        ("NOW = datetime.datetime.now(datetime.UTC)", "datetime.datetime.now"),
        ("NOW = datetime.datetime.utcnow()", "datetime.datetime.utcnow"),
        ("ID = uuid.uuid4()", "uuid.uuid4"),
    ],
)
def test_core_may_not_call_clocks_or_dice(line: str, banned: str) -> None:
    """What an import contract cannot see: the module is harmless, the call is not."""
    done = subprocess.run(
        [str(LINTER.with_name("ruff")), "check", "--no-cache", "--output-format=concise",
         "--stdin-filename", "src/windvane/core/planted.py", "-"],
        input=f"import {banned.partition('.')[0]}\n\n{line}\n",
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"TID251 `{banned}` is banned" in done.stdout

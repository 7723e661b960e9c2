"""What a command imports. Seconds differ with machines; modules do not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "alembic", "apprise", "deltalake", "duckdb", "fastapi", "httpx", "mlflow", "onnx",
    "onnxruntime", "pandas", "psycopg", "pyarrow", "scipy.special", "sklearn", "uvicorn",
}  # fmt: skip
STORE = {"sqlalchemy", "numpy", "yaml"}
CODE = """
import atexit, sys
atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))
sys.argv = ["windvane", *sys.argv[1:]]
from windvane.apps.cli.entry import main
main()
"""
NOTHING = [["--version"], ["--help"], ["nonsense"], ["--nonsense"]]
LIGHT = [
    ["status"], ["status", "--json"], ["incidents"], ["key", "list"], ["limit"], ["audit"],
    ["key", "issue", "acme"], ["limit", "acme", "--concurrent", "3"], ["environments"],
]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose database is there and of today's schema."""
    folder = tmp_path_factory.mktemp("light")
    (folder / "windvane.yaml").touch()
    imported(folder, "status")
    return folder


def imported(home: Path, *words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words], cwd=home, capture_output=True, text=True,
        timeout=60, check=False, env={"WINDVANE_HOME": str(home)},
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize("words", NOTHING, ids=" ".join)
def test_what_needs_no_store_imports_none(home: Path, words: list[str]) -> None:
    assert imported(home, *words) & (HEAVY | STORE) == set()


@pytest.mark.parametrize("words", LIGHT, ids=" ".join)
def test_a_light_command_imports_nothing_heavy(home: Path, words: list[str]) -> None:
    found = imported(home, *words)
    assert "sqlalchemy" in found, "it did its work"
    assert found & HEAVY == set()


def test_what_has_to_migrate_still_does(tmp_path: Path) -> None:
    (tmp_path / "windvane.yaml").touch()
    assert "alembic" in imported(tmp_path, "status")

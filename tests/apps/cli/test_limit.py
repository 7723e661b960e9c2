"""`windvane limit`: shown, set, removed; nothing is lost by not naming it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from windvane.apps.cli.main import app
from windvane.ports.control_store import UnknownName


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "windvane.yaml").write_text("")
    return tmp_path


def call(home: Path, *words: str) -> Any:
    return CliRunner().invoke(app, ["limit", *words, "--home", str(home)])


def limits(home: Path, *words: str) -> list[tuple[str, int, int]]:
    found = json.loads(call(home, *words, "--json").stdout)
    return [(one["tenant"], one["rate"], one["concurrent"]) for one in found]


def test_a_tenant_alone_is_shown_and_keeps_its_limit(home: Path) -> None:
    call(home, "acme", "--rate", "600 per minute", "--concurrent", "20")
    call(home, "bolt", "--concurrent", "3")
    assert limits(home, "acme") == [("acme", 600, 20)]
    assert limits(home) == [("acme", 600, 20), ("bolt", 0, 3)]


def test_a_bound_that_is_not_named_stays(home: Path) -> None:
    call(home, "acme", "--rate", "600 per minute", "--concurrent", "20")
    call(home, "acme", "--rate", "5 per 10s")
    assert limits(home) == [("acme", 5, 20)]
    call(home, "acme", "--concurrent", "7")
    assert limits(home) == [("acme", 5, 7)]
    call(home, "acme", "--rate", "none")
    assert limits(home) == [("acme", 0, 7)]


def test_a_limit_goes_by_remove_only(home: Path) -> None:
    call(home, "acme", "--concurrent", "20")
    refused = call(home, "acme", "--concurrent", "0")
    assert refused.exit_code == 2
    assert "--remove" in refused.output
    assert limits(home) == [("acme", 0, 20)]
    assert call(home, "acme", "--remove").exit_code == 0
    assert limits(home) == []


def test_what_cannot_be_removed_says_so(home: Path) -> None:
    call(home, "acme", "--concurrent", "20")
    done = call(home, "acmee", "--remove")
    assert isinstance(done.exception, UnknownName)
    assert done.exception.advice == "did you mean 'acme'?"
    assert isinstance(call(home, "acme", "--model", "m", "--remove").exception, UnknownName)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--rate", "5 per 10s"], "a tenant is needed"),
        (["acme", "--remove", "--rate", "none"], "--remove goes with neither"),
    ],
)
def test_what_cannot_be_meant_changes_nothing(home: Path, words: list[str], text: str) -> None:
    done = call(home, *words)
    assert done.exit_code == 2
    assert text in done.output

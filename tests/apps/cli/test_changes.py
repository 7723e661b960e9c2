"""Which gateways took a change: waited for, and said."""

from __future__ import annotations

import ast
import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import docs.documented as d
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from windvane.adapters.files import FileMetricsBoard
from windvane.apps import cli
from windvane.apps.cli.changes import TAKEN_WITHIN_S, Worker, await_taken, taken_sentence
from windvane.apps.cli.main import app
from windvane.apps.cli.running import claim
from windvane.ports.metrics import Series
from windvane.usecases.read_settings import find_settings


def test_it_waits_until_all_have_it() -> None:
    looks = [[Worker("a", 4), Worker("b", 3)], [Worker("a", 4), Worker("b", 5)]]
    paused: list[float] = []
    seen = await_taken(lambda: looks[len(paused)], 4, now=lambda: 0.0, pause=paused.append)
    assert taken_sentence(seen, 4) == "2 of 2 have taken it"
    assert len(paused) == 1


def test_it_waits_no_longer_than_it_says() -> None:
    at = [0.0]

    def pause(seconds: float) -> None:
        at[0] += seconds

    seen = await_taken(lambda: [Worker("a", 4), Worker("b", 3)], 4, now=lambda: at[0], pause=pause)
    assert TAKEN_WITHIN_S <= at[0] < TAKEN_WITHIN_S + 1.0
    sentence = taken_sentence(seen, 4)
    assert sentence.startswith("1 of 2 have taken it; not yet after 5 s: b.")


def test_nobody_is_waited_for_where_nobody_runs() -> None:
    def pause(_: float) -> None:
        raise AssertionError("nobody to wait for")

    assert "none runs on this home" in taken_sentence(await_taken(list, 4, pause=pause), 4)


def test_a_home_that_is_up_and_whose_workers_say_nothing_is_not_said_to_rest(home: Path) -> None:
    """With a full disk they cannot post their metrics."""
    shutil.rmtree(home / "metrics")
    with claim(find_settings({}, home)):
        done = CliRunner().invoke(app, ["key", "issue", "acme", "--home", str(home)])
    assert done.exit_code == 0, done.output
    assert "gateways  not known" in done.stderr
    assert "none runs" not in done.stderr


@given(st.lists(st.integers(0, 9), min_size=1), st.integers(0, 9))
def test_the_numbers_add_up(seqs: Sequence[int], seq: int) -> None:
    workers = [Worker(f"gateway-{i}", n) for i, n in enumerate(seqs)]
    sentence = taken_sentence(workers, seq)
    late = [w.name for w in workers if w.seq < seq]
    assert sentence.startswith(f"{len(workers) - len(late)} of {len(workers)} ")
    assert all(name in sentence for name in late)


@pytest.fixture
def home(tmp_path: Path, migrated_file: Path) -> Path:
    """Where a worker runs that takes up no table."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    (folder / "windvane.yaml").touch(0o600)
    shutil.copy(migrated_file, folder / "control.db")
    board = FileMetricsBoard(folder / "metrics")
    board.post("gateway-0", [Series("routing_seq", "gauge", "", (), [((), [0.0])])])
    (post,) = (folder / "metrics").glob("gateway-0*")
    later = time.time() + 600.0
    os.utime(post, (later, later))
    return folder


def changed(home: Path, *words: str) -> Result:
    done = CliRunner().invoke(app, [*words, "--home", str(home), "--json"])
    assert done.exit_code == 0, done.output
    json.loads(done.stdout)
    return done


def test_a_change_that_a_worker_does_not_take_is_made_and_said(home: Path) -> None:
    done = changed(home, "key", "issue", "acme")
    assert "0 of 1 have taken it; not yet after 5 s: gateway-0" in done.stderr
    assert [k["tenant"] for k in json.loads(changed(home, "key", "list").stdout)] == ["acme"]


def test_with_no_wait_the_change_is_made_and_nobody_waited_for(home: Path) -> None:
    began = time.monotonic()
    done = changed(home, "key", "issue", "acme", "--no-wait")
    assert time.monotonic() - began < TAKEN_WITHIN_S
    assert "not waited for" in done.stderr
    assert "taken it;" not in done.stderr
    table = json.loads((home / "routing.json").read_text())
    assert [k["tenant"] for k in table["keys"]] == ["acme"], "it is on its way all the same"


def callers_of_publish() -> list[tuple[str, ast.Call]]:
    files = Path(cli.__file__).parent.rglob("*.py")
    return [
        (f"{path.name}:{node.lineno}", node)
        for path in files
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "publish"
    ]


def test_each_command_that_gateways_hear_of_can_return_at_once() -> None:
    found = callers_of_publish()
    assert found
    waiting = [where for where, call in found if "wait" not in {k.arg for k in call.keywords}]
    assert waiting == [], "pass `wait=not no_wait`, with the option `NoWait`"


@pytest.mark.parametrize(
    "command",
    [
        "apply",
        "deploy",
        "rollback",
        "abort",
        "rollout pause",
        "rollout resume",
        "rollout skip",
        "rollout share",
        "undeploy",
        "off",
        "on",
        "trust",
        "limit",
        "key issue",
        "key rotate",
        "key revoke",
    ],
)
def test_the_page_and_the_command_have_it(command: str) -> None:
    assert "--no-wait" in d.commands()[command]

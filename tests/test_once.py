"""What is made once is made by one worker, whole, or again."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from once import Once


def _make(folder: Path) -> None:
    with (folder.parent / "makers").open("a") as makers:
        makers.write("one\n")
    (folder / "file").write_text("whole")


def _ask(root: Path) -> None:
    assert (Once(root).folder("home", _make) / "file").read_text() == "whole"


def test_workers_that_ask_at_once_make_it_once(tmp_path: Path) -> None:
    workers = [
        multiprocessing.get_context("fork").Process(target=_ask, args=(tmp_path,)) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert (tmp_path / "makers").read_text() == "one\n"


def test_what_could_not_be_made_is_made_again(tmp_path: Path) -> None:
    def half(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        Once(tmp_path).folder("home", half)
    made = Once(tmp_path).folder("home", _make)
    assert [path.name for path in made.iterdir()] == ["file"]

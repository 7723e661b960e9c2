"""The metrics board: each worker's latest post, whole, for whoever looks."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from windvane.adapters.files import FileMetricsBoard
from windvane.ports.metrics import Series

DEADLINE_S = 20.0


def series(count: float, lines: int = 1) -> list[Series]:
    values = [((f"t{i}", 'é "\n'), [count]) for i in range(lines)]
    return [
        Series("requests_total", "counter", "Requests.", ("tenant", "code"), values),
        Series("request_seconds", "histogram", "Time.", ("model",),
               [(("m",), [1.0, count, 0.5])], (0.25,)),
        Series("up", "gauge", "Up.", (), [((), [1.0])]),
    ]  # fmt: skip


@pytest.fixture
def board(tmp_path: Path) -> FileMetricsBoard:
    return FileMetricsBoard(tmp_path / "home" / "metrics")


def test_before_the_first_post(board: FileMetricsBoard) -> None:
    assert board.posted() == {}


def test_a_post_reads_back_by_worker(board: FileMetricsBoard) -> None:
    board.post("gateway-1", series(1))
    board.post("gateway-0", series(2))
    board.post("gateway-10", [])
    assert board.posted() == {"gateway-0": series(2), "gateway-1": series(1), "gateway-10": []}


def test_what_an_ended_worker_posted_is_left_out(board: FileMetricsBoard, tmp_path: Path) -> None:
    board.post("gateway-0", series(1))
    board.post("gateway-1", series(2))
    past = time.time() - 60.0
    os.utime(tmp_path / "home" / "metrics" / "gateway-1.metrics", (past, past))
    assert set(board.posted()) == {"gateway-0", "gateway-1"}
    assert set(board.posted(within_s=30.0)) == {"gateway-0"}


def test_a_post_replaces_the_one_before(board: FileMetricsBoard, tmp_path: Path) -> None:
    for count in range(5):
        board.post("gateway-0", series(count, lines=9 - count))
    again = FileMetricsBoard(tmp_path / "home" / "metrics")  # a successor, or the console
    assert again.posted() == {"gateway-0": series(4, lines=5)}
    assert [p.name for p in (tmp_path / "home" / "metrics").iterdir()] == ["gateway-0.metrics"]


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x93abc", b"\x80", b"\x91\x91\x01"])
def test_a_post_that_cannot_be_read_hides_no_other(
    board: FileMetricsBoard, tmp_path: Path, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    board.post("gateway-0", series(1))
    (tmp_path / "home" / "metrics" / "gateway-1.metrics").write_bytes(body)
    assert board.posted() == {"gateway-0": series(1)}
    assert "gateway-1.metrics cannot be read" in caplog.text
    board.post("gateway-1", series(3))
    assert board.posted()["gateway-1"] == series(3)


def test_a_crash_while_posting_leaves_the_post_before(
    board: FileMetricsBoard, tmp_path: Path
) -> None:
    board.post("gateway-0", series(1))
    (tmp_path / "home" / "metrics" / ".gateway-0.new").write_bytes(b"\x93half")
    assert board.posted() == {"gateway-0": series(1)}
    board.post("gateway-0", series(2))
    assert board.posted() == {"gateway-0": series(2)}


def test_no_reader_sees_half_a_post(board: FileMetricsBoard, tmp_path: Path) -> None:
    last = 100
    board.post("gateway-0", series(0, lines=500))
    seen: list[float] = []
    errors: list[BaseException] = []

    def watch() -> None:
        try:
            reader = FileMetricsBoard(tmp_path / "home" / "metrics")
            while not seen or seen[-1] < last:
                found = reader.posted()["gateway-0"]
                count = found[0].values[0][1][0]
                assert found == series(count, lines=500)
                seen.append(count)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    for count in range(1, last + 1):
        board.post("gateway-0", series(count, lines=500))
    thread.join(DEADLINE_S)
    assert errors == []
    assert seen == sorted(seen)
    assert seen[-1] == last


def test_when_a_worker_posted_is_known(board: FileMetricsBoard) -> None:
    assert board.posted_at() == {}
    before = time.time()
    board.post("gateway-0", series(1))
    assert board.posted_at().keys() == {"gateway-0"}
    assert before - 1.0 <= board.posted_at()["gateway-0"] <= time.time() + 1.0

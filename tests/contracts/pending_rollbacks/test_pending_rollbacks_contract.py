"""Pending rollbacks: there after a restart, one a model, dropped only if it is the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from windvane.adapters.files import FilePendingRollbacks
from windvane.ports.pending_rollbacks import PendingRollback

HELD = PendingRollback("late", "2", 1_700_000_000.5, "cli:ana", 'it said "no" – at 02:50')


@pytest.fixture
def pending(tmp_path: Path) -> FilePendingRollbacks:
    return FilePendingRollbacks(tmp_path / "home" / "pending")


def test_before_the_first_nothing_waits(pending: FilePendingRollbacks, tmp_path: Path) -> None:
    assert pending.waiting() == []
    pending.drop(HELD)
    assert not (tmp_path / "home").exists()


def test_what_is_added_is_there_after_a_restart(
    pending: FilePendingRollbacks, tmp_path: Path
) -> None:
    other = replace(HELD, model="a/../b c")
    pending.add(HELD)
    pending.add(other)
    again = FilePendingRollbacks(tmp_path / "home" / "pending")
    assert again.waiting() == [other, HELD]
    assert len(list((tmp_path / "home" / "pending").iterdir())) == 2, "names lead nowhere else"


def test_a_model_has_one_and_the_later_counts(pending: FilePendingRollbacks) -> None:
    later = replace(HELD, version="3")
    pending.add(HELD)
    pending.add(later)
    pending.drop(HELD)
    assert pending.waiting() == [later]
    pending.drop(later)
    assert pending.waiting() == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"model": 1}'])
def test_one_that_cannot_be_read_hides_no_other(
    pending: FilePendingRollbacks, tmp_path: Path, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    pending.add(HELD)
    (tmp_path / "home" / "pending" / "bad.json").write_bytes(body)
    assert pending.waiting() == [HELD]
    assert "bad.json cannot be read" in caplog.text

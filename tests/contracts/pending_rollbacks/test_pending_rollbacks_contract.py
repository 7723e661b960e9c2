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


def test_a_version_has_one_and_the_later_counts(pending: FilePendingRollbacks) -> None:
    later, other = replace(HELD, reason="again"), replace(HELD, version="3", at=HELD.at - 1.0)
    for one in (HELD, later, other):
        pending.add(one)
    pending.drop(HELD)
    assert pending.waiting() == [other, later], "in the order of their time"
    pending.drop(later)
    pending.drop(other)
    assert pending.waiting() == []


def test_a_copy_under_another_name_goes_as_well(
    pending: FilePendingRollbacks, tmp_path: Path
) -> None:
    pending.add(HELD)
    (path,) = (tmp_path / "home" / "pending").iterdir()
    (path.parent / "x.json").write_bytes(path.read_bytes())
    pending.drop(HELD)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"\xff", b'{"model": 1}', b"[" * 100_000,
     b'{"model": "m", "version": "1", "at": 9e18, "by": "", "reason": ""}',
     b'{"model": "m", "version": "1", "at": -1, "by": "", "reason": ""}'],
)  # fmt: skip
def test_one_that_cannot_be_read_is_set_aside_once(
    pending: FilePendingRollbacks, tmp_path: Path, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    pending.add(HELD)
    (tmp_path / "home" / "pending" / "bad.json").write_bytes(body)
    assert pending.waiting() == [HELD]
    assert pending.waiting() == [HELD]
    assert caplog.text.count("bad.json is set aside") == 1
    assert pending.set_aside() == ["bad.bad"]

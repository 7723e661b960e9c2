"""What a spool gives up lies on the disk elsewhere, not only in the kernel's memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from usecases.harness import MODEL, START
from usecases.recording import AT_ONCE, RecorderHarness, outcome, predicted

from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.spool import FileSpoolReader


def state_of(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


class Disk:
    """What was forced, as it was then."""

    def __init__(self) -> None:
        self.forced: dict[Path, tuple[int, int]] = {}
        self._fsync = os.fsync

    def fsync(self, fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        self._fsync(fd)
        self.forced[path] = state_of(path)

    def left_out(self, root: Path) -> list[str]:
        """Files and folders below ``root`` that a power cut may take."""
        found = [
            path for path in (root, *root.rglob("*")) if self.forced.get(path) != state_of(path)
        ]
        return [str(path.relative_to(root)) for path in found]


class WatchedSpools(FileSpoolReader):
    def __init__(self, recording: RecorderHarness, disk: Disk) -> None:
        super().__init__(recording.folder / "spool")
        self._recording, self._disk = recording, disk
        self.releases = 0
        self.left_out: list[str] = []

    def release(self, spool: str, position: int) -> None:
        folder = self._recording.folder
        self.left_out += self._disk.left_out(folder / "log")
        wal = folder / "control.db-wal"
        if self._disk.forced.get(wal) != state_of(wal):
            self.left_out.append(wal.name)
        self.releases += 1
        super().release(spool, position)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    found = Disk()
    monkeypatch.setattr(os, "fsync", found.fsync)
    return found


def test_what_is_released_survives_a_power_cut(recording: RecorderHarness, disk: Disk) -> None:
    spools = WatchedSpools(recording, disk)
    recorder = recording.start(spool=spools, policy=AT_ONCE)
    for i in range(12):  # beyond a checkpoint of the table's log, were it every ten
        at = START + i
        recording.write([predicted(f"r{i}", at), outcome(f"r{i}", at)], segment=600)
        recorder.step()
    assert spools.releases >= 12
    assert spools.left_out == []
    assert recording.log.counts(MODEL)["predictions"] == 12


class DiesBeforeTheDisk(DeltaEventLog):
    """Commits, and is killed before it forces anything."""

    def _force(self, name: str) -> None:
        raise KeyboardInterrupt(name)


def test_what_another_process_committed_is_forced_as_well(
    recording: RecorderHarness, disk: Disk
) -> None:
    recording.write([predicted(f"r{i}", START) for i in range(20)], segment=600)
    with pytest.raises(KeyboardInterrupt):
        recording.start(log=DiesBeforeTheDisk(recording.log_root)).step()
    assert disk.left_out(recording.folder / "log") != []
    spools = WatchedSpools(recording, disk)
    recording.start(spool=spools).step()
    assert spools.releases > 0
    assert spools.left_out == []
    counted: Mapping[str, int] = recording.log.counts(MODEL)
    assert counted["predictions"] == 20

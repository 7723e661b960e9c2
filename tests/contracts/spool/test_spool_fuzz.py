"""Damage of every kind, and processes that die: what is whole is read once, what is not is said."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from windvane.adapters.spool import FileSpoolReader, FileSpoolWriter
from windvane.adapters.spool.frames import HEADER, frame, segments
from windvane.ports.spool import Batch

SPOOL = "w0"
CASES, SLICE = 10_000, 300


@dataclass
class Disk:
    """One spool with its writers and its reader, and all that is known of what they did."""

    root: Path
    rng: random.Random
    written: dict[int, bytes] = field(default_factory=dict)  # by position
    damaged: list[tuple[int, int]] = field(default_factory=list)  # positions, from and until
    delivered: dict[int, bytes] = field(default_factory=dict)
    spans: dict[int, int] = field(default_factory=dict)  # a start; where what is before it ended
    position: int = 0
    losses: list[tuple[int, int]] = field(default_factory=list)  # from and until
    number: int = 0
    writer: FileSpoolWriter | None = None

    @property
    def folder(self) -> Path:
        return self.root / SPOOL

    def start(self) -> None:
        """Another writer, above everything that a writer before it ever reached."""
        self.stop()
        end = max((at + len(frame(body)) for at, body in self.written.items()), default=0)
        first = end + self.rng.choice((0, 0, 1, 1_000)) if self.written else 0
        size = self.rng.choice((60, 300, 1_000, 100_000))
        self.writer = FileSpoolWriter(self.folder, segment_bytes=size, first=first)
        self.look()

    def stop(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def look(self) -> None:
        """Every segment says where the one before it ended."""
        for one in segments(self.folder):
            self.spans.setdefault(one.start, one.before)

    def append(self) -> None:
        assert self.writer is not None
        size = self.rng.choice((0, 1, 7, 40, 200, 900))
        body = b"%08d" % self.number + self.rng.randbytes(size)
        self.number += 1
        self.writer.append(body)
        self.look()
        last = max(segments(self.folder))
        end = last.end if last.end > last.start else last.before
        self.written[end - len(frame(body))] = body

    def read(self) -> None:
        """One batch, by a recorder that may have been started a moment ago; it may die before it
        has noted how far it was."""
        reader = FileSpoolReader(self.root)
        batch = reader.read(SPOOL, self.position, self.rng.choice((1, 64, 500, 1 << 20)))
        assert self.position <= batch.start <= batch.end
        if self.rng.random() < 0.2:
            return
        for at, body in batch.payloads:
            assert at not in self.delivered
            assert self.written.get(at) == body, "it was never written there"
            self.delivered[at] = body
        self.take(batch)
        self.position = batch.end
        if self.rng.random() < 0.5:
            reader.release(SPOOL, self.position)

    def take(self, batch: Batch) -> None:
        if batch.lost:
            self.losses.append((batch.start, batch.start + batch.lost))

    def damage(self) -> None:
        found = [one for one in segments(self.folder) if one.end > one.start]
        if not found:
            return
        one = self.rng.choice(found)
        data = bytearray(one.path.read_bytes())
        at = self.rng.randrange(len(data))
        size = self.rng.choice((1, 1, 4, 30, 400))
        kind = self.rng.choice(("flip", "flip", "zeros", "cut", "gone", "torn"))
        if one.start == found[-1].start and self.writer is not None and kind in ("cut", "gone"):
            kind = "flip"  # a file that is open does not shrink
        part = data[at : at + size]
        if kind == "flip":
            data[at : at + size] = bytes(b ^ self.rng.randrange(1, 256) for b in part)
        elif kind == "zeros":
            data[at : at + size] = bytes(len(part))
        elif kind == "cut":
            part = data[at:]
            del data[at:]
        elif kind == "torn":
            part = bytearray()
            if self.writer is None and one.start == found[-1].start:
                data += frame(b"torn" * 20)[: self.rng.randrange(1, 88)]
        if kind == "gone":
            part, at = data, 0
            last = one == segments(self.folder)[-1]
            one.path.unlink()
            if last:
                self.spans.pop(one.start, None)  # nobody else knows where the one before it ended
        else:
            one.path.write_bytes(bytes(data))
        self.damaged.append((one.start + at, one.start + at + len(part)))

    def finish(self) -> None:
        """A last writer's event is behind everything, so that all before it is decided."""
        self.start()
        self.append()
        self.stop()
        for _ in range(10_000):
            before = self.position
            reader = FileSpoolReader(self.root)
            batch = reader.read(SPOOL, before, 1 << 20)
            if batch.end == before:
                return
            for at, body in batch.payloads:
                assert at not in self.delivered
                assert self.written.get(at) == body
                self.delivered[at] = body
            self.take(batch)
            self.position = batch.end
        raise AssertionError("the reader comes to no end")

    def check(self) -> None:
        """Everything outside of the damage is there; what is not is counted, to the byte."""
        for at, body in self.written.items():
            end = at + len(frame(body))
            hit = any(low < end and at < high for low, high in self.damaged)
            assert at in self.delivered or hit, f"{body[:8]!r} at {at} is gone, and was whole"
        names = [body[:8] for body in self.delivered.values()]
        assert len(names) == len(set(names))
        told = [(at, at + len(frame(body))) for at, body in self.delivered.items()]
        told = sorted([*told, *self.losses])
        assert all(before[1] <= after[0] for before, after in pairwise(told)), "told twice"
        for start, following in pairwise(sorted(self.spans)):
            reached = start
            for low, high in told:
                if low <= reached < high:
                    reached = high
            assert reached >= self.spans[following], f"nobody said what became of {reached}"


def run_case(root: Path, seed: int) -> Disk:
    rng = random.Random(seed)
    disk = Disk(root, rng)
    disk.start()
    for _ in range(rng.randrange(5, 30)):
        match rng.choice("aaaaarrddst"):
            case "a":
                if disk.writer is None:
                    disk.start()
                disk.append()
            case "r":
                disk.read()
            case "d":
                disk.damage()
            case "s":
                disk.start()
            case _:
                disk.stop()
    disk.finish()
    disk.check()
    return disk


def run_cases(root: Path, seeds: range) -> tuple[int, int]:
    """(events written, bytes lost)."""
    written = lost = 0
    for seed in seeds:
        try:
            disk = run_case(root, seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error
        written, lost = (
            written + len(disk.written),
            lost + sum(high - low for low, high in disk.losses),
        )
        shutil.rmtree(root / SPOOL)
    return written, lost


def test_a_slice_of_the_damage(tmp_path: Path) -> None:
    written, lost = run_cases(tmp_path, range(SLICE))
    assert written > 5 * SLICE
    assert lost > 0


@pytest.mark.slow
def test_ten_thousand_cases_of_damage(tmp_path: Path) -> None:
    written, lost = run_cases(tmp_path, range(SLICE, CASES))
    assert written > 5 * CASES
    assert lost > 0


@pytest.mark.parametrize("left", range(len(frame(b"x" * 40))))
def test_a_write_torn_at_any_position_costs_that_write_only(tmp_path: Path, left: int) -> None:
    writer = FileSpoolWriter(tmp_path / SPOOL)
    writer.append(b"whole")
    writer.append(b"x" * 40)
    writer.close()
    (one,) = [one for one in segments(tmp_path / SPOOL) if one.end > one.start]
    data = one.path.read_bytes()
    cut = len(frame(b"whole")) + left
    one.path.write_bytes(data[:cut])
    writer = FileSpoolWriter(tmp_path / SPOOL, first=len(data))
    writer.append(b"the next one's")
    writer.close()
    found, lost, position = [], 0, 0
    reader = FileSpoolReader(tmp_path)
    while (batch := reader.read(SPOOL, position, 1 << 20)).end > position:
        found += [body for _, body in batch.payloads]
        lost, position = lost + batch.lost, batch.end
    assert found == [b"whole", b"the next one's"]
    assert lost == left


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(i, marks=pytest.mark.slow) for i in range(2, 20))]
)
def test_a_killed_writer_and_damage_behind_it(tmp_path: Path, seed: int) -> None:
    """A real process, killed in the middle of its appends; then bytes of its files are flipped."""
    rng = random.Random(seed)
    child = Path(__file__).with_name("spool_child.py")
    process = subprocess.Popen(
        [sys.executable, str(child), str(tmp_path / SPOOL), str(rng.choice((3_000, 50_000)))],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline() for _ in range(rng.randrange(5, 200))]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
        process.wait(timeout=20)
    finally:
        process.kill()
        process.stdout.close()
        process.wait(timeout=20)
    acknowledged = {int(line) for line in lines if line.endswith(b"\n")}
    before = {body for _, body in _frames(tmp_path)}
    assert acknowledged <= {int(body.split(b":")[0]) for body in before}
    for _ in range(rng.randrange(1, 6)):
        one = rng.choice([one for one in segments(tmp_path / SPOOL) if one.end > one.start])
        data = bytearray(one.path.read_bytes())
        data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
        one.path.write_bytes(bytes(data))
    kept = [one.path.read_bytes() for one in segments(tmp_path / SPOOL)]
    whole = {body for body in before if any(frame(body) in data for data in kept)}
    writer = FileSpoolWriter(tmp_path / SPOOL, first=1 << 40)
    writer.append(b"-1:")
    writer.close()
    found, lost, position = [], 0, 0
    reader = FileSpoolReader(tmp_path)
    while (batch := reader.read(SPOOL, position, rng.choice((100, 10_000)))).end > position:
        found += [body for _, body in batch.payloads]
        lost, position = lost + batch.lost, batch.end
    assert len(found) == len(set(found))
    assert set(found) == {*whole, b"-1:"}
    size = sum(one.end - one.start for one in segments(tmp_path / SPOOL))
    assert lost == size - sum(HEADER.size + len(body) for body in found)


def _frames(root: Path) -> list[tuple[int, bytes]]:
    found, position = list[tuple[int, bytes]](), 0
    reader = FileSpoolReader(root)
    while (batch := reader.read(SPOOL, position, 1 << 20)).end > position:
        found += batch.payloads
        position = batch.end
    return found

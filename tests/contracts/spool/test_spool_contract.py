"""The spool: what was acknowledged is read once, in order, whatever happened to the writer."""

from __future__ import annotations

import errno
import gc
import logging
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windvane.adapters.spool import FileSpoolReader, FileSpoolWriter
from windvane.adapters.spool.frames import HEADER, MAX_PAYLOAD, frame, parse, segments
from windvane.ports.spool import SpoolFull

PAYLOADS = st.lists(st.binary(max_size=300), max_size=40)


@contextmanager
def writing(
    folder: Path, segment_bytes: int = 1 << 20, max_bytes: int = 1 << 30, first: int = 0
) -> Iterator[FileSpoolWriter]:
    writer = FileSpoolWriter(folder, segment_bytes=segment_bytes, max_bytes=max_bytes, first=first)
    try:
        yield writer
    finally:
        writer.close()


def read_all(root: Path, spool: str = "w0", limit: int = 1 << 20, position: int = 0) -> list[bytes]:
    """Everything from ``position`` as the recorder reads it; checks that positions agree."""
    reader = FileSpoolReader(root)
    found: list[bytes] = []
    while True:
        batch = reader.read(spool, position, limit)
        assert batch.start <= batch.end
        assert all(position <= at < batch.end for at, _ in batch.payloads)
        if batch.end == position:
            return found
        found += [body for _, body in batch.payloads]
        position = batch.end


# Frames


@given(PAYLOADS)
def test_frames_parse_back(payloads: list[bytes]) -> None:
    data = b"".join(map(frame, payloads))
    assert [body for _, body in parse(data)] == payloads
    offsets = [at for at, _ in parse(data)]
    assert offsets == sorted(set(offsets))


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=8), st.data())
def test_any_torn_end_gives_the_frames_before_it(
    payloads: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(map(frame, payloads))
    cut = data.draw(st.integers(0, len(whole)))
    found = [body for _, body in parse(whole[:cut])]
    assert found == payloads[: len(found)]
    ends = [sum(len(frame(p)) for p in payloads[: i + 1]) for i in range(len(payloads))]
    assert len(found) == sum(end <= cut for end in ends)


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5), st.data())
def test_any_flipped_payload_bit_stops_the_parse(
    payloads: list[bytes], data: st.DataObject
) -> None:
    victim = data.draw(st.integers(0, len(payloads) - 1))
    frames = [bytearray(frame(p)) for p in payloads]
    place = data.draw(st.integers(HEADER.size, len(frames[victim]) - 1))
    frames[victim][place] ^= 1 << data.draw(st.integers(0, 7))
    found = [body for _, body in parse(b"".join(frames))]
    assert found == payloads[:victim]


# Reading


@given(PAYLOADS, st.lists(st.integers(1, 400), min_size=1, max_size=5), st.integers(1, 600))
def test_any_read_limits_give_everything_once_in_order(
    payloads: list[bytes], limits: list[int], segment_bytes: int
) -> None:
    with TemporaryDirectory() as home:
        root = Path(home)
        with writing(root / "w0", segment_bytes) as writer:
            for payload in payloads:
                writer.append(payload)
        reader, found, position, turn = FileSpoolReader(root), [], 0, 0
        while (batch := reader.read("w0", position, limits[turn % len(limits)])).end > position:
            found += [body for _, body in batch.payloads]
            position, turn = batch.end, turn + 1
            if turn % 2:
                reader.release("w0", position)
        assert found == payloads


def test_a_reader_follows_a_writer(tmp_path: Path) -> None:
    reader = FileSpoolReader(tmp_path)
    assert reader.spools() == []
    with writing(tmp_path / "w1", 64) as writer, writing(tmp_path / "w0") as other:
        assert list(reader.spools()) == ["w0", "w1"]
        other.append(b"of the other")
        position, found = 0, []
        for i in range(20):
            writer.append(b"payload %d" % i)
            writer.sync()
            while (batch := reader.read("w1", position, 1 << 20)).end > position:
                found += [body for _, body in batch.payloads]
                position = batch.end
        assert found == [b"payload %d" % i for i in range(20)]
        assert reader.read("w1", position, 1 << 20).payloads == ()
    assert read_all(tmp_path, "w0") == [b"of the other"]


def test_positions_survive_a_restart(tmp_path: Path) -> None:
    with writing(tmp_path / "w0") as writer:
        writer.append(b"one")
    end = FileSpoolReader(tmp_path).read("w0", 0, 1 << 20).end
    with writing(tmp_path / "w0") as writer:
        writer.append(b"two")
    assert read_all(tmp_path, position=end) == [b"two"]
    assert read_all(tmp_path) == [b"one", b"two"]


# Rolling, releasing, bounds


def test_segments_roll_and_only_consumed_ones_go(tmp_path: Path) -> None:
    folder = tmp_path / "w0"
    with writing(folder, segment_bytes=100) as writer:
        for i in range(10):
            writer.append(b"%d" % i * 42)  # two frames of 50 bytes a segment
        starts = [one.start for one in segments(folder)]
        assert starts == [0, 100, 200, 300, 400, 500]
        reader = FileSpoolReader(tmp_path)
        reader.release("w0", 99)
        assert [one.start for one in segments(folder)] == starts
        reader.release("w0", 250)
        assert [one.start for one in segments(folder)] == [200, 300, 400, 500]
        assert read_all(tmp_path, position=250) == [b"%d" % i * 42 for i in range(5, 10)]
        reader.release("w0", 500)
        assert [one.start for one in segments(folder)] == [500]
        writer.append(b"after")
    assert read_all(tmp_path, position=500) == [b"after"]


def test_too_far_behind_is_refused_until_the_recorder_catches_up(tmp_path: Path) -> None:
    folder = tmp_path / "w0"
    with writing(folder, segment_bytes=100, max_bytes=300) as writer:
        for i in range(6):
            writer.append(b"%d" % i * 42)
        with pytest.raises(SpoolFull, match="300 bytes unrecorded, 300 allowed") as raised:
            writer.append(b"x" * 42)
        assert "SPL-101" in str(raised.value)
        FileSpoolReader(tmp_path).release("w0", 100)
        writer.append(b"a" * 42)
        writer.append(b"b" * 42)
        with pytest.raises(SpoolFull):
            writer.append(b"c")
    kept = [b"%d" % i * 42 for i in range(2, 6)] + [b"a" * 42, b"b" * 42]
    assert read_all(tmp_path, position=100) == kept


def test_a_small_bound_recovers_too(tmp_path: Path) -> None:
    with writing(tmp_path / "w0", segment_bytes=1000, max_bytes=300) as writer:
        for i in range(6):
            writer.append(b"%d" % i * 42)
        with pytest.raises(SpoolFull):
            writer.append(b"full")
        reader = FileSpoolReader(tmp_path)
        batch = reader.read("w0", 0, 1 << 20)
        reader.release("w0", batch.end)
        writer.append(b"all is recorded, so there is room")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with writing(tmp_path / "w0") as writer:
        with pytest.raises(SpoolFull, match="already has a writer") as raised:
            FileSpoolWriter(tmp_path / "w0")
        assert "stop the other gateway" in str(raised.value)
        writer.append(b"still mine")
    with writing(tmp_path / "w0") as writer:
        writer.append(b"the next one's")
    assert read_all(tmp_path) == [b"still mine", b"the next one's"]


def test_a_refused_writer_leaves_nothing_open(tmp_path: Path) -> None:
    def refused() -> None:
        with pytest.raises(SpoolFull):
            FileSpoolWriter(tmp_path / "w0")

    with writing(tmp_path / "w0"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        refused()
        gc.collect()
    assert [str(w.message) for w in caught] == []


# Damage


@pytest.mark.parametrize("torn", [1, HEADER.size - 1, HEADER.size, HEADER.size + 3])
def test_a_torn_tail_is_passed_over_when_the_spool_goes_on(tmp_path: Path, torn: int) -> None:
    folder = tmp_path / "w0"
    with writing(folder) as writer:
        writer.append(b"whole")
    path = segments(folder)[0].path
    with path.open("ab") as file:
        file.write(frame(b"never acknowledged")[:torn])
    assert read_all(tmp_path) == [b"whole"]
    with writing(folder) as writer:
        writer.append(b"next")
    assert read_all(tmp_path) == [b"whole", b"next"]


def test_a_damaged_frame_in_an_old_segment_is_skipped_loudly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "w0"
    with writing(folder, segment_bytes=100) as writer:
        for i in range(6):
            writer.append(b"%d" % i * 42)
    path = next(one.path for one in segments(folder) if one.start == 100)
    data = bytearray(path.read_bytes())
    data[50 + HEADER.size] ^= 0xFF  # the segment's second frame
    path.write_bytes(bytes(data))
    with caplog.at_level(logging.ERROR):
        found = read_all(tmp_path)
    assert found == [b"%d" % i * 42 for i in (0, 1, 2, 4, 5)]
    assert "skipping 50 damaged bytes at 150" in caplog.text


def test_what_cannot_be_read_is_not_acknowledged(tmp_path: Path) -> None:
    acknowledged: list[bytes] = []
    with writing(tmp_path / "w0", segment_bytes=64 << 20) as writer:
        for payload in (b"before", b"\0" * (MAX_PAYLOAD + 1), b"after"):
            try:
                writer.append(payload)
            except SpoolFull:
                continue
            acknowledged.append(payload)
    assert [len(p) for p in read_all(tmp_path)] == [len(p) for p in acknowledged]


def test_zeros_left_by_a_power_cut_are_no_frames(tmp_path: Path) -> None:
    with writing(tmp_path / "w0") as writer:
        writer.append(b"whole")
    path = segments(tmp_path / "w0")[0].path
    with path.open("ab") as file:
        file.write(bytes(64))
    assert read_all(tmp_path) == [b"whole"]
    with writing(tmp_path / "w0") as writer:
        writer.append(b"next")
    assert read_all(tmp_path) == [b"whole", b"next"]


def test_a_flipped_byte_takes_its_frame_and_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Fifteen of fifteen behind it were lost once, and those of the next writer too."""
    payloads = [b"%02d" % i * 21 for i in range(16)]
    with writing(tmp_path / "w0") as writer:
        for payload in payloads:
            writer.append(payload)
        path = segments(tmp_path / "w0")[0].path
        data = bytearray(path.read_bytes())
        data[HEADER.size] ^= 0xFF
        path.write_bytes(bytes(data))
        with caplog.at_level(logging.ERROR):
            assert read_all(tmp_path) == payloads[1:]
    assert "skipping 50 damaged bytes at 0" in caplog.text
    with writing(tmp_path / "w0") as writer:
        writer.append(b"next")
    assert read_all(tmp_path) == [*payloads[1:], b"next"]


def test_what_follows_a_lost_tail_lies_above_all_that_was_recorded(tmp_path: Path) -> None:
    """A power cut took bytes that the recorder had read: the next writer began below its
    checkpoint, and what it acknowledged was never read."""
    with writing(tmp_path / "w0") as writer:
        for i in range(10):
            writer.append(b"%d" % i * 42)
    reader = FileSpoolReader(tmp_path)
    recorded = reader.read("w0", 0, 1 << 20).end
    os.truncate(segments(tmp_path / "w0")[0].path, 260)
    with writing(tmp_path / "w0", first=recorded + 1_000) as writer:
        writer.append(b"next")
        assert read_all(tmp_path, position=recorded) == [b"next"]
        assert reader.waiting("w0", recorded) == HEADER.size + 4
    assert read_all(tmp_path) == [b"%d" % i * 42 for i in range(5)] + [b"next"]


def test_the_bound_counts_bytes_and_no_gaps(tmp_path: Path) -> None:
    with writing(tmp_path / "w0", max_bytes=300) as writer:
        writer.append(b"before")
    with writing(tmp_path / "w0", max_bytes=300, first=1 << 60) as writer:
        writer.append(b"x" * 200)
        with pytest.raises(SpoolFull, match="222 bytes unrecorded, 300 allowed"):
            writer.append(b"y" * 80)


@pytest.mark.parametrize("emptied", [False, True])
@pytest.mark.parametrize("first", [0, 5_000])
def test_a_first_segment_that_is_gone_before_anybody_read_it_is_lost(
    tmp_path: Path, emptied: bool, first: int
) -> None:
    payloads = [b"%03d" % i for i in range(20)]
    with writing(tmp_path / "w0", segment_bytes=60, first=first) as writer:
        for payload in payloads:
            writer.append(payload)
    held = segments(tmp_path / "w0")
    gone = held[1].before - held[0].start
    if emptied:
        held[0].path.write_bytes(b"")
    else:
        held[0].path.unlink()
    reader, position, lost = FileSpoolReader(tmp_path), 0, 0
    while (batch := reader.read("w0", position, 1 << 20)).end > position:
        position, lost = batch.end, lost + batch.lost
    # Without its file nobody knows where the first segment began.
    assert lost == (gone if emptied else first + gone)


def test_what_was_recorded_and_released_is_not_lost_where_positions_are(tmp_path: Path) -> None:
    """A control database that is lost takes the positions with it: what is read again is not what
    was released."""
    with writing(tmp_path / "w0", segment_bytes=60) as writer:
        for i in range(40):
            writer.append(b"%03d" % i)
        held = segments(tmp_path / "w0")
        FileSpoolReader(tmp_path).release("w0", held[3].start)
        assert segments(tmp_path / "w0") == held[3:]
        batch = FileSpoolReader(tmp_path).read("w0", 0, 1 << 20)
        assert (batch.lost, batch.start) == (0, held[3].start)
        held[3].path.unlink()
        batch = FileSpoolReader(tmp_path).read("w0", 0, 1 << 20)
        assert (batch.lost, batch.payloads) == (held[4].before - held[3].start, ())


def test_segments_of_the_release_before_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "w0"
    folder.mkdir()
    whole = frame(b"one") + frame(b"two")
    (folder / f"{100:020d}.spool").write_bytes(whole)
    (folder / f"{100 + len(whole):020d}.spool").write_bytes(frame(b"three"))
    with writing(folder, first=10_000) as writer:
        writer.append(b"four")
    assert read_all(tmp_path, position=100) == [b"one", b"two", b"three", b"four"]


DAMAGE = st.lists(
    st.tuples(
        st.sampled_from(["flip", "zeros", "cut", "torn"]), st.integers(0, 5_000), st.integers(1, 90)
    ),
    max_size=4,
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=25),
    DAMAGE, st.integers(60, 2_000), st.integers(1, 3_000),
)  # fmt: skip
def test_whatever_is_damaged_all_that_is_whole_is_read_once_and_what_is_not_is_said(
    payloads: list[bytes], damage: list[tuple[str, int, int]], segment_bytes: int, limit: int
) -> None:
    numbered = [b"%06d" % i + payload for i, payload in enumerate(payloads)]
    with TemporaryDirectory() as home:
        root = Path(home)
        with writing(root / "w0", segment_bytes) as writer:
            for payload in numbered:
                writer.append(payload)
        _damage(root / "w0", damage)
        whole = [p for p in numbered if _is_whole(root / "w0", p)]
        with writing(root / "w0", segment_bytes, first=1 << 40) as writer:
            writer.append(b"the next writer's")
        found, lost, position = [], 0, 0
        reader = FileSpoolReader(root)
        while (batch := reader.read("w0", position, limit)).end > position:
            found += [body for _, body in batch.payloads]
            lost += batch.lost
            position = batch.end
        assert found == [*whole, b"the next writer's"]
        held = segments(root / "w0")
        written = sum(after.before - one.start for one, after in pairwise(held))
        written += held[-1].end - held[-1].start
        assert lost == written - sum(len(frame(p)) for p in found)
        assert reader.waiting("w0", position) == 0


def _damage(folder: Path, damage: list[tuple[str, int, int]]) -> None:
    for kind, at, size in damage:
        found = segments(folder)
        path = found[-1 if kind == "torn" else at % len(found)].path
        data = bytearray(path.read_bytes())
        place = at % max(1, len(data))
        if kind == "cut":  # a lost tail
            del data[place:]
        elif kind == "torn":
            data += frame(b"torn" * size)[: size + HEADER.size]
        elif data:
            part = data[place : place + size]
            data[place : place + size] = (
                bytes(len(part)) if kind == "zeros" else bytes(b ^ 0xA5 for b in part)
            )
        path.write_bytes(bytes(data))


def _is_whole(folder: Path, payload: bytes) -> bool:
    """They are numbered, so that none is part of another."""
    return any(frame(payload) in one.path.read_bytes() for one in segments(folder))


# A full disk


class ShortDisk:
    """os.write that takes ``room`` bytes in all and then says that the disk is full."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.write = os.write

    def __call__(self, fd: int, data: bytes) -> int:
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = data[: self.room]
        self.room -= len(taken)
        return self.write(fd, taken)


@pytest.mark.parametrize("room", range(0, 60, 7))
def test_a_full_disk_is_refused_and_leaves_no_half_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    with writing(tmp_path / "w0") as writer:
        writer.append(b"before")
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", ShortDisk(min(room, 49)))
            with pytest.raises(SpoolFull, match="cannot write the spool"):
                writer.append(b"x" * 42)
        assert read_all(tmp_path) == [b"before"]
        path = segments(tmp_path / "w0")[0].path
        assert path.read_bytes() == frame(b"before")
        writer.append(b"room again")
    assert read_all(tmp_path) == [b"before", b"room again"]


FILE_LIMIT = """
import resource, signal, sys
from pathlib import Path
from windvane.adapters.spool import FileSpoolWriter
from windvane.ports.spool import SpoolFull
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
writer = FileSpoolWriter(Path(sys.argv[1]))
written = 0
try:
    while True:
        writer.append(b"%04d" % written * 10)
        written += 1
except SpoolFull as error:
    print(written, error.code)
"""


def test_the_kernels_own_limit_is_a_full_disk(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILE_LIMIT, str(tmp_path / "w0")],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    written, code = done.stdout.split()
    assert code == "SPL-101"
    assert int(written) == 1000 // 48
    assert read_all(tmp_path) == [b"%04d" % i * 10 for i in range(int(written))]


# Killed


@pytest.mark.parametrize("wait_for", [1, 40, 300])
def test_what_a_killed_writer_acknowledged_is_readable(tmp_path: Path, wait_for: int) -> None:
    child = Path(__file__).with_name("spool_child.py")
    process = subprocess.Popen(
        [sys.executable, str(child), str(tmp_path / "w0"), "20000"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    message: list[bytes] = []
    try:
        for line in process.stdout:
            message.append(line)
            if len(message) >= wait_for:
                break
        process.send_signal(signal.SIGKILL)
        message += process.stdout.readlines()
        process.wait(timeout=20)
    finally:
        process.kill()
        process.stdout.close()
        process.wait(timeout=20)
    acknowledged = [int(line) for line in message if line.endswith(b"\n")]
    assert acknowledged == list(range(len(acknowledged)))
    readable = [int(body.split(b":")[0]) for body in read_all(tmp_path)]
    assert readable[: len(acknowledged)] == acknowledged
    assert len(readable) <= len(acknowledged) + 1
    with writing(tmp_path / "w0") as writer:
        writer.append(b"-1:")
    again = [int(body.split(b":")[0]) for body in read_all(tmp_path)]
    assert again == [*readable, -1]

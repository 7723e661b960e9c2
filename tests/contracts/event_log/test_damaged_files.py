"""A file of the log that is cut off, overwritten or gone, though its table lists it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from contracts.event_log.rows import DAY, WIDE, Place, append, outcome, predicted

from windvane.ports.event_log import LogUnavailable, RowFilter
from windvane.ports.events import event_key

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")
DAMAGES = ("cut", "emptied", "overwritten", "gone")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "log"), {})


def first_file(place: Place) -> Path:
    """That of the first append, of the model ``delay``."""
    return Path(
        min(place.table("predictions").file_uris(), key=lambda one: Path(one).stat().st_mtime_ns)
    )


def damage(path: Path, how: str) -> None:
    if how == "gone":
        path.unlink()
    elif how == "overwritten":
        path.write_bytes(b"PAR1" + bytes(path.stat().st_size - 8) + b"PAR1")
    else:
        path.write_bytes(path.read_bytes()[: 300 if how == "cut" else 0])


@pytest.mark.parametrize("how", DAMAGES)
def test_the_recorders_start_passes_over_it_and_says_so(
    place: Place, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    log = place.open()
    end = append(log, [predicted("lost")])
    kept = [predicted("kept"), outcome("kept", 1.0)]
    end = append(log, kept, first=end)
    path = first_file(place)
    damage(path, how)
    with caplog.at_level(logging.ERROR):
        keys = place.open().recent_keys({"m/w0": end}, 100)
    assert sorted(keys) == sorted(event_key(one) for one in kept)
    assert path.name in caplog.text


@pytest.mark.parametrize("how", DAMAGES)
def test_questions_that_need_it_say_which_file(place: Place, how: str) -> None:
    log = place.open()
    append(log, [predicted("a"), outcome("a", 1.0)])
    path = first_file(place)
    damage(path, how)
    log, end = place.open(), DAY + 60.0
    questions = [
        lambda: log.samples("delay", WIDE, DAY, end, {}, 5),
        lambda: log.scored("delay", WIDE, DAY, end),
        lambda: log.counts("delay"),
        lambda: log.span("delay", ""),
        lambda: log.outcome_counts("delay", WIDE, DAY, end, None),
        lambda: list(
            log.rows(
                "predictions", "delay", WIDE, DAY, end,
                tenant="", after=None, limit=5, within_s=9.0,
            )
        ),
        lambda: log.newest(
            "predictions", "delay", WIDE, DAY, end, RowFilter(), before=None, limit=5, within_s=9.0
        ),
    ]  # fmt: skip
    for ask in questions:
        with pytest.raises(LogUnavailable, match=path.name):
            ask()


@pytest.mark.parametrize("how", DAMAGES)
def test_sizes_are_known_without_it(place: Place, how: str) -> None:
    log = place.open()
    end = append(log, [predicted("a", rows=3)])
    append(log, [predicted("b", rows=2)], first=end)
    damage(first_file(place), how)
    assert sum(one.rows for one in place.open().sizes(DAY)) == 5


def test_what_is_missing_or_cut_off_is_counted(place: Place) -> None:
    log = place.open()
    assert log.damaged_files() == 0
    end = append(log, [predicted("a")])
    end = append(log, [predicted("b")], first=end)
    append(log, [predicted("c")], first=end)
    assert log.damaged_files() == 0
    uris = place.table("predictions").file_uris()
    damage(Path(uris[0]), "cut")
    damage(Path(uris[1]), "gone")
    assert place.open().damaged_files() == 2


def test_in_an_object_store(request: pytest.FixtureRequest) -> None:
    store = request.getfixturevalue("object_store")
    place = Place(f"{store.bucket()}/log", store.storage)
    log = place.open()
    end = append(log, [predicted("lost")])
    lost = place.table("predictions").to_pyarrow_dataset()
    end = append(log, [predicted("kept")], first=end)
    assert place.open().damaged_files() == 0
    (gone,) = (one.path for one in lost.get_fragments())
    lost.filesystem.delete_file(gone)
    assert place.open().damaged_files() == 1
    with pytest.raises(LogUnavailable):
        place.open().samples("delay", WIDE, DAY, DAY + 60.0, {}, 5)
    assert place.open().recent_keys({"m/w0": end}, 10) == [event_key(predicted("kept"))]


@pytest.mark.parametrize("how", DAMAGES)
def test_a_day_with_one_is_left_as_it_is_and_others_are_joined(
    place: Place, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    log, end = place.open(), 0
    for day in range(3):
        for i in range(4):
            one = predicted(f"{day}/{i}", DAY + 86_400.0 * day)
            end = append(log, [one], first=end)
    damage(first_file(place), how)
    assert log.compact(1) == 8, "of the two days that can be read"
    assert caplog.text.count("are not joined") == 1
    assert log.compact(1) == 0
    assert caplog.text.count("are not joined") == 1, "said once, and not tried each time"
    found = log.newest(
        "predictions", "delay", WIDE, DAY + 86_400.0, DAY + 3 * 86_400.0, RowFilter(),
        before=None, limit=20, within_s=9.0,
    )  # fmt: skip
    assert len(found.rows) == 8


def test_a_folder_with_a_space_in_its_name(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "my log" / "here"), {})
    log = place.open()
    append(log, [predicted("a"), outcome("a", 1.0)])
    assert log.counts("delay")["predictions"] == 1
    assert len(log.samples("delay", WIDE, DAY, DAY + 60.0, {}, 5)) == 1
    assert log.damaged_files() == 0

"""Retention never removes a prediction whose outcome may still come in time."""

from __future__ import annotations

import pytest
from usecases.harness import MODEL, START, Harness
from usecases.recording import RecorderHarness, outcome, predicted, refused
from usecases.test_count_outcomes import DAY_S, with_outcomes

from windvane.ports.event_log import LogKind, RemovedRows, UnknownLogVersion
from windvane.usecases.apply_model import apply_model
from windvane.usecases.expire_events import expire_events

KINDS: tuple[LogKind, ...] = ("predictions", "refusals", "outcomes")


def fill(recording: RecorderHarness) -> None:
    """One of each kind on each of ten days."""
    recording.write(
        [
            event
            for i in range(10)
            for at in [START + i * DAY_S]
            for event in (predicted(f"p{i}", at), refused(f"r{i}", at), outcome(f"p{i}", at))
        ]
    )
    recording.clock.at = START + 9 * DAY_S
    recording.start().step()


@pytest.mark.parametrize(("within", "left"), [("1d", 3), ("5d", 6)])
def test_what_outcomes_are_due_for_stays(
    recording: RecorderHarness, within: str, left: int
) -> None:
    fill(recording)
    apply_model(recording.store, recording.clock, with_outcomes(f"{{arrive_within: {within}}}"))
    kept = dict.fromkeys(KINDS, 2 * DAY_S)
    removed = expire_events(recording.store, recording.log, START + 9 * DAY_S, kept, {})
    assert recording.log.counts(MODEL) == {"predictions": left, "refusals": 3, "outcomes": left}
    assert {kind: one.rows for kind, one in removed.items()} == {
        "predictions": 10 - left, "refusals": 7, "outcomes": 10 - left,
    }  # fmt: skip


def test_a_kind_without_a_retention_is_kept(recording: RecorderHarness) -> None:
    fill(recording)
    now = START + 99 * DAY_S
    removed = expire_events(recording.store, recording.log, now, {"refusals": DAY_S}, {})
    assert removed == {"refusals": RemovedRows(10, removed_files=10)}
    assert recording.log.counts(MODEL) == {"predictions": 10, "refusals": 0, "outcomes": 10}


def test_pins_are_of_a_kind(recording: RecorderHarness) -> None:
    fill(recording)
    now = START + 99 * DAY_S
    kept = dict.fromkeys(KINDS, DAY_S)
    with pytest.raises(UnknownLogVersion, match="outcomes"):
        expire_events(recording.store, recording.log, now, kept, {"outcomes": [7]})


def test_an_empty_log(harness: Harness) -> None:
    kept = dict.fromkeys(KINDS, DAY_S)
    removed = expire_events(harness.store, harness.log, START, kept, {})
    assert removed == dict.fromkeys(KINDS, RemovedRows())

"""Retention never removes a prediction whose outcome may still come in time."""

from __future__ import annotations

import pytest
from usecases.harness import MODEL, START, Harness
from usecases.recording import RecorderHarness, outcome, predicted, refused
from usecases.test_count_outcomes import DAY_S, with_outcomes

from windvane.ports.control_store import ModelRecord
from windvane.ports.event_log import LogKind, RemovedRows, UnknownLogVersion
from windvane.usecases.apply_model import apply_model
from windvane.usecases.count_outcomes import count_outcomes
from windvane.usecases.expire_events import expire_events, kept_seconds

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


@pytest.mark.parametrize(
    ("given", "left"),
    [("{}", 3), ("{floor: 0.6}", 5), ("{arrive_within: 1d}", 6), ("{arrive_within: 3d}", 8)],
)
def test_what_outcomes_are_joined_with_stays(
    recording: RecorderHarness, given: str, left: int
) -> None:
    """A look goes over 3 days here; one day is left for what is late."""
    fill(recording)
    text = with_outcomes(given).replace("drift_over: 7d", "drift_over: 3d")
    apply_model(recording.store, recording.clock, text)
    kept = dict.fromkeys(KINDS, 2 * DAY_S)
    removed = expire_events(recording.store, recording.log, START + 9 * DAY_S, kept, {})
    assert recording.log.counts(MODEL) == {"predictions": left, "refusals": 3, "outcomes": left}
    assert {kind: one.rows for kind, one in removed.items()} == {
        "predictions": 10 - left, "refusals": 7, "outcomes": 10 - left,
    }  # fmt: skip


def test_an_outcome_that_was_joined_stays_so_for_all_of_the_span(
    recording: RecorderHarness,
) -> None:
    """Outcomes of the 178th and the 179th day were joined on day 180 and unknown on day 181."""
    file, _ = apply_model(recording.store, recording.clock, with_outcomes("{arrive_within: 180d}"))
    came = [START + 178 * DAY_S, START + 179 * DAY_S]
    recording.write([predicted("a"), predicted("b"), outcome("a", came[0]), outcome("b", came[1])])
    recording.clock.at = START + 180 * DAY_S
    recording.start().step()
    for day in range(180, 186):
        now = START + day * DAY_S
        expire_events(recording.store, recording.log, now, {"predictions": 90 * DAY_S}, {})
        told = count_outcomes(recording.log, file, now - DAY_S / 2)
        assert [(one.joined, one.unknown) for one in told] == [(2, 0)], day
    expire_events(
        recording.store, recording.log, START + 190 * DAY_S, dict.fromkeys(KINDS, 0.0), {}
    )
    assert recording.log.counts(MODEL)["predictions"] == 0


@pytest.mark.parametrize(
    ("text", "predictions", "outcomes"),
    [
        (
            "model: bad\nwatch: {drift_over: 9d, outcomes: {arrive_within: 480d}}\nnone: 1\n",
            490,
            490,
        ),
        ("model: [\n  outcomes:\n    'arrive_within' : \"480 d\"\n", 488, 488),
        ("\x00 no file at all", 90, 400),
        ("watch: {outcomes: {arrive_within: 99999999999d}}", 90, 400),
    ],
)
def test_a_file_that_cannot_be_read_does_not_stop_the_others(
    recording: RecorderHarness, text: str, predictions: int, outcomes: int
) -> None:
    """What its text shows is kept for it, and what is kept by default at least."""
    fill(recording)
    with recording.store.begin() as tx:
        tx.put_model(ModelRecord("bad", text, START))
    kinds = dict.fromkeys(KINDS, 2 * DAY_S)
    days = {kind: s / DAY_S for kind, s in kept_seconds(recording.store, kinds).items()}
    assert days == {"predictions": predictions, "refusals": 2, "outcomes": outcomes}
    now = START + 9 * DAY_S
    removed = expire_events(recording.store, recording.log, now, kinds, {})
    assert {kind: one.rows for kind, one in removed.items()} == {
        "predictions": 0, "refusals": 7, "outcomes": 0,
    }  # fmt: skip
    later = START + (outcomes + 20) * DAY_S
    expire_events(recording.store, recording.log, later, kinds, {})
    assert set(recording.log.counts(MODEL).values()) == {0}


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

"""What was compared is counted once, in its window, as integers; and is not in the log."""

from __future__ import annotations

from typing import Any

import pytest
from usecases.harness import MODEL, START
from usecases.recording import Events, RecorderHarness, predicted

from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.sketch import NO_AXES, Layout, NumericAxis
from windvane.core.task import Contract, TaskSpec, make_task
from windvane.ports.events import Compared
from windvane.usecases.compare_stand_in import compare_answers
from windvane.usecases.event_contracts import EventContracts, EventModel

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


def compared(
    event: str, mine: Any, theirs: Any, ts: float = START, probability: float = 0.02
) -> Compared:
    answers = [] if theirs is None else [theirs]
    return Compared(
        event, ts, MODEL, "AA", Events.contract, "1", "champion", "2", probability, [mine], answers
    )


def test_it_is_counted_once_and_not_logged(recording: RecorderHarness) -> None:
    recording.write(
        [
            predicted("a"),
            compared("a", 0.3, 0.35),
            compared("b", 0.3, 0.8),
            compared("c", 0.3, None, START + 60.0),
            compared("a", 0.3, 0.35),
        ]
    )
    recorder = recording.start()
    recorder.step()
    recorder.finish()
    found = {
        key.start - START: [
            sketch.total(name)
            for name in ("rows", "compared", "stand_in_silent", "stand_in_other_class",
                         "stand_in_thousandths")
        ]
        for key, sketch in recording.sketches().items()
    }  # fmt: skip
    assert found == {0.0: [1, 2, 0, 1, 50 + 500], 60.0: [0, 1, 1, 0, 0]}
    assert recording.log.counts(MODEL)["predictions"] == 1
    assert [access.action for access in recording.access()] == ["predict"]
    assert recording.start().step() == 0
    assert recording.total("compared") == 3


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.5, float("nan")])
def test_an_impossible_probability_is_set_aside(
    recording: RecorderHarness, probability: float
) -> None:
    recording.write([compared("a", 0.3, 0.3, probability=probability), compared("b", 0.3, 0.3)])
    recording.start().step()
    assert recording.total("compared") == 1
    with recording.store.read() as tx:
        assert [one.reason for one in tx.quarantined(MODEL)] == ["REC-102"]


@pytest.mark.parametrize(
    ("task", "mine", "theirs", "another", "thousandths"),
    [
        (TaskSpec("binary"), 0.4, 0.6, 1, 200),
        (TaskSpec("binary"), 0.1, 0.3, 0, 200),
        (TaskSpec("multiclass", classes=("a", "b", "c")), [0.5, 0.3, 0.2], [0.3, 0.5, 0.2], 1, 200),
        (TaskSpec("multilabel", classes=("a", "b")), [0.1, 0.9], [0.2, 0.5], 0, 400),
        (TaskSpec("regression"), 10.0, 12.5, 0, 250),
        (TaskSpec("regression"), 10.0, -999.0, 0, 1_000),
    ],
)
def test_how_far_apart_answers_are_by_task(
    task: TaskSpec, mine: Any, theirs: Any, another: int, thousandths: int
) -> None:
    """Numbers in units of the middle half of training answers, here 10."""
    known = knowing(task, Layout((NumericAxis("output", tuple(float(v) for v in range(21))),)))
    found = compare_answers(known, compared("a", mine, theirs))
    assert found == {
        "compared": 1, "stand_in_other_class": another, "stand_in_thousandths": thousandths,
    }  # fmt: skip


def test_without_the_versions_layout_numbers_cannot_be_compared_and_probabilities_can() -> None:
    assert (
        compare_answers(knowing(TaskSpec("regression"), NO_AXES), compared("a", 1.0, 2.0)) is None
    )
    assert compare_answers(knowing(TaskSpec("binary"), NO_AXES), compared("a", 0.1, 0.2))


@pytest.mark.parametrize(
    ("edges", "spread"),
    [((0.0, 1.0, 2.0, 3.0, 4.0), 2.0), ((0.0, 5.0, 5.0, 5.0, 9.0), 9.0), ((3.0,), 1.0)],
)
def test_a_spread_is_never_zero(edges: tuple[float, ...], spread: float) -> None:
    assert NumericAxis("output", edges).spread() == spread


def knowing(task: TaskSpec, layout: Layout) -> EventContracts:
    contract = Contract((FeatureSpec("x", "v", FeatureType.NUMBER),), task)
    known = EventContracts()
    known.contracts[Events.contract] = (contract, make_task(task))
    known.models[MODEL] = EventModel("", 60.0, 0.0)
    known.version_layouts[MODEL, "1"] = layout
    return known

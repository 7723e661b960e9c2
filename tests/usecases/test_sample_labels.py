"""Rows are drawn for people to label, and what they say is held against what was drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from event_rows import predicted_event
from usecases.harness import FILE, MODEL, START, Harness

from windvane.core.authorization import HIDDEN
from windvane.core.outcomes import Design
from windvane.core.verdict import Outcome
from windvane.ports.event_log import LogEntry
from windvane.usecases.explore_log import VIEWED
from windvane.usecases.import_labels import BadLabels, GivenLabel, ImportedLabels, import_labels
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.read_quality import read_quality
from windvane.usecases.replay_decision import replay_decision
from windvane.usecases.sample_labels import BadSample, LabelSample, SampleRequest, sample_labels

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")
ROWS = 3_000
SPAN = {"since": START, "until": START + 1_200.0}
PRIVATE = FILE.replace("carrier: {type: category}", "carrier: {type: category, tags: [pii]}")


@pytest.fixture
def served(harness: Harness) -> Harness:
    """Probabilities that are right, of two tenants; one row in ten was answered by a rule."""
    contract = read_model_file(FILE).contract
    rng = np.random.default_rng(3)
    said = rng.beta(1.0, 2.0, ROWS)
    events = [
        predicted_event(
            f"p{i}", START + i * 0.4, MODEL, "AA" if i % 8 else "UA", contract.id,
            values=[float(i), "dl", None], outputs=[float(said[i])],
            answered="" if i % 10 == 3 else "1",
        )
        for i in range(ROWS)
    ]  # fmt: skip
    entries = [LogEntry("m/w0", i, event) for i, event in enumerate(events)]
    harness.log.append("m/w0", ROWS, entries, {contract.id: contract})
    harness.clock.at = START + 1_260.0
    return harness


def draw(harness: Harness, rows: int = 500, **given: Any) -> LabelSample:
    asked = SampleRequest(rows, **{**SPAN, **given})
    return sample_labels(harness.store, harness.log, harness.clock, MODEL, asked, "cli:ana")


def labelled(sample: LabelSample, *, wrong: bool = False) -> list[GivenLabel]:
    rng = np.random.default_rng(9)
    out: list[GivenLabel] = []
    for i, one in enumerate(sample.rows, 1):
        said = one.row["outputs"]["probability"]
        true = rng.random() < (1.0 - said if wrong else said)
        out.append(
            GivenLabel(
                f"line {i}", sample.record.id, one.row["prediction_id"], one.row["row"], one.chance,
                "1" if true else "0",
            )
        )  # fmt: skip
    return out


def take(harness: Harness, given: list[GivenLabel], **how: Any) -> ImportedLabels:
    named = {"labelled_by": "ana", "simulated": False, "actor": "cli:ana", **how}
    return import_labels(harness.store, harness.log, harness.clock, MODEL, given, **named)


@pytest.mark.parametrize(
    ("design", "column"),
    [(Design.UNIFORM, ""), (Design.UNCERTAINTY, ""), (Design.STRATUM, "tenant")],
)
def test_the_same_span_draws_the_same_rows(served: Harness, design: Design, column: str) -> None:
    first, second = (draw(served, design=design, column=column) for _ in range(2))
    assert first.record.id == second.record.id
    assert [one.row["prediction_id"] for one in first.rows] == [
        one.row["prediction_id"] for one in second.rows
    ]
    assert first.record.predictions == ROWS * 9 // 10, "what a rule answered is nobody's answer"
    assert sum(one.chance for one in first.rows) > 0
    assert abs(first.record.drawn - 500) < 4 * 500**0.5
    assert len(served.decisions("labels_sample")) == 1
    if design is Design.STRATUM:
        few = sum(one.row["tenant"] == "UA" for one in first.rows)
        assert few == pytest.approx(250, abs=60), "an eighth of the rows, half of the sample"


def test_labels_say_of_all_rows_what_the_metric_is(served: Harness) -> None:
    sample = draw(served, design=Design.UNCERTAINTY)
    found = take(served, labelled(sample))
    # Of probabilities that are right, from a beta law with (1, 2).
    assert found.facts.quality.lower < 0.776 < found.facts.quality.upper
    assert found.facts.metrics["base_rate"].lower < 1 / 3 < found.facts.metrics["base_rate"].upper
    assert found.verdict.outcome is Outcome.PASS
    assert found.verdict.sentence.endswith(f"from {sample.record.drawn} sampled labels by ana")
    (decision,) = served.decisions("labels_import")
    assert replay_decision(decision).same
    assert not decision.effects
    assert take(served, labelled(sample)).known
    assert len(served.decisions("labels_import")) == 1
    assert served.log.counts(MODEL)["outcomes"] == 0, "they are beside the outcomes"


def test_simulated_labels_are_shown_and_kept_out_of_every_verdict(served: Harness) -> None:
    sample = draw(served)
    real = take(served, labelled(sample, wrong=True))
    made = take(served, labelled(sample, wrong=True), simulated=True)
    assert real.verdict.outcome is Outcome.FAIL
    assert made.verdict.outcome is Outcome.HOLD
    assert made.verdict.code == "OUT-432"
    assert made.facts.quality == real.facts.quality
    assert take(served, labelled(sample), simulated=True).verdict.outcome is Outcome.HOLD


def test_an_import_can_change_labels_only(served: Harness) -> None:
    given = labelled(draw(served))
    same, opposite = given[3].prediction_id, "0" if given[3].label == "1" else "1"
    for changed, said in (
        (replace(given[4], chance=1.0), "line 5: inclusion_probability is 1, the row was drawn"),
        (replace(given[4], label="perhaps"), "line 5: labels must be 0 or 1"),
        (replace(given[4], prediction_id=same, label=opposite), "line 5: the row has another"),
        (replace(given[4], sample="other"), "must name one sample"),
    ):
        with pytest.raises(BadLabels, match=said):
            take(served, [*given[:4], changed, *given[5:]])
    drawn = {one.prediction_id for one in given}
    other = next(f"p{i}" for i in range(ROWS) if f"p{i}" not in drawn and i % 10 != 3)
    with pytest.raises(BadLabels, match=rf"line 5: row 0 of {other} was not drawn"):
        take(served, [*given[:4], replace(given[4], prediction_id=other), *given[5:]])
    assert served.decisions("labels_import") == []


def test_what_is_labelled_in_part_is_told_and_not_judged(served: Harness) -> None:
    given = labelled(draw(served), wrong=True)
    part = [replace(one, label="") if i % 3 == 0 else one for i, one in enumerate(given)]
    found = take(served, part)
    assert found.verdict.code == "OUT-433"
    assert found.facts.labelled == sum(bool(one.label) for one in part)
    assert take(served, given).verdict.code == "OUT-401", "with the rest, it is judged"


def test_of_the_imports_of_a_sample_the_newest_counts(served: Harness) -> None:
    given = labelled(draw(served))
    other = labelled(draw(served, rows=300))
    for i, rows in enumerate((given, given[:-1], other, given[:-2])):
        served.clock.at += 1.0
        take(served, rows)
        if i == 2:
            take(served, given, simulated=True)
    found = read_quality(served.store, served.log, MODEL, served.clock.at).sampled
    assert [line.rows for line in found] == [len(given) - 2, len(other), len(given)]
    assert found[0].note.endswith("; in place of 2 earlier imports of the sample")
    assert "in place of" not in found[1].note
    assert found[2].note.startswith("simulated"), "simulated labels stand in for no others"
    assert "in place of" not in found[2].note


def test_rows_that_are_in_the_log_no_more_are_left_out(served: Harness) -> None:
    given = labelled(draw(served))
    served.log.erase(MODEL, "UA", START + 1e6)
    found = take(served, given)
    assert found.gone > 0
    assert found.facts.labelled + found.gone == len(given)


def test_what_is_tagged_is_hidden_and_that_values_were_seen_is_on_record(served: Harness) -> None:
    served.apply(PRIVATE)
    sample = draw(served)
    assert {one.row["features"]["carrier"] for one in sample.rows} == {HIDDEN}
    assert all(isinstance(one.row["features"]["distance"], float) for one in sample.rows)
    with served.store.read() as tx:
        seen = tx.access("", 0.0, 100)
    assert {(one.tenant, one.action) for one in seen} == {("AA", VIEWED), ("UA", VIEWED)}
    assert sum(one.calls for one in seen) == len(sample.rows)
    with pytest.raises(BadSample, match="carrier is tagged pii"):
        draw(served, design=Design.STRATUM, column="carrier")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rows": 0}, "--rows is 0"),
        ({"rows": 1_000_000}, "--rows is 1,000,000"),
        ({"until": START}, "no whole window"),
        ({"until": START + 1e6}, "in the future"),
        ({"since": START - 1e6, "until": START - 1e5}, "answered nothing"),
        ({"column": "carrier"}, "a stratum goes by a column"),
        ({"design": Design.STRATUM, "column": "carier"}, "there is no 'carier'"),
        ({"design": Design.STRATUM, "column": "distance"}, "distance is a number"),
    ],
)
def test_what_cannot_be_drawn_is_said(served: Harness, given: dict[str, Any], said: str) -> None:
    with pytest.raises(BadSample, match=said):
        draw(served, **given)

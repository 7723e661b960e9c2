"""Applying a model's file: recorded once, published, and features stay what versions know."""

from __future__ import annotations

import pytest
from usecases.harness import FILE, MODEL, Harness

from windvane.core.journal import fact_hash
from windvane.core.verdict import Outcome
from windvane.usecases.apply_model import apply_model
from windvane.usecases.publish_routing import PUBLISH
from windvane.usecases.read_model_file import BadModelFile

OTHER = FILE.replace("refused: 5%", "refused: 6%")


def test_the_first_apply_is_recorded_and_published(empty_harness: Harness) -> None:
    file, changed = apply_model(empty_harness.store, empty_harness.clock, FILE)
    assert (file.model, changed) == (MODEL, True)
    with empty_harness.store.read() as tx:
        assert tx.model(MODEL).text == FILE
        assert tx.model(MODEL).applied_at == empty_harness.clock.now()
    (decision,) = empty_harness.decisions()
    assert (decision.action, decision.subject, decision.judge) == ("apply", "file", "")
    assert decision.verdict.outcome is Outcome.PASS
    assert decision.verdict.sentence == f"file {fact_hash(FILE)} replaces nothing"
    assert decision.facts == {"text": FILE}
    assert len(empty_harness.queued(PUBLISH)) == 1


def test_applying_it_again_changes_nothing(empty_harness: Harness) -> None:
    apply_model(empty_harness.store, empty_harness.clock, FILE)
    empty_harness.clock.at += 60
    assert not apply_model(empty_harness.store, empty_harness.clock, FILE)[1]
    assert len(empty_harness.decisions()) == 1


def test_a_change_names_both_files(harness: Harness) -> None:
    harness.clock.at += 60
    assert apply_model(harness.store, harness.clock, OTHER)[1]
    said = harness.decisions()[0].verdict.sentence
    assert said == f"file {fact_hash(OTHER)} replaces {fact_hash(FILE)}"


def test_going_back_to_an_earlier_file_is_a_change_too(harness: Harness) -> None:
    for text in (OTHER, FILE):
        harness.clock.at += 60
        assert apply_model(harness.store, harness.clock, text)[1]
    with harness.store.read() as tx:
        assert tx.model(MODEL).text == FILE
    assert len(harness.decisions("apply")) == 3


def test_a_bad_file_changes_nothing(harness: Harness) -> None:
    before = len(harness.decisions())
    with pytest.raises(BadModelFile):
        apply_model(harness.store, harness.clock, FILE.replace("window: 60s", "window: soon"))
    with harness.store.read() as tx:
        assert tx.model(MODEL).text == FILE
    assert len(harness.decisions()) == before


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("    temp:", "    tmp:", "temp, tmp"),
        ("    carrier: {type: category}\n", "", "carrier"),
        pytest.param("temp: {type: number", "temp: {type: integer", "temp"),
        pytest.param("  weather:\n", "  weather: {}\n  sky:\n", "temp"),
    ],
)
def test_other_features_make_another_model(
    harness: Harness, old: str, new: str, named: str
) -> None:
    text = FILE.replace(old, new)
    assert text != FILE
    with pytest.raises(BadModelFile) as raised:
        apply_model(harness.store, harness.clock, text)
    assert raised.value.message.startswith(f"features: {named} differ")
    assert "bounds and nullability may change" in raised.value.advice


def test_another_order_of_features_is_refused(harness: Harness) -> None:
    line = "    carrier: {type: category}\n"
    text = FILE.replace(line, "").replace("  plan:\n", "  plan:\n" + line)
    with pytest.raises(BadModelFile, match="their order"):
        apply_model(harness.store, harness.clock, text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("range: [0, 5000]", "range: [0, 9000]"),
        ("{type: category}", "{type: category, nullable: true}"),
    ],
)
def test_bounds_and_nullability_may_change(harness: Harness, old: str, new: str) -> None:
    harness.clock.at += 60
    assert apply_model(harness.store, harness.clock, FILE.replace(old, new))[1]
    with harness.store.read() as tx:
        table = tx.routing()
    assert table is not None
    first = table.models[MODEL].schema[0]
    assert (first.high == 9000.0) == ("9000" in new)


def test_before_the_first_version_features_may_change(empty_harness: Harness) -> None:
    apply_model(empty_harness.store, empty_harness.clock, FILE)
    empty_harness.clock.at += 60
    text = FILE.replace("    temp:", "    tmp:")
    assert apply_model(empty_harness.store, empty_harness.clock, text)[1]


def test_every_change_is_a_recorded_decision(empty_harness: Harness) -> None:
    for text in (FILE, OTHER, FILE):
        assert apply_model(empty_harness.store, empty_harness.clock, text)[1]
    assert len(empty_harness.decisions("apply")) == 3

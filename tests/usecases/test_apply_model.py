"""Applying a model's file: recorded once, published, and features stay what versions know."""

from __future__ import annotations

import pytest
from usecases.house import FILE, MODEL, House

from windvane.core.journal import fact_hash
from windvane.core.verdict import Outcome
from windvane.usecases.apply_model import apply_model
from windvane.usecases.publish_routing import PUBLISH
from windvane.usecases.read_model_file import BadModelFile

OTHER = FILE.replace("refused: 5%", "refused: 6%")


def test_the_first_apply_is_recorded_and_published(empty_house: House) -> None:
    file, changed = apply_model(empty_house.store, empty_house.clock, FILE)
    assert (file.model, changed) == (MODEL, True)
    with empty_house.store.read() as tx:
        assert tx.model(MODEL).text == FILE
        assert tx.model(MODEL).applied_at == empty_house.clock.now()
    (decision,) = empty_house.decisions()
    assert (decision.action, decision.subject, decision.judge) == ("apply", "file", "")
    assert decision.verdict.outcome is Outcome.PASS
    assert decision.verdict.sentence == f"file {fact_hash(FILE)} replaces nothing"
    assert decision.facts == {"text": FILE}
    assert len(empty_house.queued(PUBLISH)) == 1


def test_applying_it_again_changes_nothing(empty_house: House) -> None:
    apply_model(empty_house.store, empty_house.clock, FILE)
    empty_house.clock.at += 60
    assert not apply_model(empty_house.store, empty_house.clock, FILE)[1]
    assert len(empty_house.decisions()) == 1


def test_a_change_names_both_files(house: House) -> None:
    house.clock.at += 60
    assert apply_model(house.store, house.clock, OTHER)[1]
    said = house.decisions()[0].verdict.sentence
    assert said == f"file {fact_hash(OTHER)} replaces {fact_hash(FILE)}"


def test_going_back_to_an_earlier_file_is_a_change_too(house: House) -> None:
    for text in (OTHER, FILE):
        house.clock.at += 60
        assert apply_model(house.store, house.clock, text)[1]
    with house.store.read() as tx:
        assert tx.model(MODEL).text == FILE
    assert len(house.decisions("apply")) == 3


def test_a_bad_file_changes_nothing(house: House) -> None:
    before = len(house.decisions())
    with pytest.raises(BadModelFile):
        apply_model(house.store, house.clock, FILE.replace("window: 60s", "window: soon"))
    with house.store.read() as tx:
        assert tx.model(MODEL).text == FILE
    assert len(house.decisions()) == before


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("    temp:", "    tmp:", "temp, tmp"),
        ("    carrier: {type: category}\n", "", "carrier"),
        pytest.param("temp: {type: number", "temp: {type: integer", "temp"),
        pytest.param("  weather:\n", "  weather: {}\n  sky:\n", "temp"),
    ],
)
def test_other_features_make_another_model(house: House, old: str, new: str, named: str) -> None:
    text = FILE.replace(old, new)
    assert text != FILE
    with pytest.raises(BadModelFile) as raised:
        apply_model(house.store, house.clock, text)
    assert raised.value.message.startswith(f"features: {named} differ")
    assert "bounds and nullability may change" in raised.value.advice


def test_another_order_of_features_is_refused(house: House) -> None:
    line = "    carrier: {type: category}\n"
    text = FILE.replace(line, "").replace("  plan:\n", "  plan:\n" + line)
    with pytest.raises(BadModelFile, match="their order"):
        apply_model(house.store, house.clock, text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("range: [0, 5000]", "range: [0, 9000]"),
        ("{type: category}", "{type: category, nullable: true}"),
    ],
)
def test_bounds_and_nullability_may_change(house: House, old: str, new: str) -> None:
    house.clock.at += 60
    assert apply_model(house.store, house.clock, FILE.replace(old, new))[1]
    with house.store.read() as tx:
        table = tx.routing()
    assert table is not None
    first = table.models[MODEL].schema[0]
    assert (first.high == 9000.0) == ("9000" in new)


def test_before_the_first_version_features_may_change(empty_house: House) -> None:
    apply_model(empty_house.store, empty_house.clock, FILE)
    empty_house.clock.at += 60
    text = FILE.replace("    temp:", "    tmp:")
    assert apply_model(empty_house.store, empty_house.clock, text)[1]


def test_every_change_is_a_recorded_decision(empty_house: House) -> None:
    for text in (FILE, OTHER, FILE):
        assert apply_model(empty_house.store, empty_house.clock, text)[1]
    assert len(empty_house.decisions("apply")) == 3

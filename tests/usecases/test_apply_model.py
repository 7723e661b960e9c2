"""Applying a model's file: recorded once, published, and features stay what versions know."""

from __future__ import annotations

import pytest
from usecases.harness import FILE, MODEL, Harness

from windvane.core.journal import fact_hash
from windvane.core.routing import CascadeSpec, ModelRoute
from windvane.core.verdict import Outcome
from windvane.usecases.apply_model import apply_model
from windvane.usecases.publish_routing import PUBLISH
from windvane.usecases.read_model_file import BadModelFile, read_model_file

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
    message = harness.decisions()[0].verdict.sentence
    assert message == f"file {fact_hash(OTHER)} replaces {fact_hash(FILE)}"


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
    ("old", "new", "said"),
    [
        ("    temp:", "    tmp:", "temp left the file, and version 1, which is live, takes them"),
        ("    carrier: {type: category}\n", "", "carrier left the file, and version 1"),
        ("temp: {type: number", "temp: {type: integer", "temp is a number of weather"),
        ("  weather:\n", "  weather: {}\n  sky:\n", "temp is a number of weather"),
        ("kind: binary", "kind: regression", "binary cannot change"),
    ],
)
def test_what_versions_know_stays(harness: Harness, old: str, new: str, said: str) -> None:
    text = FILE.replace(old, new)
    assert text != FILE
    if "regression" in new:
        text = text.replace("{constant: 0.2}", "{constant: 2}").replace(", {constant: 2}", "")
    with pytest.raises(BadModelFile) as raised:
        apply_model(harness.store, harness.clock, text)
    assert said in raised.value.message
    assert raised.value.advice


def route_of(harness: Harness) -> ModelRoute:
    with harness.store.read() as tx:
        table = tx.routing()
    assert table is not None
    return table.models[MODEL]


def test_a_contract_may_grow(harness: Harness) -> None:
    """A feature that no live version takes is optional to clients, wherever it stands."""
    text = FILE.replace("    distance:", "    crew: {type: integer}\n    distance:")
    assert apply_model(harness.store, harness.clock, text)[1]
    route = route_of(harness)
    assert route.contract.names == ("crew", "distance", "carrier", "temp")
    assert route.optional == (("crew", 0),)
    assert route.needs("1") == {"distance", "carrier", "temp"}
    with harness.store.read() as tx:
        assert tx.contract(route.contract.id) == route.contract


def test_a_feature_that_no_live_version_takes_may_go(harness: Harness) -> None:
    """Version 2 needs no weather; once it is the champion, the file may lose it."""
    text = FILE.replace("  weather:\n    temp: {type: number, nullable: true}\n", "").replace(
        "{without: weather}, ", ""
    )
    assert "weather" not in text
    with pytest.raises(BadModelFile, match="version 1"):
        apply_model(harness.store, harness.clock, text)
    harness.put("2")
    assert apply_model(harness.store, harness.clock, text)[1]
    assert route_of(harness).contract.names == ("distance", "carrier")


def test_another_order_is_another_contract(harness: Harness) -> None:
    before = read_model_file(FILE).contract
    line = "    carrier: {type: category}\n"
    text = FILE.replace(line, "").replace("  plan:\n", "  plan:\n" + line)
    assert apply_model(harness.store, harness.clock, text)[1]
    after = route_of(harness).contract
    assert after.names == ("carrier", "distance", "temp")
    assert after.id != before.id


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
    first = route_of(harness).contract.features[0]
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


BIG = FILE.replace("model: delay", "model: big", 1)
CASCADED = FILE.replace("serve:", "serve:\n  cascade: {to: big, below: 0.8}", 1)
LABELLED = BIG.replace("kind: binary", "kind: binary, classes: [on_time, late]")


@pytest.mark.parametrize(
    ("other", "own", "said"),
    [
        (BIG, CASCADED.replace("to: big", "to: bog"), "no model 'bog' is applied"),
        (BIG, CASCADED.replace("below: 0.8", "below: 1.5"), "1.5 is not in"),
        (BIG, CASCADED.replace("to: big", "to: delay"), "in its own place"),
        (BIG, CASCADED.replace("to: big", "too: big"), "too"),
        (LABELLED, CASCADED, "big predicts binary .on_time, late., delay predicts binary"),
        (BIG.replace("  plan:", "  plan:\n    extra: {type: number}"), CASCADED,
         "big needs extra, which delay does not take"),
        (BIG.replace("{type: number, range: [0, 5000]}", "{type: integer}"), CASCADED,
         "distance has the type integer in big and number here"),
    ],
)  # fmt: skip
def test_a_cascade_that_cannot_be_is_refused(
    empty_harness: Harness, other: str, own: str, said: str
) -> None:
    apply_model(empty_harness.store, empty_harness.clock, other)
    with pytest.raises(BadModelFile, match=said):
        apply_model(empty_harness.store, empty_harness.clock, own)


def test_a_cascade_needs_answers_that_say_how_sure_they_are(empty_harness: Harness) -> None:
    text = CASCADED.replace("kind: binary", "kind: regression").replace(", {constant: 0.2}", "")
    text = text.replace("  outcomes: {floor: 0.6}\n", "")
    with pytest.raises(BadModelFile, match="regression answers do not say how sure they are"):
        apply_model(empty_harness.store, empty_harness.clock, text)


def test_a_cascade_is_in_the_routing_table(harness: Harness) -> None:
    apply_model(harness.store, harness.clock, BIG)
    apply_model(harness.store, harness.clock, CASCADED)
    assert route_of(harness).cascade == CascadeSpec("big", 0.8)

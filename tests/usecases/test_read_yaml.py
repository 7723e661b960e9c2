"""Words of YAML 1.1 that are no texts there stay texts where a model's file means texts."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.usecases.read_model_file import BadModelFile, ModelFile, read_model_file
from windvane.usecases.read_yaml import BadYaml, read_yaml

WORDS = [
    "yes", "no", "Yes", "NO", "on", "off", "y", "n", "2024-01-01", "2024-99-99", "1_000", "0o17",
    "017", "0x1F", "0b11", "12:30", "1:2:3.5", "1.50", "1e3", "007", "=", "<<", ".inf", "+1",
]  # fmt: skip


def made(predicts: str = "{}", known: str = "[a]", more: str = "") -> str:
    return (
        f"model: m\nfeatures: {{v: {{plan: {{type: category, known: {known}}}}}}}\n"
        f"predicts: {predicts}\n{more}"
    )


def test_classes_are_words_as_they_are_written() -> None:
    written = ", ".join(WORDS)
    file = read_model_file(made(f"{{kind: multiclass, classes: [{written}]}}"))
    assert file.contract.task.classes == tuple(WORDS)


def test_categories_are_words_as_they_are_written() -> None:
    known = [*WORDS, "1", "0", "true", "False"]
    assert read_model_file(made(known=f"[{', '.join(known)}]")).schema[0].known == tuple(known)


@pytest.mark.parametrize("word", WORDS)
def test_a_positive_label_is_a_word(word: str) -> None:
    assert read_model_file(made(f"{{positive: {word}}}")).contract.task.positive == word


@pytest.mark.parametrize("written", ["true", "True", "TRUE"])
def test_true_and_false_are_one_label_however_they_are_written(written: str) -> None:
    """As before: a column of booleans has these labels."""
    task = read_model_file(made(f"{{positive: {written}, classes: [false, {written}]}}")).contract
    assert (task.task.positive, task.task.classes) == ("true", ("false", "true"))


@pytest.mark.parametrize("word", [word for word in WORDS if word not in ("<<", "=")])
def test_keys_are_words(word: str) -> None:
    text = f"model: m\nfeatures: {{{word}: {{{word}: {{type: number}}}}}}"
    (spec,) = read_model_file(text).schema
    assert (spec.name, spec.view) == (word, word)
    outputs = read_model_file(made(f"{{kind: tensor, outputs: {{{word}: [2]}}, score: ''}}"))
    assert list(outputs.contract.task.outputs) == [word]


def test_constants_and_rules_name_classes_by_their_words() -> None:
    predicts = "{kind: multiclass, classes: [yes, no, 017]}"
    rule = "{rule: [{feature: plan, among: [on, 1], give: yes}, {give: {no: 0.5, 017: 5e-1}}]}"
    file = read_model_file(
        made(predicts, "[on, 1]", f"serve: {{fallback: [{{constant: 017}}, {rule}]}}")
    )
    assert file.constant == ([0.0, 0.0, 1.0],)
    assert [step.give for step in file.rule] == [([1.0, 0.0, 0.0],), ([0.0, 0.5, 0.5],)]
    assert file.rule[0].among == ("on", "1")


def test_a_boolean_class_may_be_a_constant() -> None:
    for kind in ("multiclass", "multilabel"):
        text = made(
            f"{{kind: {kind}, classes: [false, true]}}",
            more="serve: {fallback: [{constant: true}]}",
        )
        assert read_model_file(text).constant == ([0.0, 1.0],)


def test_numbers_and_truth_values_are_such_where_they_are_meant() -> None:
    more = "watch: {min_rows: 1_000, material: {drift: 1e-1}}\nrollout: {alpha: .05}"
    file = read_model_file(made(more=more).replace("known: [a]", "nullable: yes"))
    assert (file.watch.min_rows, file.rollout.alpha, file.schema[0].nullable) == (1_000, 0.05, True)
    assert file.watch.material == {"drift": 0.1}


@pytest.mark.parametrize("odd", ["12:30", "017", "0x10", "2024-01-01", "0o17"])
def test_a_number_in_another_base_is_refused_and_not_taken_for_another(odd: str) -> None:
    with pytest.raises(BadModelFile) as raised:
        read_model_file(made(more=f"watch: {{min_rows: {odd}}}"))
    assert "a whole number is needed" in raised.value.message
    assert "watch.min_rows" in raised.value.message


@pytest.mark.parametrize("empty", ["null", "~", "NULL", ""])
def test_null_is_no_word_until_it_is_quoted(empty: str) -> None:
    known = f"\n      - a\n      - {empty}"
    with pytest.raises(BadModelFile) as raised:
        read_model_file(
            f"model: m\nfeatures:\n  v:\n    p:\n      type: category\n      known:{known}\n"
        )
    assert "null" in raised.value.message
    assert raised.value.advice == 'quote it where the word is meant: "null"'
    assert read_model_file(made(known='[a, "null"]')).schema[0].known == ("a", "null")


MERGES = ", ".join(
    ["l0: &l0 {}", *(f"l{n}: &l{n} {{<<: [*l{n - 1}, *l{n - 1}]}}" for n in range(1, 18))]
)
MERGES = f"{{{MERGES}}}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "50 levels"),
        ("{a: " * 5_000, "50 levels"),
        ("model: &a [*a]", "50 levels"),
        ("model: &a {<<: *a}", "50 levels"),
        ("a: &a [" + "1," * 999 + "]\nb: [" + "*a," * 101 + "]", "100,000 values"),
        (MERGES, "100,000 values"),
        ("a: &a [" + "1," * 999 + "]\nb: [" + "{<<: *a}," * 101 + "]", "100,000 values"),
        ("a: &a {" + "<<: []," * 999 + "}\nb: [" + "*a," * 101 + "]", "100,000 values"),
        (f"? [{MERGES}]\n: 1", "a list or a mapping is no key"),
        ("{{a: 1}: 1}", "a list or a mapping is no key"),
        ("a: " + "x" * (1 << 20), "characters"),
        ("a: " + "9" * 5_000, "a: a whole number of 5,000 digits is out of range"),
        ("a: !!binary x", "not YAML"),
        ("a: 1\na: 2", "written twice"),
        ("a: 1\n'a': 2", "written twice"),
    ],
    ids=lambda given: given[:20],
)
def test_what_is_too_much_or_wrong_is_told_soon(text: str, said: str) -> None:
    began = time.perf_counter()
    with pytest.raises(BadYaml, match=said):
        read_yaml(text, ModelFile)
    assert time.perf_counter() - began < 10.0


def test_merged_mappings_have_their_texts_too() -> None:
    text = (
        "model: m\nfeatures:\n  v:\n    a: &a {type: category, known: [yes]}\n"
        "    b: {<<: *a, nullable: yes}\n    c: {<<: [{known: [no]}, *a]}\n"
    )
    assert [spec.known for spec in read_model_file(text).schema] == [("yes",), ("yes",), ("no",)]


@given(st.text(alphabet="[]{}:,-&*!|>'\"#%@`~<=?yesno01. \n", max_size=40))
def test_whatever_stands_there_it_is_read_or_explained(text: str) -> None:
    found: Any
    try:
        found = read_yaml(text, ModelFile)
    except BadYaml as error:
        found = error
    assert not isinstance(found, BadYaml) or str(found)

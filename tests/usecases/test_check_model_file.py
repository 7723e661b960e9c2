"""What a model's file may not say, because nobody could use the model: each mistake names its
field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from windvane.usecases.read_model_file import BadModelFile, ModelFile, read_model_file


def file_of(
    predicts: dict[str, Any] | None = None, feature: dict[str, Any] | None = None, **more: Any
) -> ModelFile:
    """JSON is YAML, and escapes what YAML cannot hold."""
    features = {"v": {"x": feature or {"type": "number"}}}
    return read_model_file(
        json.dumps({"model": "m", "features": features, "predicts": predicts or {}, **more})
    )


def refusal(*given: Any, **more: Any) -> str:
    with pytest.raises(BadModelFile, match="MOD-101") as raised:
        file_of(*given, **more)
    return f"{raised.value.message}; {raised.value.advice}"


NUMBERS = {"kind": "regression"}
ODD_NAMES = ["", " a", "a\n", "a\x00b", "\x1b[31m", "a" * 201, "\u202eabc", "a\u2028b"]


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_a_class_has_a_name_of_one_line(kind: str, name: str) -> None:
    assert "predicts.classes" in refusal({"kind": kind, "classes": ["a", name, "b"]})


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_output_has_a_name_of_one_line(name: str) -> None:
    assert "predicts.outputs" in refusal({**NUMBERS, "outputs": ["v", name]})
    assert "predicts.outputs" in refusal({"kind": "tensor", "outputs": {name: [2]}})


@pytest.mark.parametrize("name", ODD_NAMES)
def test_whatever_is_shown_has_one_line(name: str) -> None:
    assert "predicts.positive" in refusal({"positive": name})
    assert "view" in refusal(features={name: {"x": {"type": "number"}}})
    assert "serve.tenants[0]" in refusal(serve={"tenants": [name]})
    if name:
        assert "owner.team" in refusal(owner={"team": name})
        assert "owner.contact" in refusal(owner={"team": "ops", "contact": name})
        assert "unit" in refusal(unit=name)
        assert "predicts.outcome" in refusal({"outcome": name})


def test_an_output_that_is_named_twice_does_not_vanish() -> None:
    message = refusal({**NUMBERS, "outputs": ["v", "w", "v"]})
    assert "'v' is there 2 times" in message
    assert list(file_of({**NUMBERS, "outputs": ["v", "w"]}).contract.task.outputs) == ["v", "w"]


def test_a_class_that_is_named_twice_is_told() -> None:
    assert "'a' is there 2 times" in refusal({"kind": "multiclass", "classes": ["a", "b", "a"]})


def test_a_label_of_several_has_no_bar_in_it() -> None:
    """`a|b` would be read as the labels a and b."""
    message = refusal({"kind": "multilabel", "classes": ["a|b", "a", "b"]})
    assert "'a|b'" in message
    assert "between labels" in message
    file_of({"kind": "multiclass", "classes": ["a|b", "a", "b"]})


@pytest.mark.parametrize("classes", [["0", "1"], ["1", "0"], ["0"]])
def test_several_labels_are_not_called_as_the_flags_for_them(classes: list[str]) -> None:
    assert "cannot be told from" in refusal({"kind": "multilabel", "classes": classes})
    file_of({"kind": "multilabel", "classes": ["0", "1", "2"]})


@pytest.mark.parametrize(
    ("quantiles", "said"),
    [
        ([0.9, 0.1], "must grow"),
        ([0.1, 0.1], "must grow"),
        ([0, 0.5], "between 0 and 1"),
        ([0.5, 1], "between 0 and 1"),
        ([0.5, "nan"], "between 0 and 1"),
        ([0.5, "inf"], "between 0 and 1"),
        ([0.99999991, 0.99999992], "too near"),
    ],
)
def test_quantiles_grow_and_have_names_of_their_own(quantiles: list[Any], said: str) -> None:
    assert said in refusal({**NUMBERS, "quantiles": quantiles})


def test_the_name_of_a_width_is_taken() -> None:
    """A sketch would count the one under the name of the other."""
    outputs = ["load", "load_width"]
    assert "load_width" in refusal({**NUMBERS, "outputs": outputs, "quantiles": [0.1, 0.9]})
    file_of({**NUMBERS, "outputs": outputs})


@pytest.mark.parametrize(
    ("horizons", "said"),
    [
        (["0s"], "no time ahead"),
        (["1h", "0ms"], "no time ahead"),
        (["1h", "60m"], "the same"),
        (["1h", "1h"], "the same"),
        (["1h", "soon"], "not a duration"),
        (["1h", "12:30"], "not a duration"),
        (["99999d"], "ten years"),
    ],
)
def test_horizons_are_times_ahead_each_once(horizons: list[str], said: str) -> None:
    assert said in refusal({**NUMBERS, "horizons": horizons})


def test_all_outputs_together_have_a_bound() -> None:
    names = [f"v{i}" for i in range(2_000)]
    horizons = [f"{i}s" for i in range(1, 1_001)]
    assert "2,000,000 numbers a row" in refusal({**NUMBERS, "outputs": names, "horizons": horizons})
    halves = {"a": [1 << 19], "b": [(1 << 19) + 1]}
    assert "numbers a row" in refusal({"kind": "tensor", "outputs": halves})


@pytest.mark.parametrize("bounds", [["nan", 1], [0, "inf"], ["-inf", 0], [0, 10**400], [2, 1]])
@pytest.mark.parametrize("kind", ["number", "integer"])
def test_a_range_is_finite_and_grows(kind: str, bounds: list[Any]) -> None:
    assert "range" in refusal(feature={"type": kind, "range": bounds})
    assert "range" in refusal({**NUMBERS, "range": bounds})


@pytest.mark.parametrize("bounds", [[0.2, 0.8], [2**53 + 2, 1e300], [-1e300, -1e200]])
def test_a_range_of_integers_has_one(bounds: list[float]) -> None:
    assert "no integer lies" in refusal(feature={"type": "integer", "range": bounds})
    file_of(feature={"type": "number", "range": bounds})
    file_of(feature={"type": "integer", "range": [0.2, 1.0]})


def test_a_known_name_is_there_once() -> None:
    assert "'a' is there 2 times" in refusal(feature={"type": "category", "known": ["a", "b", "a"]})
    long = {"type": "category", "known": ["a", "b" * 70_000]}
    assert "70,000 characters" in refusal(feature=long)


@pytest.mark.parametrize("size", [0, -1, "nan", "inf", 10**400])
def test_what_is_material_is_a_size(size: Any) -> None:
    assert "material" in refusal(watch={"material": {"values": size}})
    assert file_of(watch={"material": {"values": 0.2}}).watch.material == {"values": 0.2}


@pytest.mark.parametrize("floor", [float("nan"), float("inf"), True, "high"])
def test_a_floor_is_a_finite_number(floor: Any) -> None:
    written = json.dumps(floor).replace("NaN", ".nan").replace("Infinity", ".inf")
    with pytest.raises(BadModelFile, match="floor must be a number"):
        read_model_file(
            "model: m\nfeatures: {v: {x: {type: number}}}\n"
            f"watch: {{outcomes: {{floor: {written}}}}}"
        )


@pytest.mark.parametrize("rows", [0, -1, 10**10, 10**30])
def test_numbers_of_rows_have_both_bounds(rows: int) -> None:
    assert "min_rows" in refusal(watch={"min_rows": rows})
    assert "min_rows" in refusal(train={"min_rows": rows})


def test_a_step_that_can_never_be_taken_is_told() -> None:
    category = {"type": "category", "known": ["web", "shop"]}

    def rule(**step: Any) -> dict[str, Any]:
        return {"fallback": [{"rule": [{"feature": "x", "give": 0.1, **step}]}]}

    assert "did you mean 'shop'?" in refusal(feature=category, serve=rule(among=["web", "shp"]))
    assert "nothing is above 5" in refusal(serve=rule(above=5, below=5))
    file_of(serve=rule(above=5, below=6))
    file_of(feature=category, serve=rule(among=["shop"]))


@pytest.mark.parametrize(("over", "window"), [("30m", "1h"), ("119m", "1h"), ("0s", "60s")])
def test_what_is_merged_from_windows_holds_two_of_them(over: str, window: str) -> None:
    message = refusal(watch={"window": window, "drift_over": over})
    assert f"watch.drift_over must be at least 2 windows (watch.window is {window})" in message
    file_of(watch={"window": "1h", "drift_over": "2h"})

"""Each type's way from a cell or a request to a value."""

from __future__ import annotations

import base64
import copy
import math
import pickle
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.signature import (
    KINDS,
    FeatureSpec,
    FeatureType,
    kind_of,
    read_number,
    read_numbers,
)
from windvane.core.signature.kinds import MAX_TEXT, MAX_VECTOR, projection_signs
from windvane.core.signature.pictures import PLAIN_PICTURE


class CountedWord(str):
    """Counts how often words are compared."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        CountedWord.compared += 1
        return str.__eq__(self, str(other))

    __hash__ = str.__hash__


@pytest.mark.parametrize("item", [1e101, -1e308, 10**200])
def test_an_item_of_a_vector_can_be_squared_and_summed(item: float) -> None:
    vector = spec("vector", length=2)
    kind = kind_of(vector)
    found = kind.check(vector, [1.0, item])
    assert found is not None
    assert found.code == "CON-103"
    assert "x[1]" in found.message
    widest = [1e100, -1e100]
    assert kind.check(vector, widest) is None
    for name, summary in kind.summaries(vector).items():
        assert math.isfinite(summary(widest)), name


def test_a_known_name_costs_the_same_however_many_there_are() -> None:
    """A look at each of 5,000 names for each row would hold a worker."""
    closed = spec("category", known=tuple(CountedWord(f"name-{i}") for i in range(5_000)))
    kind = kind_of(closed)
    CountedWord.compared = 0
    assert all(kind.check(closed, f"name-{i}") is None for i in range(4_900, 5_000))
    assert CountedWord.compared <= 5_000 + 2 * 100  # the set is made once
    wrong = kind.check(closed, "other")
    assert wrong is not None
    assert wrong.code == "CON-104"


def test_the_set_of_known_names_is_no_part_of_a_feature() -> None:
    closed = spec("category", known=("b", "a"))
    assert closed.known_set == {"a", "b"}
    assert closed == spec("category", known=("b", "a"))
    assert hash(closed) == hash(spec("category", known=("b", "a")))
    assert "known_set" not in asdict(closed)
    assert set(asdict(closed)) == {field.name for field in fields(FeatureSpec)}
    for copied in (pickle.loads(pickle.dumps(closed)), copy.copy(closed), replace(closed)):
        assert copied == closed
        assert copied.known_set == {"a", "b"}
    assert replace(closed, known=("c",)).known_set == {"c"}


def spec(kind: str, **given: Any) -> FeatureSpec:
    return FeatureSpec("x", "v", FeatureType(kind), **given)


def test_every_type_has_a_kind() -> None:
    assert set(KINDS) == set(FeatureType)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_reads_back(value: float) -> None:
    assert read_number(repr(value)) == value
    assert read_number(f"  {value!r}\t") == value


@given(st.text(max_size=12))
def test_a_number_is_what_every_reader_calls_one(text: str) -> None:
    """Whatever is taken, Python and JSON-like grammars read alike; digits are ASCII."""
    try:
        found = read_number(text)
    except ValueError:
        return
    assert found == float(text)
    assert math.isfinite(found)
    assert text.strip().isascii()
    assert "_" not in text


@pytest.mark.parametrize(
    "text",
    ["", " ", "0x10", "1_0", "nan", "inf", "1e400", "1,5", "--1", "1e", ".", "½", "1" * 2_000],
)
def test_no_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no number|is too large"):
        read_number(text)


def test_a_long_near_number_costs_no_more_than_its_length() -> None:
    """Patterns that go back over their digits would take minutes here."""
    with pytest.raises(ValueError, match="is no number"):
        read_number("1" * 5_000_000 + "x")
    with pytest.raises(ValueError, match="is no number"):
        kind_of(spec("integer")).parse(spec("integer"), "1" * 5_000_000 + "x")


@given(st.integers(-(2**80), 2**80))
def test_a_whole_number_keeps_every_digit(value: int) -> None:
    parse = kind_of(spec("integer")).parse
    assert parse(spec("integer"), str(value)) == value
    assert parse(spec("integer"), f"{value}.00") == value


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=6), st.sampled_from(",;| ")
)
def test_a_vector_reads_back(values: list[float], between: str) -> None:
    text = between.join(map(repr, values))
    assert read_numbers(text) == read_numbers(f"[{text}]") == values


@pytest.mark.parametrize("text", ["1,,2", ",1", "1,", "1 a", "[1", "1]", "[[1]]"])
def test_no_vector(text: str) -> None:
    with pytest.raises(ValueError, match="is no number"):
        read_numbers(text)


def test_a_vector_is_bounded() -> None:
    assert len(read_numbers(",".join(["1"] * MAX_VECTOR))) == MAX_VECTOR
    with pytest.raises(ValueError, match="more than"):
        read_numbers(",".join(["1"] * (MAX_VECTOR + 1)))


@given(st.binary(max_size=40))
def test_an_image_is_its_bytes(body: bytes) -> None:
    about = spec("image")
    text = base64.b64encode(body).decode()
    assert kind_of(about).parse(about, text) == body
    assert kind_of(about).check(about, text) is None
    assert kind_of(about).normal(about, text) == kind_of(about).normal(about, body) == body


@pytest.mark.parametrize(
    ("about", "value", "code"),
    [
        (spec("boolean"), 1, "CON-102"),
        (spec("boolean"), "true", "CON-102"),
        (spec("datetime"), "2024-01-01 00:00:00", "CON-102"),
        (spec("datetime"), 1, "CON-102"),
        (spec("datetime"), True, "CON-102"),
        (spec("datetime"), math.nan, "CON-102"),
        (spec("text"), 1, "CON-102"),
        (spec("text"), "x" * (MAX_TEXT + 1), "CON-103"),
        (spec("text", high=3.0), "four", "CON-103"),
        (spec("category"), "x" * (MAX_TEXT + 1), "CON-103"),
        (spec("vector", length=2), [1.0], "CON-103"),
        (spec("vector", length=2), "1,2", "CON-102"),
        (spec("vector", length=2), [1.0, None], "CON-102"),
        (spec("vector", length=2), [1.0, True], "CON-102"),
        (spec("vector", length=2), [1.0, math.nan], "CON-102"),
        (spec("vector", length=1), [10**400], "CON-102"),
        (spec("image"), "not base64!", "CON-102"),
        (spec("image"), 5, "CON-102"),
        (spec("image", high=2.0), b"abc", "CON-103"),
    ],
)
def test_what_breaks_a_type(about: FeatureSpec, value: Any, code: str) -> None:
    found = kind_of(about).check(about, value)
    assert found is not None
    assert (found.code, found.field) == (code, "x")
    assert len(found.message) < 200


@pytest.mark.parametrize(
    ("about", "value", "normal"),
    [
        (spec("number"), 3, 3.0),
        (spec("integer"), 3.0, 3),
        (spec("boolean"), True, True),
        (spec("datetime"), "1970-01-01T00:00:01Z", 1.0),
        (spec("datetime"), 7.5, 7.5),
        (spec("text"), "", ""),
        (spec("vector", length=2), (1, 2.5), [1.0, 2.5]),
    ],
)
def test_what_every_later_step_expects(about: FeatureSpec, value: Any, normal: Any) -> None:
    kind = kind_of(about)
    assert kind.check_held(about, value) is None
    found = kind.normal(about, value)
    assert found == normal
    assert type(found) is type(normal)
    assert kind.check_held(about, kind.plain(about)) is None


def test_summaries_say_what_moves() -> None:
    text = kind_of(spec("text")).summaries(spec("text"))
    assert {name: of("né  a") for name, of in text.items()} == {
        "length": 5.0, "words": 2.0, "non_ascii": 0.2,
    }  # fmt: skip
    about = spec("vector", length=600)
    vector = kind_of(about).summaries(about)
    ones = [1.0] * 600
    assert vector["norm"](ones) == pytest.approx(math.sqrt(600))
    signs = projection_signs("x", 600)
    assert vector["projection_1"](ones) == pytest.approx(float(signs[0].sum()))
    image = kind_of(spec("image")).summaries(spec("image"))
    assert {name: of(PLAIN_PICTURE) for name, of in image.items()} == {
        "bytes": 98.0, "width": 32.0, "height": 32.0, "bits_per_pixel": 8.0 * 98 / 1024,
    }  # fmt: skip
    assert {name: of(b"no picture") for name, of in image.items()} == {
        "bytes": 10.0, "width": 0.0, "height": 0.0, "bits_per_pixel": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("about", "plain"),
    [
        (spec("text"), "text"),
        (spec("text", high=2), "te"),
        (spec("image"), PLAIN_PICTURE),
        (spec("image", high=97), b""),
    ],
)
def test_a_plain_value_is_one_that_models_take(about: FeatureSpec, plain: Any) -> None:
    """A text has a word and a picture can be opened, as far as their bounds allow."""
    assert kind_of(about).plain(about) == plain
    assert kind_of(about).check(about, plain) is None


def test_projections_follow_from_the_name() -> None:
    """Stored sketches rest on them, on every machine: pinned."""
    one, same, other = (projection_signs(n, 300) for n in ("x", "x", "y"))
    assert (one == same).all()
    assert (one != other).any()
    assert np.allclose((one**2).sum(axis=1), 1.0)
    assert "".join("+" if v > 0 else "-" for v in one[0, :16]) == "+--+-+----+-----"


@pytest.mark.parametrize("seconds", [1.0e300, 1_764_399_480_000.0, -1e12])
def test_a_time_that_was_read_lies_in_a_year_that_can_be_written(seconds: float) -> None:
    found = kind_of(spec("datetime")).check_held(spec("datetime"), seconds)
    assert found is not None
    assert found.code == "CON-103"


def test_a_time_comes_as_a_text() -> None:
    """Milliseconds were taken for seconds once."""
    found = kind_of(spec("datetime")).check(spec("datetime"), 1_764_399_480.0)
    assert found is not None
    assert found.code == "CON-102"

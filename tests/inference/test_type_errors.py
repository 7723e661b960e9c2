"""What is not of the type that its place asks for, in words."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Annotated, Any, Literal

import docs.documented as d
import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from windvane.inference.type_errors import TypeFault, find_type_error
from windvane.usecases.read_model_file import BadModelFile, ModelFile, read_model_file
from windvane.usecases.read_settings import BadReference, BadSettings, Settings, read_settings

# What msgspec and Python call things; none of it is for somebody who wrote a YAML file.
LEAKS = re.compile(r"Expected|`(str|int|float|object|array|null|bool)`|Object |\$[.\[]|NoneType")


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: Annotated[int, msgspec.Meta(ge=1, le=32)] = 1


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    inner: Inner = Inner()
    mode: Literal["text", "json"] = "text"
    either: Inner | bool = True
    pair: tuple[float, float] | None = None
    many: list[dict[str, int]] = []


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"name": "x"}, None),
        (3, TypeFault("", "a mapping of name, inner, mode, either, pair, many is needed, here is "
                      "the number 3")),
        ({}, TypeFault("name", "a text is needed, and it is missing")),
        ({"name": 3}, TypeFault("name", "a text is needed, here is the number 3")),
        ({"name": None}, TypeFault("name", "a text is needed, here is null",
                                   'quote it where the word is meant: "null"')),
        ({"name": "x", "innr": {}}, TypeFault("innr", "there is no such key",
                                              "did you mean 'inner'?")),
        ({"name": "x", "inner": {"size": "big"}},
         TypeFault("inner.size", "a whole number from 1 to 32 is needed, here is 'big'")),
        ({"name": "x", "inner": {"size": 33}},
         TypeFault("inner.size", "a whole number from 1 to 32 is needed, here is the number 33")),
        ({"name": "x", "mode": "jsn"}, TypeFault("mode", "'jsn' is not known",
                                                 "did you mean 'json'?")),
        ({"name": "x", "either": {"size": 0}},
         TypeFault("either.size", "a whole number from 1 to 32 is needed, here is the number 0")),
        ({"name": "x", "either": "on"},
         TypeFault("either", "a mapping of size, or true or false is needed, here is 'on'")),
        ({"name": "x", "pair": [1]}, TypeFault("pair", "2 values are needed, here are 1")),
        ({"name": "x", "pair": [1, "b"]},
         TypeFault("pair[1]", "a number is needed, here is 'b'")),
        ({"name": "x", "many": [{}, {"a": []}]},
         TypeFault("many[1].a", "a whole number is needed, here is a list")),
    ],
)  # fmt: skip
def test_the_place_and_both_sides_are_named(value: Any, fault: TypeFault | None) -> None:
    assert find_type_error(value, Outer) == fault


def test_a_secret_text_is_not_repeated() -> None:
    fault = find_type_error({"name": "x", "inner": {"size": "s3cret"}}, Outer, secret=True)
    assert fault is not None
    assert fault.sentence == "a whole number from 1 to 32 is needed, here is a text"
    choice = find_type_error({"name": "x", "mode": "s3cret"}, Outer, secret=True)
    assert choice is not None
    assert "s3cret" not in str(choice)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["text", "x"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["name", "inner", "size", "mode", "either", "pair", "many"]), inner
            )
        ),
        max_leaves=8,
    ),
    st.booleans(),
)
def test_what_is_found_is_what_msgspec_refuses(value: Any, strict: bool) -> None:
    try:
        msgspec.convert(value, Outer, strict=strict)
    except msgspec.ValidationError:
        refused = True
    else:
        refused = False
    fault = find_type_error(value, Outer, strict=strict)
    assert (fault is not None) == refused
    assert fault is None or not LEAKS.search(f"{fault} {fault.hint}")


WRONG: list[Any] = [None, True, 3, -1.5, "zzz", [], [[]], {}, {"zzz": 1}, [{"zzz": 1}]]
KEYS = sorted(d.keys_of(ModelFile))


def model_file_with(key: str, value: Any) -> str:
    """The least file, with ``value`` at the dotted ``key``."""
    body: dict[str, Any] = {"model": "tiny", "features": {"v": {"f": {"type": "number"}}}}
    at = body
    *outer, last = key.replace("VIEW", "v").replace("NAME", "f").split(".")
    for name in outer:
        at = at.setdefault(name, {})
    at[last] = value
    return yaml.safe_dump(body)


@pytest.mark.parametrize("key", KEYS)
def test_no_key_of_a_model_file_is_refused_in_the_words_of_a_library(key: str) -> None:
    refusals = [r for r in (refusal(model_file_with(key, value)) for value in WRONG) if r]
    assert len(refusals) >= 4, "lists and mappings fit nowhere at once"
    assert [r for r in refusals if LEAKS.search(f"{r.message} {r.advice}")] == []
    assert [
        r for r in refusals if key.split(".", maxsplit=1)[0] not in r.message or not r.advice
    ] == []


def refusal(text: str) -> BadModelFile | None:
    try:
        read_model_file(text)
    except BadModelFile as error:
        return error
    return None


def test_the_whole_schema_was_tried() -> None:
    assert len(KEYS) > 50
    assert {"serve.circuit.failures", "features.VIEW.NAME.range", "watch.respond"} <= set(KEYS)


@pytest.mark.parametrize("name", sorted(d.keys_of(Settings).keys() - {"home"}))
def test_no_setting_is_refused_in_the_words_of_a_library(name: str, tmp_path: Any) -> None:
    body: dict[str, Any] = {}
    at = body
    *outer, last = name.split(".")
    for word in outer:
        at = at.setdefault(word, {})
    messages: list[str] = []
    for value in WRONG:
        at[last] = value
        with suppress(BadReference):
            try:
                read_settings(yaml.safe_dump(body), tmp_path)
            except BadSettings as error:
                messages.append(f"{error.message} {error.advice}")
    assert messages
    assert [text for text in messages if LEAKS.search(text)] == []

"""Errors: one class a code, and a hint that helps."""

from __future__ import annotations

import importlib
import pkgutil
import re
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

import windvane.apps
import windvane.core
import windvane.ports
import windvane.usecases
from windvane.core.errors import REGISTRY, WindvaneError, _likeness, did_you_mean


def subclasses(kind: type[WindvaneError]) -> set[type[WindvaneError]]:
    out = set(kind.__subclasses__())
    return out.union(*(subclasses(sub) for sub in out))


def test_every_error_has_a_code_of_its_own() -> None:
    for package in (windvane.core, windvane.ports, windvane.usecases, windvane.apps):
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
    every = {e for e in subclasses(WindvaneError) if e.__module__.startswith("windvane.")}
    ours = {e for e in every if "code" in vars(e)}  # what groups others has none of its own
    codes = [error.code for error in ours]
    assert len(codes) > 5
    assert sorted(codes) == sorted(set(codes))
    for error in ours:
        assert REGISTRY[error.code] is error
        assert re.fullmatch(r"[A-Z]{3}-\d{3}", error.code)
        assert error.__doc__


def test_a_taken_code_is_refused() -> None:
    code = next(iter(REGISTRY))
    before = dict(REGISTRY)
    with pytest.raises(TypeError, match=f"{code} is taken by"):
        type("Usurper", (WindvaneError,), {"code": code})
    assert before == REGISTRY


def test_what_an_error_says() -> None:
    class Silent(WindvaneError):
        hint: ClassVar[str] = "try this"

    assert str(Silent("3 > 2")) == "WIN-000: 3 > 2 Hint: try this"
    assert str(Silent("3 > 2", hint="or that")) == "WIN-000: 3 > 2 Hint: or that"
    assert str(Silent("3 > 2", hint="")) == "WIN-000: 3 > 2"


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("delya", ["delay", "churn"], "did you mean 'delay'?"),
        ("DELAY", ["delay"], "known: delay"),
        ("zzz", ["b", "a"], "known: a, b"),
        ("zzz", list("abcdefghijklm"), "known: a, b, c, d, e, f, g, h, i, j, k, l, …"),
        ("zzz", [], "none is known yet"),
    ],
)  # fmt: skip
def test_did_you_mean(word: str, known: list[str], hint: str) -> None:
    assert did_you_mean(word, known) == hint


NAMES = [f"flight-{i:04d}" for i in range(4_000)]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("flight-1545x", "flight-1545"), ("flight-154", "flight-1540"), ("fligth-1545", ""),
        ("flight-2000 ", "flight-2000"), ("no such flight", ""), ("", ""), ("f" * 65, ""),
    ],
)  # fmt: skip
def test_of_many_names_those_next_to_it_are_compared(word: str, meant: str) -> None:
    hint = did_you_mean(word, NAMES)
    assert hint.startswith(f"did you mean {meant!r}?" if meant else "known: flight-0000, ")


@given(st.text("abc", min_size=1, max_size=8), st.data())
def test_one_letter_too_many_missing_or_wrong_leaves_all_others_alike(
    word: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(word) - 1))
    added, gone = word[:at] + "x" + word[at:], word[:at] + word[at + 1 :]
    wrong = word[:at] + "x" + word[at + 1 :]
    assert _likeness(word, added) == pytest.approx(2 * len(word) / (2 * len(word) + 1))
    assert _likeness(word, gone) == pytest.approx(2 * len(gone) / (len(word) + len(gone)))
    assert _likeness(word, wrong) == pytest.approx((len(word) - 1) / len(word))
    assert _likeness(word, word) == 1.0
    assert _likeness(word, "") == 0.0

"""What a file may declare of the freshness of its views."""

from __future__ import annotations

import pytest

from windvane.usecases.derived_axes import derived_axes
from windvane.usecases.read_model_file import BadModelFile, read_model_file

FILE = """
model: tiny
features:
  weather: {temp: {type: number}, seen: {type: datetime}}
  plan: {size: {type: number}}
watch:
  fresh: {weather: {time: seen, within: 2h}}
  repeats: [weather]
"""


def test_a_declared_view_has_one_axis_with_an_edge_at_its_limit() -> None:
    axis, prints = derived_axes(read_model_file(FILE))
    assert prints.name == "weather#fingerprint"
    assert axis.name == "seen#age"
    assert 7_200.0 in axis.edges  # pyright: ignore[reportAttributeAccessIssue]
    assert derived_axes(read_model_file(FILE.partition("watch")[0])) == ()


@pytest.mark.parametrize(
    ("good", "bad", "message", "advice"),
    [
        ("{weather: {", "{wether: {", "there is no view 'wether'", "did you mean 'weather'?"),
        ("{weather: {", "{plan: {", "plan has no feature 'seen'", "plan has no datetime"),
        ("time: seen", "time: seem", "weather has no feature 'seem'", "did you mean 'seen'?"),
        ("time: seen", "time: temp", "temp is a number, no datetime", "one of seen"),
        ("2h", "0s", "0s is not from 1s to 388d", ""),
        ("2h", "400d", "400d is not from 1s to 388d", ""),
        ("2h", "soon", "'soon' is not a duration", "for example 2h"),
        ("2h", "2h, allowed: 0%", "allowed must be between 0% and 100%", ""),
        ("2h", "2h, allowed: few", "'few' is not a share", "for example 5%"),
        ("temp: {", "seen#age: {type: number}, temp: {", "seen#age is a feature, too", "rename"),
        (
            "temp: {type: number}",
            "weather#fingerprint: {type: number}",
            "weather#fingerprint is a feature, too",
            "rename",
        ),
        ("within", "withn", "withn", "within"),
    ],
)
def test_what_cannot_be_judged_is_refused(good: str, bad: str, message: str, advice: str) -> None:
    with pytest.raises(BadModelFile) as caught:
        read_model_file(FILE.replace(good, bad))
    assert "watch." in caught.value.message
    assert message in caught.value.message
    assert advice in caught.value.advice

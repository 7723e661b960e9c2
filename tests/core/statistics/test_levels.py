"""A level is never shown as certainty."""

from __future__ import annotations

import pytest

from windvane.core.statistics import interval_level, level_words


@pytest.mark.parametrize(
    ("alpha", "words"),
    [(0.025, "95%"), (0.0125, "97.5%"), (0.00625, "98.8%"), (0.01, "98%"), (0.005, "99%"),
     (0.001, "99.8%"), (1e-5, "99.998%"), (1e-6, "99.9998%"), (1e-9, "over 99.9999%"),
     (0.0, "over 99.9999%")],
)  # fmt: skip
def test_a_level_has_the_digits_that_tell_it_from_certainty(alpha: float, words: str) -> None:
    assert level_words(interval_level(alpha)) == words

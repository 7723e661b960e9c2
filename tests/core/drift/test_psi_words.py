"""What is said of a size: past ten it says nothing more."""

import pytest

from windvane.core.drift import psi_words


@pytest.mark.parametrize(
    ("size", "said"),
    [(0.314, "PSI 0.31"), (10.0, "PSI 10.00"), (10.01, "PSI over 10"), (475.0, "PSI over 10"),
     (float("inf"), "PSI over 10")],
)  # fmt: skip
def test_a_size_that_is_absurd_is_not_said(size: float, said: str) -> None:
    assert psi_words(size) == said

"""The rule that answers where no version can: the first fitting step, and nothing by accident."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.routing import RuleStep, follow_rule

FAR = RuleStep(0.9, "distance", above=100.0)
NEAR = RuleStep(0.1, "distance", below=10.0)
MIDDLE = RuleStep(0.5, "distance", above=10.0, below=100.0)
ISLANDS = RuleStep(0.7, "carrier", among=("ferry", "plane"))
ELSE = RuleStep(0.2)


@pytest.mark.parametrize(
    ("steps", "row", "given"),
    [
        ([], {"distance": 5}, None),
        ([ELSE], {}, 0.2),
        ([FAR], {"distance": 100.1}, 0.9),
        ([FAR], {"distance": 100}, None),  # a bound itself is neither above nor below
        ([NEAR], {"distance": 10.0}, None),
        ([NEAR], {"distance": -3}, 0.1),
        ([MIDDLE], {"distance": 50}, 0.5),
        ([MIDDLE], {"distance": 10}, None),
        ([MIDDLE], {"distance": 100}, None),
        ([ISLANDS], {"carrier": "ferry"}, 0.7),
        ([ISLANDS], {"carrier": "Ferry"}, None),
        ([FAR, NEAR, ELSE], {"distance": 200}, 0.9),
        ([FAR, NEAR, ELSE], {"distance": 5}, 0.1),
        ([FAR, NEAR, ELSE], {"distance": 50}, 0.2),
        ([ELSE, FAR], {"distance": 200}, 0.2),  # the first that fits, whatever comes after
        # A missing value fits no bound; a step without a feature still gives.
        ([FAR, NEAR, MIDDLE], {"distance": None}, None),
        ([FAR], {}, None),
        ([ISLANDS], {"carrier": None}, None),
        ([FAR, ELSE], {"distance": None}, 0.2),
    ],
)
def test_table(steps: list[RuleStep], row: dict[str, Any], given: float | None) -> None:
    assert follow_rule(tuple(steps), row) == given


BOUNDS = st.none() | st.floats(-10, 10)
STEPS = st.builds(
    RuleStep, st.floats(0, 1), st.sampled_from(["", "a", "b"]), above=BOUNDS, below=BOUNDS
)


@given(
    st.lists(STEPS, max_size=5),
    st.dictionaries(st.sampled_from(["a", "b"]), st.none() | st.floats(-10, 10)),
)
def test_only_the_steps_that_fit_matter(steps: list[RuleStep], row: dict[str, Any]) -> None:
    alone = [follow_rule((step,), row) for step in steps]
    fitting = [found for found in alone if found is not None]
    assert follow_rule(tuple(steps), row) == (fitting[0] if fitting else None)
    assert follow_rule((*steps, RuleStep(0.25)), row) is not None

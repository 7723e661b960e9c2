"""How verdicts combine: FAIL over ERROR over HOLD over PASS, the first of equals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.verdict import Outcome, Verdict, worst

P, H, E, F = Outcome.PASS, Outcome.HOLD, Outcome.ERROR, Outcome.FAIL
SEVERITY = [P, H, E, F]
VERDICTS = st.builds(
    Verdict,
    st.sampled_from(SEVERITY),
    st.text(max_size=5),
    st.text(max_size=5),
    st.text(max_size=5),
)


@pytest.mark.parametrize(
    ("given_outcomes", "decides"),
    [
        ([P], 0), ([P, H], 1), ([H, P], 0), ([H, E], 1), ([E, H], 0), ([E, F], 1), ([F, E], 0),
        ([P, H, E, F], 3), ([P, P], 0), ([H, H], 0), ([E, P, E], 0), ([P, F, F], 1),
    ],
)  # fmt: skip
def test_table(given_outcomes: list[Outcome], decides: int) -> None:
    verdicts = [Verdict(o, f"X-{i}", "said") for i, o in enumerate(given_outcomes)]
    assert worst(verdicts) is verdicts[decides]


@given(st.lists(VERDICTS, min_size=1, max_size=8))
def test_the_first_of_the_gravest_decides_as_itself(verdicts: list[Verdict]) -> None:
    found = worst(verdicts)
    gravest = max(SEVERITY.index(v.outcome) for v in verdicts)
    assert found is next(v for v in verdicts if SEVERITY.index(v.outcome) == gravest)


@given(st.lists(VERDICTS, max_size=5), st.lists(VERDICTS, max_size=5))
def test_grouping_does_not_matter(left: list[Verdict], right: list[Verdict]) -> None:
    parts = [worst(part) for part in (left, right) if part]
    assert worst(parts) == worst([*left, *right])


@given(st.lists(VERDICTS, max_size=8))
def test_error_never_becomes_fail_and_hold_never_pass(verdicts: list[Verdict]) -> None:
    found, outcomes = worst(verdicts), {v.outcome for v in verdicts}
    assert found.failed == (F in outcomes)
    assert (found.outcome is P) == (outcomes == {P})


def test_nothing_judged_is_hold() -> None:
    found = worst([])
    assert (found.outcome, found.code) == (H, "VER-001")
    assert found.missing

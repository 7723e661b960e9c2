"""Causes, severities, responses and suspects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.alerting import (
    Cause,
    CauseKind,
    Response,
    Severity,
    cause_of_view,
    choose_response,
    rank_suspects,
    severity_of,
)

RESPOND = {
    Severity.LOW: Response.LOG,
    Severity.MEDIUM: Response.NOTIFY,
    Severity.HIGH: Response.ROLLBACK,
}


@pytest.mark.parametrize(
    ("kind", "severity", "response"),
    [
        (CauseKind.TRAINING_DRIFT, Severity.LOW, Response.LOG),
        (CauseKind.TENANT, Severity.MEDIUM, Response.NOTIFY),
        (CauseKind.OUTCOMES, Severity.MEDIUM, Response.NOTIFY),
        (CauseKind.FEED, Severity.HIGH, Response.ROLLBACK),
        (CauseKind.CANARY, Severity.HIGH, Response.ROLLBACK),
        (CauseKind.ERRORS, Severity.HIGH, Response.ROLLBACK),
    ],
)
def test_every_cause_has_a_severity_and_so_a_response(
    kind: CauseKind, severity: Severity, response: Response
) -> None:
    assert severity_of(kind) is severity
    assert choose_response(kind, RESPOND) is response


def test_no_cause_is_forgotten() -> None:
    assert {severity_of(kind) for kind in CauseKind} == set(Severity)


def test_one_cause_is_one_key() -> None:
    assert cause_of_view("weather") == Cause(CauseKind.FEED, "weather")
    assert cause_of_view("weather").key == "feed:weather"


@given(st.dictionaries(st.text(max_size=4), st.floats(0, 1), max_size=8), st.randoms())
def test_suspects_rank_the_same_in_any_order(sizes: dict[str, float], random: object) -> None:
    items = list(sizes.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    ranked = rank_suspects(items)
    assert ranked == rank_suspects(list(sizes.items()))
    assert [size for _, size in ranked] == sorted(sizes.values(), reverse=True)

"""Causes, severities, responses and suspects."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from windvane.core.alerting import (
    CANARY,
    Cause,
    CauseKind,
    Response,
    Severity,
    choose_moves,
    choose_response,
    rank_suspects,
)

RESPOND = {
    Severity.LOW: Response.LOG,
    Severity.MEDIUM: Response.NOTIFY,
    Severity.HIGH: Response.ROLLBACK,
}
KIND = CauseKind(
    "feed", Severity.HIGH, "feed.md",
    moves={Response.FALLBACK: ("stand_in",), Response.ROLLBACK: ("stand_in", "roll_back")},
)  # fmt: skip


def test_the_severity_gives_the_response_and_the_response_the_moves() -> None:
    assert choose_response(KIND, RESPOND) is Response.ROLLBACK
    assert choose_moves(KIND, Response.ROLLBACK) == ("stand_in", "roll_back")
    assert choose_moves(KIND, Response.FALLBACK) == ("stand_in",)
    assert choose_moves(KIND, Response.NOTIFY) == ()
    assert choose_moves(CANARY, Response.ROLLBACK) == ()  # its gate moves by itself


def test_one_cause_is_one_key() -> None:
    assert Cause(KIND, "weather").key == "feed:weather"
    assert Cause(KIND, "weather") != Cause(CANARY, "weather")


@given(st.dictionaries(st.text(max_size=4), st.floats(0, 1), max_size=8), st.randoms())
def test_suspects_rank_the_same_in_any_order(sizes: dict[str, float], random: object) -> None:
    items = list(sizes.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    ranked = rank_suspects(items)
    assert ranked == rank_suspects(list(sizes.items()))
    assert [size for _, size in ranked] == sorted(sizes.values(), reverse=True)

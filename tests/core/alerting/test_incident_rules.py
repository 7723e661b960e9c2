"""Causes, severities, responses and suspects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.alerting import (
    CANARY,
    DEFAULT_RESPONSES,
    Cause,
    CauseGroup,
    CauseKind,
    Response,
    choose_moves,
    choose_responses,
    opens_incident,
    rank_suspects,
)

KIND = CauseKind(
    "feed", CauseGroup.BROKEN_INPUT, "feed.md",
    moves={Response.FALLBACK: ("stand_in",), Response.ROLLBACK: ("stand_in", "roll_back")},
)  # fmt: skip


def test_the_group_gives_the_responses_and_these_the_moves() -> None:
    respond = {**DEFAULT_RESPONSES, CauseGroup.BROKEN_INPUT: (Response.FALLBACK,)}
    assert choose_responses(KIND, respond) == (Response.FALLBACK,)
    assert choose_responses(CANARY, respond) == (Response.NOTIFY,), "its gate moves by itself"
    assert choose_moves(KIND, (Response.ROLLBACK,)) == ("stand_in", "roll_back")
    assert choose_moves(KIND, (Response.FALLBACK,)) == ("stand_in",)
    assert choose_moves(KIND, (Response.NOTIFY,)) == ()
    both = (Response.FALLBACK, Response.ROLLBACK)
    assert choose_moves(KIND, both) == ("stand_in", "roll_back"), "each once"


def test_every_group_has_a_response_of_its_own() -> None:
    assert set(DEFAULT_RESPONSES) == set(CauseGroup)
    silent = [g for g, given in DEFAULT_RESPONSES.items() if not opens_incident(given)]
    assert silent == [CauseGroup.DRIFT], "drift by itself harms nobody"


@pytest.mark.parametrize(
    ("responses", "told"),
    [
        ((Response.LOG,), False), ((Response.DIGEST,), False),
        ((Response.LOG, Response.DIGEST), False),
        ((Response.NOTIFY,), True), ((Response.FALLBACK,), True), ((Response.ROLLBACK,), True),
        ((Response.DIGEST, Response.NOTIFY), True),
    ],
)  # fmt: skip
def test_what_acts_on_a_model_tells_of_it(responses: tuple[Response, ...], told: bool) -> None:
    assert opens_incident(responses) is told


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

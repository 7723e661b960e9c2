"""Points in time as texts, against the standard library's reading."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.signature import parse_time

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
MOMENTS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=ZONES)


@given(MOMENTS, st.sampled_from("T "), st.booleans())
def test_as_the_standard_library_reads_it(at: datetime, between: str, short: bool) -> None:
    text = at.isoformat(between)
    if short and text[-6] in "+-":
        text = text[:-3] + text[-2:]  # +0100
    assert parse_time(text) == pytest.approx(at.timestamp(), rel=0, abs=1e-4)
    whole = at.replace(microsecond=0)
    assert parse_time(whole.isoformat()) == whole.timestamp()


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1970-01-01T00:00:00Z", 0.0), ("1970-01-01 00:00z", 0.0), ("1970-01-01T00:00 UTC", 0.0),
        ("1969-12-31T23:59:59.5Z", -0.5), ("2000-02-29T00:00:00Z", 951_782_400.0),
        ("2026-11-28T17:45:00,25+01:00", 1_795_884_300.25), (" 1970-01-01T00:00:01Z ", 1.0),
        ("1970-01-01T00:00:00.123456789Z", 0.123456789), ("2016-12-31T23:59:60Z", 1_483_228_800.0),
    ],
)  # fmt: skip
def test_forms(text: str, at: float) -> None:
    assert parse_time(text) == at


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-11-28T17:45:00", "has no zone"),
        ("2026-02-29T00:00:00Z", "is no time that there is"),
        ("1900-02-29T00:00:00Z", "is no time that there is"),
        ("2026-11-28T24:00:00Z", "is no time that there is"),
        ("2026-11-28T17:60:00Z", "is no time that there is"),
        ("2026-11-28T17:45:61Z", "is no time that there is"),
        ("2026-13-01T00:00:00Z", "is no time that there is"),
        ("2026-00-01T00:00:00Z", "is no time that there is"),
        ("2026-01-00T00:00:00Z", "is no time that there is"),
        ("2026-11-28T17:45:00+25:00", "has no zone that there is"),
        ("2026-11-28", "is no time such as"),
        ("28.11.2026 17:45", "is no time such as"),
        ("٢٠٢٦-11-28T17:45:00Z", "is no time such as"),
        ("1970-01-01T00:00:00Z" + " " * 80 + "x", "is no time such as"),
        ("", "is no time such as"),
    ],
)
def test_what_is_no_time(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_time(text)


@given(st.text(max_size=80))
def test_any_text_is_a_time_or_says_why_not(text: str) -> None:
    try:
        found = parse_time(text)
    except ValueError as error:
        message = str(error)
    else:
        message = f"{found}"
    assert 0 < len(message) < 200

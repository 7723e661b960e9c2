"""Deadlines as clients write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.admission import read_grpc_timeout, read_timeout


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25), ("1.5s", 1.5), ("0.25", 0.25), ("2", 2.0), (" 250 ms ", 0.25),
        ("1s", 1.0), ("0.5ms", 0.0005), ("999999999", 999_999_999.0), ("007s", 7.0),
        # no time at all
        ("0", None), ("0ms", None), ("0.0s", None),
        # none of these
        ("", None), (" ", None), ("ms", None), ("-1s", None), ("+1s", None), ("1e3", None),
        ("1 m", None), ("1min", None), ("1h", None), ("1,5s", None), (".5s", None), ("5.s", None),
        ("1.5 s s", None), ("inf", None), ("nan", None), ("250MS", None), ("0x10", None),
        ("1234567890", None), ("1.1234567s", None), ("250ms, 1s", None), ("²s", None),
    ],
)  # fmt: skip
def test_plain(text: str, seconds: float | None) -> None:
    assert read_timeout(text) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1H", 3600.0), ("2M", 120.0), ("3S", 3.0), ("250m", 0.25), ("250u", 0.00025),
        ("250n", 250e-9), ("99999999S", 99_999_999.0), (" 1S ", 1.0), ("00000001S", 1.0),
        ("0m", None), ("", None), ("m", None), ("1", None), ("1s", None), ("1h", None),
        ("1ms", None), ("1.5S", None), ("-1S", None), ("1 S", None), ("123456789S", None),
        ("²S", None),
    ],
)  # fmt: skip
def test_grpc(text: str, seconds: float | None) -> None:
    found = read_grpc_timeout(text)
    assert found == (None if seconds is None else pytest.approx(seconds))


@given(st.text(max_size=12) | st.from_regex(r"[0-9.]{0,6} ?(ms|s|m|H)?", fullmatch=True))
def test_any_text_is_a_time_above_zero_or_none(text: str) -> None:
    for read in (read_timeout, read_grpc_timeout):
        found = read(text)
        assert found is None or 0.0 < found < 1e12


@given(st.integers(1, 99_999_999))
def test_both_agree_on_what_both_can_say(milliseconds: int) -> None:
    plain, grpc = read_timeout(f"{milliseconds}ms"), read_grpc_timeout(f"{milliseconds}m")
    assert plain == grpc == pytest.approx(milliseconds / 1e3)

"""What people type for rates and durations."""

from __future__ import annotations

import pytest
import typer

from windvane.apps.cli.options import duration, rate


@pytest.mark.parametrize(
    ("text", "requests", "seconds"),
    [
        ("600 per minute", 600, 60.0), ("5 per 10s", 5, 10.0), ("1_000/second", 1_000, 1.0),
        ("2,500 per hours", 2_500, 3_600.0), ("none", 0, 60.0),
    ],
)  # fmt: skip
def test_a_rate_is_requests_in_seconds(text: str, requests: int, seconds: float) -> None:
    assert rate(text) == (requests, seconds)


@pytest.mark.parametrize(
    "text", ["", "0", "_ per minute", "600", "600 per", "fast", "6 per fortnight"]
)
def test_what_is_no_rate_is_said_so(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="--rate"):
        rate(text)


def test_no_requests_at_all_are_no_bound_by_mistake() -> None:
    with pytest.raises(typer.BadParameter, match="windvane key revoke"):
        rate("0 per minute")


def test_a_duration_names_its_option() -> None:
    assert duration("90d", "--expires") == 90 * 86_400.0
    with pytest.raises(typer.BadParameter, match="--expires"):
        duration("soon", "--expires")

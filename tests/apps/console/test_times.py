"""Times as words: no two ends of an axis read the same, and what is due is not in the past."""

from __future__ import annotations

import pytest

from windvane.apps.console.times import axis, due

AT = 1_361_964_310.0  # 2013-02-27 11:25:10 UTC


@pytest.mark.parametrize(
    ("gap", "words"),
    [(-5.0, "now"), (0.0, "now"), (1.0, "within a minute"), (59.9, "within a minute"),
     (180.0, "in 3 min")],
)  # fmt: skip
def test_what_is_due_is_ahead(gap: float, words: str) -> None:
    assert due(AT + gap, AT) == words


def test_an_axis_has_seconds_where_minutes_are_the_same() -> None:
    assert axis([AT, AT + 10, AT + 60]) == [
        "27 Feb 11:25:10", "27 Feb 11:25:20", "27 Feb 11:26:10",
    ]  # fmt: skip
    assert axis([AT, AT + 60, AT + 120]) == ["27 Feb 11:25", "27 Feb 11:26", "27 Feb 11:27"]

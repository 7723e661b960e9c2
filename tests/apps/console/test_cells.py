"""Values of requests on a page: numbers as long as a person reads."""

from __future__ import annotations

import pytest

from windvane.apps.console.rendering import environment


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (9e307, "9e+307"), (-9.87654321e307, "-9.87654e+307"), (1.5e15, "1.5e+15"),
        (123_456_789_012_345.0, "123,456,789,012,345"), (12_345.6, "12,346"), (0.123456, "0.1235"),
        ([9e307, 1.0], "9e+307, 1.0"), (7, "7"),
    ],
)  # fmt: skip
def test_a_number_has_as_many_digits_as_a_person_reads(value: object, shown: str) -> None:
    template = environment().from_string(
        '{% import "parts.html" as parts with context %}{{ parts.cell(value) }}'
    )
    assert template.render(value=value) == shown

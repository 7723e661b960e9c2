"""Which features a model's file may name as segments."""

from __future__ import annotations

import pytest
from usecases.harness import FILE

from windvane.usecases.check_model_file import check_model_file
from windvane.usecases.read_model_file import BadModelFile, read_model_file


def checked(segments: str, extra: str = "") -> tuple[str, ...]:
    text = FILE.replace("  min_rows: 20\n", f"  min_rows: 20\n  segments: {segments}\n")
    text = text.replace(
        "    carrier: {type: category}\n", f"    carrier: {{type: category}}\n{extra}"
    )
    file = read_model_file(text)
    check_model_file(file)
    return file.segments


def test_tenants_may_be_named_and_are_no_feature() -> None:
    assert checked("[tenant, carrier]") == ("carrier",)
    assert checked("[]") == ()


@pytest.mark.parametrize(
    ("segments", "extra", "said"),
    [
        ("[carier]", "", "watch.segments[0]: 'carier' is no feature"),
        ("[carrier, carrier]", "", "watch.segments[1]: 'carrier' is there twice"),
        ("[distance]", "", "'distance' is a number"),
        ("[who]", "    who: {type: category, tags: [pii]}\n", "are shown to nobody (tag pii)"),
        (
            "[city]",
            f"    city: {{type: category, known: [{', '.join(f'c{i}' for i in range(65))}]}}\n",
            "'city' has 65 names, 64 are watched at most",
        ),
        (
            f"[{', '.join(f'f{i}' for i in range(9))}]",
            "".join(f"    f{i}: {{type: boolean}}\n" for i in range(9)),
            "watch.segments: 9 features, 8 allowed",
        ),
    ],
)
def test_what_cannot_be_watched_is_refused_by_name(segments: str, extra: str, said: str) -> None:
    with pytest.raises(BadModelFile) as error:
        checked(segments, extra)
    assert said in error.value.message
    assert error.value.hint

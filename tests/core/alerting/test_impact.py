"""A tenant is hit where a share of its rows is above its own usual, by more than chance."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from windvane.core.alerting.impact import (
    Harm,
    TenantCounts,
    counted_words,
    find_hits,
    impact_evidence,
    quality_words,
    read_hits,
    whom_lines,
)

COUNTS = st.builds(
    lambda rows, failed, fell: TenantCounts(rows, rows, min(failed, rows), min(fell, rows)),
    st.integers(0, 500), st.integers(0, 500), st.integers(0, 500),
)  # fmt: skip


def evidence(now: dict[str, TenantCounts], usual: dict[str, TenantCounts], **about: object):
    return impact_evidence(now, usual, span=(60.0, 120.0), usual_span=(0.0, 60.0), **about)  # type: ignore[arg-type]


def test_each_is_held_against_its_own_usual() -> None:
    usual = {"bad": TenantCounts(1_000, 900, failed=200), "good": TenantCounts(1_000, 900)}
    now = {"bad": TenantCounts(100, 90, failed=21), "good": TenantCounts(100, 90, failed=21)}
    (hit,) = find_hits(now, usual, [Harm.FAILED])
    assert (hit.tenant, hit.now.part, hit.usual.value) == ("good", 21, 0.0)


def test_one_row_of_two_is_chance() -> None:
    usual = {"a": TenantCounts(1_000, 1_000, failed=100)}
    assert find_hits({"a": TenantCounts(2, 2, failed=1)}, usual, [Harm.FAILED]) == []


def test_nulls_are_harm_only_where_nulls_changed() -> None:
    now = {"c": TenantCounts(68, 60, looked_at=68, nulls=66)}
    usual = {"c": TenantCounts(680, 600, looked_at=680, nulls=7)}
    nulls = evidence(now, usual, feature="temp", kinds=["nulls"])
    assert whom_lines(nulls) == [
        "tenant c: temp missing in 66 of 68 rows (97.1%, usually 1.0%)"
    ]  # fmt: skip
    values = evidence(now, usual, feature="temp", kinds=["values"])
    assert whom_lines(values) == ["tenant c (68 rows): all of their rows, for values changed"]
    assert counted_words(values) == "68 rows in 60 requests"


def test_many_are_summed_up_and_bounded() -> None:
    now = {f"t{n:03}": TenantCounts(100, 100, failed=99) for n in range(250)}
    found = evidence(now, {})
    assert (len(found["hits"]), len(found["tenants"]), found["all_tenants"]) == (100, 100, 250)
    lines = whom_lines(found)
    assert len(lines) == 4
    assert "usually not known" in lines[0]
    assert lines[-1] == "and 97 more tenants"


def test_only_one_tenant_is_counted_where_it_is_its_own() -> None:
    now = {"a": TenantCounts(10, 10), "b": TenantCounts(90, 90)}
    assert evidence(now, {}, only="a")["rows"] == 10


def test_an_estimate_never_reads_as_measured() -> None:
    held = {"metric": "auc", "value": 0.61, "lower": 0.58, "upper": 0.64, "rows": 2_000,
            "floor": 0.6, "estimated": True}  # fmt: skip
    assert quality_words(held) == (
        "auc 0.61 (0.58 to 0.64), an estimate from the answers, until outcomes come, floor 0.6"
    )
    measured = quality_words({**held, "estimated": False, "before": True})
    assert measured == (
        "auc 0.61 (0.58 to 0.64), by 2,000 outcomes, floor 0.6, of the time before it began"
    )
    assert quality_words({}) == ""


@given(
    st.dictionaries(st.sampled_from("abcd"), COUNTS),
    st.dictionaries(st.sampled_from("abcd"), COUNTS),
)
def test_what_is_written_is_read_back_and_can_be_told(
    now: dict[str, TenantCounts], usual: dict[str, TenantCounts]
) -> None:
    found = evidence(now, usual)
    assert read_hits(found) == find_hits(now, usual, [Harm.FAILED, Harm.FELL_BACK])
    assert all("\n" not in line for line in whom_lines(found))
    for hit in read_hits(found):
        assert hit.now.value is not None
        assert hit.now.value > (hit.usual.value or 0.0)

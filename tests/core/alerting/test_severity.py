"""Whom it wakes follows from the harm and from how much the model matters."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.alerting import (
    CANARY,
    GRADES,
    CauseGroup,
    CauseKind,
    Severity,
    Tier,
    choose_severity,
    gravest,
    is_unusual,
)

LOW, MEDIUM, HIGH = Severity
TIERS = st.sampled_from(Tier)
KINDS = st.sampled_from([CauseKind(group.value, group, "x.md") for group in CauseGroup])


def kind(group: CauseGroup) -> CauseKind:
    return CauseKind(group.value, group, "x.md")


def test_every_group_has_a_grade_for_every_tier() -> None:
    assert GRADES.keys() == {*CauseGroup, None}
    assert all(set(row) == set(Tier) for row in GRADES.values())


@pytest.mark.parametrize(
    ("group", "critical", "standard", "low"),
    [
        (CauseGroup.BROKEN_INPUT, HIGH, MEDIUM, LOW),
        (CauseGroup.FAILING, HIGH, HIGH, MEDIUM),
        (CauseGroup.QUALITY, HIGH, HIGH, MEDIUM),
        (CauseGroup.SLO, HIGH, HIGH, MEDIUM),
        (CauseGroup.ABSENCE, MEDIUM, MEDIUM, LOW),
        (CauseGroup.TENANT, MEDIUM, MEDIUM, LOW),
        (CauseGroup.DRIFT, LOW, LOW, LOW),
    ],
)
def test_the_table(group: CauseGroup, critical: str, standard: str, low: str) -> None:
    found = [choose_severity(kind(group), tier) for tier in Tier]
    assert found == [critical, standard, low]


@pytest.mark.parametrize("measured", [None, *Severity])
def test_only_harm_pages(measured: Severity | None) -> None:
    """Drift and a rolled back canary never do, a broken input only of a critical model."""
    for tier in Tier:
        assert choose_severity(kind(CauseGroup.DRIFT), tier, measured) is not HIGH
        assert choose_severity(CANARY, tier, measured) is not HIGH
    for tier in (Tier.STANDARD, Tier.LOW):
        for group in (CauseGroup.BROKEN_INPUT, CauseGroup.ABSENCE, CauseGroup.TENANT):
            assert choose_severity(kind(group), tier, measured) is not HIGH


def test_a_monitor_that_measured_the_harm_knows_better() -> None:
    feed, drift = kind(CauseGroup.BROKEN_INPUT), kind(CauseGroup.DRIFT)
    assert choose_severity(feed, Tier.CRITICAL, MEDIUM) is MEDIUM, "half a standard deviation"
    assert choose_severity(kind(CauseGroup.ABSENCE), Tier.CRITICAL, HIGH) is HIGH
    assert is_unusual(drift, Tier.CRITICAL, MEDIUM), (
        "told in office hours though nobody is hurt yet"
    )
    assert not is_unusual(drift, Tier.LOW, MEDIUM)
    assert not is_unusual(feed, Tier.CRITICAL, HIGH)


@given(KINDS, st.sampled_from([None, *Severity]))
def test_what_matters_more_is_never_less_grave(cause: CauseKind, measured: Severity | None) -> None:
    found = [choose_severity(cause, tier, measured).rank for tier in Tier]
    assert all(more >= less for more, less in itertools.pairwise(found))


@given(KINDS, TIERS, st.sampled_from(Severity), st.sampled_from(Severity))
def test_more_harm_is_never_less_grave(
    cause: CauseKind, tier: Tier, one: Severity, other: Severity
) -> None:
    less, more = sorted((one, other), key=lambda severity: severity.rank)
    assert choose_severity(cause, tier, less).rank <= choose_severity(cause, tier, more).rank


def test_the_gravest() -> None:
    assert gravest([]) is LOW
    assert gravest([MEDIUM, HIGH, LOW]) is HIGH

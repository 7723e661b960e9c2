"""What people found alerts to be: how often a monitor was right, and when to let it go."""

from __future__ import annotations

import random

import pytest

from windvane.core.alerting.grading import (
    Alert,
    IncidentGrade,
    RetirementPolicy,
    measure_precision,
)

DAY = 86_400.0
NOW = 1_000 * DAY
TRUE, HARMLESS, FALSE = IncidentGrade.TRUE, IncidentGrade.HARMLESS, IncidentGrade.FALSE
POLICY = RetirementPolicy()


def alerts(
    *grades: IncidentGrade | None, monitor: str = "slo", days_ago: float = 10.0
) -> list[Alert]:
    return [
        Alert(f"i{n}", "late", (monitor,), NOW - days_ago * DAY, grade)
        for n, grade in enumerate(grades)
    ]


def test_precision_is_of_those_that_somebody_graded() -> None:
    (one,) = measure_precision(alerts(TRUE, TRUE, TRUE, HARMLESS, FALSE, None, None), POLICY, NOW)
    assert (one.alerts, one.graded, one.true, one.harmless, one.false) == (7, 5, 3, 1, 1)
    assert one.precision == pytest.approx(0.6)
    # Clopper and Pearson for 3 of 5, as tables have it.
    assert (one.lower, one.upper) == (
        pytest.approx(0.1466, abs=5e-5),
        pytest.approx(0.9473, abs=5e-5),
    )
    (none,) = measure_precision(alerts(None), POLICY, NOW)
    assert (none.precision, none.lower, none.upper, none.retire) == (None, 0.0, 1.0, "")


def test_what_several_monitors_found_counts_for_each() -> None:
    both = Alert("i", "late", ("slo", "errors"), NOW, TRUE)
    found = measure_precision([both, *alerts(FALSE)], POLICY, NOW)
    assert [(one.monitor, one.true, one.graded) for one in found] == [
        ("errors", 1, 1), ("slo", 1, 2),
    ]  # fmt: skip


def test_retirement_is_proposed_only_where_even_the_upper_bound_is_too_low() -> None:
    five, six = (measure_precision(alerts(*[FALSE] * n), POLICY, NOW)[0] for n in (5, 6))
    assert five.upper > 0.5
    assert five.retire == ""
    assert six.upper < 0.5
    assert six.retire == "0 of 6 were true: at most 46%, 50% are wanted"
    (good,) = measure_precision(alerts(*[TRUE] * 6, FALSE), POLICY, NOW)
    assert good.retire == ""


def test_a_monitor_that_is_right_half_of_the_time_is_seldom_proposed() -> None:
    """The bound is the 97.5% one: of fair coins about one in forty is proposed, at most."""
    dice = random.Random(7)
    proposed = sum(
        bool(
            measure_precision(
                alerts(*(TRUE if dice.random() < 0.5 else FALSE for _ in range(30))), POLICY, NOW
            )[0].retire
        )
        for _ in range(2_000)
    )
    assert proposed <= 2_000 * 0.025 * 1.4


@pytest.mark.parametrize(
    ("answered", "proposed"),
    [({}, True), ({"acknowledged": True}, False), ({"acted": True}, False),
     ({"grade": TRUE}, False), ({"grade": FALSE, "acknowledged": True}, True)],
)  # fmt: skip
def test_alerts_that_led_to_nothing_for_90_days(
    answered: dict[str, object], proposed: bool
) -> None:
    old = alerts(TRUE, days_ago=120.0)
    recent = [Alert(f"r{n}", "late", ("slo",), NOW - 80 * DAY, **answered) for n in range(2)]  # type: ignore[arg-type]
    (one,) = measure_precision([*old, *recent], POLICY, NOW)
    assert bool(one.retire) is proposed
    if proposed:
        assert one.retire == "none of its 2 alerts of the last 90 days led to anything"
    (young,) = measure_precision(recent, POLICY, NOW)
    assert young.retire == "", "it has not been watched for 90 days"
    (quiet,) = measure_precision(old, POLICY, NOW)
    assert quiet.retire == "", "silence is no alarm that led to nothing"

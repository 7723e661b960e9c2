"""Whom it wakes and when: at once and on to the next, in office hours, or once it is overdue."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from windvane.core.alerting import Severity
from windvane.core.alerting.delivery import (
    Delivery,
    DeliveryFacts,
    DeliveryPolicy,
    Route,
    Step,
    choose_channels,
    plan_delivery,
)

POLICY = DeliveryPolicy()
PAGE = DeliveryFacts(Severity.HIGH, 3, began=0.0, office_opens=0.0)
DAY = 86_400.0


def plan(facts: DeliveryFacts, now: float) -> Delivery:
    return plan_delivery(facts, POLICY, now)


def test_a_page_that_nobody_answers_goes_on_after_5_then_10_minutes() -> None:
    assert plan(PAGE, 0.0) == Delivery(Step.TELL)
    first = replace(PAGE, told=1, told_at=0.0, reached=1)
    assert plan(first, 299.0) == Delivery(Step.WAIT, at=300.0)
    assert plan(first, 300.0) == Delivery(Step.TELL, 1)
    second = replace(PAGE, told=2, told_at=300.0, reached=2)
    assert plan(second, 300.0) == Delivery(Step.WAIT, at=900.0)
    assert plan(second, 900.0) == Delivery(Step.TELL, 2)
    passed = replace(second, reached=1)
    assert plan(passed, 600.0) == Delivery(Step.TELL, 2), "who was not reached did not wait"
    assert plan(replace(PAGE, told=3, told_at=900.0), 1e9) == Delivery(Step.DONE)


def test_who_answers_ends_it_and_so_does_the_end() -> None:
    first = replace(PAGE, told=1)
    assert plan(replace(first, acknowledged=True), 300.0).step is Step.DONE
    assert plan(replace(first, is_open=False), 300.0).step is Step.DONE
    assert plan(replace(PAGE, is_open=False), 0.0).step is Step.TELL, "nobody has heard of it"


def test_what_is_no_page_waits_for_the_office() -> None:
    night = replace(PAGE, severity=Severity.MEDIUM, office_opens=3_600.0)
    assert plan(night, 0.0) == Delivery(Step.WAIT, at=3_600.0)
    assert plan(night, 3_600.0) == Delivery(Step.TELL)
    over = replace(night, is_open=False, waited=True)
    assert plan(over, 3_600.0).step is Step.DONE, "it ended before anybody was there"
    assert plan(replace(night, severity=Severity.HIGH), 0.0).step is Step.TELL


def test_it_is_due_within_a_day_and_rises_once() -> None:
    told = replace(PAGE, severity=Severity.MEDIUM, told=1)
    assert plan(told, DAY - 1.0) == Delivery(Step.WAIT, at=DAY)
    assert plan(told, DAY) == Delivery(Step.RAISE)
    assert plan(replace(told, overdue=True), DAY).step is Step.DONE
    assert plan(replace(told, acknowledged=True), DAY).step is Step.DONE
    assert plan(replace(told, severity=Severity.LOW), 10 * DAY).step is Step.DONE


FACTS = st.builds(
    DeliveryFacts, st.sampled_from(Severity), st.integers(1, 5), st.floats(0, 1e6),
    st.floats(0, 1e6), st.integers(0, 5), st.floats(0, 1e6), st.integers(0, 5), st.booleans(),
    st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip


@given(FACTS, st.floats(0, 2e6))
def test_what_waits_waits_for_a_later_time_and_tells_a_channel_that_is_there(
    facts: DeliveryFacts, now: float
) -> None:
    found = plan(facts, now)
    if found.step is Step.WAIT:
        assert found.at > now
    if found.step is Step.TELL:
        assert 0 <= found.channel < facts.channels


def test_a_route_of_ones_own_goes_before_everybodys() -> None:
    routes = [
        Route(Severity.HIGH, ("pager",)), Route(Severity.HIGH, ("ops-pager", "chat"), "ops"),
        Route(Severity.MEDIUM, ("mail",), "ops"),
    ]  # fmt: skip
    assert choose_channels(routes, Severity.HIGH, "ops") == ("ops-pager", "chat")
    assert choose_channels(routes, Severity.HIGH, "sales") == ("pager",)
    assert choose_channels(routes, Severity.MEDIUM, "sales") == ("notify",)
    assert choose_channels([], Severity.LOW, "") == ("notify",)

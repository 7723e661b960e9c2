"""An incident is told by its route, in its time, until somebody answers; and what a channel did
not take falls to the next, on record."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from usecases.harness import FILE, MODEL, Harness
from usecases.test_deliver_effects import decide, deliver_by, waiting
from usecases.timeline import FAILING, GARBAGE, QUIET, play

from windvane.core.alerting import Severity
from windvane.core.alerting.delivery import DEFAULT, Route
from windvane.core.journal import Effect
from windvane.ports.control_store import Incident
from windvane.ports.notifier import Happening, Message
from windvane.usecases.actions import About
from windvane.usecases.monitors.base import moment
from windvane.usecases.notify_people import Outlets
from windvane.usecases.office_hours import make_office_hours
from windvane.usecases.publish_routing import NOTIFY

DAY = 86_400.0


@dataclass
class Heard:
    """A channel that remembers, and that may be down."""

    follows: bool = False
    down: bool = False
    messages: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> None:
        if self.down:
            raise ConnectionError("the other side hung up")
        if message.key not in {m.key for m in self.messages}:
            self.messages.append(message)

    @property
    def titles(self) -> list[str]:
        return [m.title for m in self.messages if m.happening is Happening.OPENED]

    @property
    def happened(self) -> list[str]:
        return [m.happening.value for m in self.messages]


@dataclass
class Desk:
    """Two pagers and mail: pages to all three in this order, the rest by mail."""

    harness: Harness
    pager: Heard = field(default_factory=lambda: Heard(follows=True))
    second: Heard = field(default_factory=Heard)
    mail: Heard = field(default_factory=Heard)
    otherwise: Heard = field(default_factory=Heard)
    office: bool = False

    @property
    def outlets(self) -> Outlets:
        hours = make_office_hours(["mon"], "09:00", "17:00", "UTC") if self.office else None
        channels = {"pager": self.pager, "second": self.second, "mail": self.mail,
                    DEFAULT: self.otherwise}  # fmt: skip
        routes = [Route(Severity.HIGH, ("pager", "second", "mail")),
                  Route(Severity.MEDIUM, ("mail",))]  # fmt: skip
        return Outlets(channels, routes, hours, console_url="https://vane.example.org/")

    def after(self, seconds: float) -> int:
        self.harness.clock.wall_at += seconds
        return deliver_by(self.harness, self.outlets)

    @property
    def incident(self) -> Incident:
        return self.harness.incidents()[0]

    @property
    def timeline(self) -> list[str]:
        return self.harness.timeline(self.incident)


@pytest.fixture
def desk(harness: Harness) -> Desk:
    return Desk(harness)


def fail(harness: Harness) -> None:
    """Every answer is an error: a page."""
    play(harness, [QUIET] * 3 + [FAILING] * 4)
    assert harness.incidents()[0].severity == "high"


def refuse(harness: Harness) -> None:
    """A tenant is refused: for office hours."""
    play(harness, [QUIET] * 3 + [GARBAGE] * 3)
    assert harness.incidents()[0].severity == "medium"


def test_a_page_goes_on_until_somebody_answers(desk: Desk) -> None:
    fail(desk.harness)
    desk.after(0.0)
    assert (desk.pager.titles, desk.second.titles) == ([f"[high] {MODEL}"], [])
    desk.after(299.0)
    assert desk.second.titles == []
    desk.after(2.0)
    assert desk.second.titles == [f"[high] {MODEL}"]
    assert "not acknowledged for 5m: told by second too" in desk.timeline
    desk.after(598.0)
    assert desk.mail.titles == []
    desk.after(4.0)
    assert desk.mail.titles == [f"[high] {MODEL}"]
    desk.after(DAY)
    assert [len(one.titles) for one in (desk.pager, desk.second, desk.mail)] == [1, 1, 1]
    assert waiting(desk.harness) == []


def test_who_acknowledges_is_the_last_to_be_told(desk: Desk) -> None:
    fail(desk.harness)
    desk.after(0.0)
    desk.harness.act("acknowledge", About.INCIDENT, incident=desk.incident.id)
    desk.after(400.0)
    assert desk.second.titles == []
    assert desk.pager.happened == ["opened", "acknowledged"]
    assert {m.incident for m in desk.pager.messages} == {desk.incident.id}


def test_what_is_not_delivered_falls_to_the_next_channel_on_record(desk: Desk) -> None:
    desk.pager.down = True
    fail(desk.harness)
    desk.after(0.0)
    assert desk.second.titles == [f"[high] {MODEL}"]
    assert "pager did not take the notification: it falls to second" in desk.timeline
    desk.after(301.0)
    assert desk.mail.titles == [f"[high] {MODEL}"], "the wait of who was reached"


def test_what_no_channel_takes_is_tried_again_and_said_once(desk: Desk) -> None:
    desk.pager.down = desk.second.down = desk.mail.down = True
    fail(desk.harness)
    for _ in range(5):
        desk.after(400.0)
    lines = [line for line in desk.timeline if "did not take" in line]
    assert len(lines) == 3
    assert lines[-1] == "mail did not take the notification: it is tried again"
    desk.pager.down = False
    desk.after(400.0)
    assert desk.pager.titles == [f"[high] {MODEL}"]


def test_what_is_no_page_waits_for_the_office(desk: Desk) -> None:
    desk.office = True
    refuse(desk.harness)
    desk.after(0.0)  # a Thursday, by the wall clock
    assert (desk.mail.titles, desk.pager.titles) == ([], [])
    desk.after(4 * DAY + 9 * 3_600.0)
    assert desk.mail.titles == [f"[medium] {MODEL}"]


def test_what_nobody_answers_within_a_day_becomes_a_page_once(desk: Desk) -> None:
    refuse(desk.harness)
    desk.after(0.0)
    desk.after(DAY - 1.0)
    assert (desk.incident.severity, desk.pager.titles) == ("medium", [])
    desk.after(2.0)
    assert desk.incident.severity == "high"
    assert desk.pager.titles == [f"[high] {MODEL}"]
    assert "overdue" in desk.pager.messages[0].body
    for _ in range(4):
        desk.after(DAY)
    assert len(desk.pager.titles) == 1
    assert sum("of high severity now" in line for line in desk.timeline) == 1
    assert waiting(desk.harness) == []


def closed_while_down(desk: Desk) -> str:
    """Every receiver is down when a page is due, and until it is over; when it ended."""
    desk.pager.down = desk.second.down = desk.mail.down = True
    fail(desk.harness)
    desk.after(0.0)
    desk.harness.act("close", About.INCIDENT, incident=desk.incident.id)
    desk.pager.down = desk.second.down = desk.mail.down = False
    assert desk.incident.closed_at is not None
    return moment(desk.incident.closed_at)


def test_a_page_that_ended_before_it_could_be_told_pages_nobody_who_follows(desk: Desk) -> None:
    """It is told as over, once, or it would be open for ever where half of it had arrived."""
    closed_while_down(desk)
    desk.after(1_000.0)
    assert desk.pager.happened == ["resolved"]
    desk.after(DAY)
    assert [len(one.messages) for one in (desk.pager, desk.second, desk.mail)] == [1, 0, 0]
    assert waiting(desk.harness) == []


def test_a_late_message_of_an_incident_that_is_over_says_so_first_and_is_no_page(
    desk: Desk,
) -> None:
    closed = closed_while_down(desk)
    desk.pager.down = True
    desk.after(1_000.0)
    (message,) = desk.second.messages
    assert (message.title, message.severity) == (f"[closed] {MODEL}", "low")
    assert message.body.splitlines()[0] == f"closed since {closed}"
    assert desk.incident.title in message.body
    desk.after(DAY)
    assert [len(one.messages) for one in (desk.second, desk.mail)] == [1, 0]


def test_that_it_was_acknowledged_is_no_news_of_an_incident_that_is_over(desk: Desk) -> None:
    fail(desk.harness)
    desk.after(0.0)
    desk.pager.down = True
    desk.harness.act("acknowledge", About.INCIDENT, incident=desk.incident.id)
    desk.after(0.0)
    desk.harness.act("close", About.INCIDENT, incident=desk.incident.id)
    desk.pager.down = False
    desk.after(1_000.0)
    assert desk.pager.happened == ["opened", "resolved"]


def test_notifications_of_one_incident_that_wait_together_are_told_once(desk: Desk) -> None:
    """It became graver while nobody could be told."""
    desk.pager.down = desk.second.down = desk.mail.down = True
    refuse(desk.harness)
    desk.after(0.0)
    held = desk.incident
    about = {"incident": held.id, "model": MODEL, "cause": held.cause, "team": "ops"}
    desk.harness.clock.at += 60.0
    graver = {**about, "title": f"[high] {MODEL}", "body": "worse", "severity": "high"}
    decide(desk.harness, "a-later-decision", Effect(NOTIFY, graver))
    desk.pager.down = desk.second.down = desk.mail.down = False
    desk.after(1_000.0)
    assert desk.pager.titles == [f"[high] {MODEL}"]
    assert desk.mail.titles == []


def test_what_ends_is_told_to_who_follows_it(desk: Desk) -> None:
    fail(desk.harness)
    desk.after(0.0)
    play(desk.harness, [QUIET] * 8, first=7)
    assert desk.incident.closed_at is not None
    desk.after(1.0)
    assert desk.pager.happened == ["opened", "resolved"]
    assert desk.second.happened == []
    desk.after(DAY)
    assert desk.second.happened == []


def test_a_message_has_the_link_and_what_it_is_about(desk: Desk) -> None:
    fail(desk.harness)
    desk.after(0.0)
    (message,) = desk.pager.messages
    assert message.link == f"https://vane.example.org/incidents/{desk.incident.id}"
    assert message.labels["model"] == MODEL
    assert (message.labels["kind"], message.labels["team"]) == ("errors", "ops")


def test_a_teams_own_route_is_taken(harness: Harness) -> None:
    assert "team: ops" in FILE
    desk = Desk(harness)
    own = Heard()
    outlets = desk.outlets
    routes = [*outlets.routes, Route(Severity.HIGH, ("own",), "ops")]
    fail(harness)
    deliver_by(harness, Outlets({**outlets.channels, "own": own}, routes))
    assert own.titles == [f"[high] {MODEL}"]
    assert desk.pager.titles == []


def test_a_silenced_page_does_not_go_on(desk: Desk) -> None:
    fail(desk.harness)
    desk.after(0.0)
    desk.harness.act("silence", lasts_s=3_600.0)
    desk.after(400.0)
    assert desk.second.titles == []
    desk.after(3_700.0)
    assert desk.second.titles == [f"[high] {MODEL}"]


def both(harness: Harness, failed: int) -> None:
    """A model that fails, and in the same windows a tenant that is refused."""
    play(harness, [QUIET] * 3 + [{**GARBAGE, "failed": failed}] * 4)
    assert sorted(i.kind for i in harness.incidents()) == ["errors", "tenant"]


def test_what_a_model_that_answers_nothing_explains_is_muted_on_record(desk: Desk) -> None:
    both(desk.harness, failed=60)
    desk.after(0.0)
    assert desk.pager.titles == [f"[high] {MODEL}"]
    for _ in range(3):
        desk.after(61.0)
    assert desk.mail.titles == []
    child = next(i for i in desk.harness.incidents() if i.kind == "tenant")
    (line,) = [one for one in desk.harness.timeline(child) if "muted" in one]
    parent = next(i for i in desk.harness.incidents() if i.kind == "errors")
    assert line == f"muted while {parent.id} is open: the model answers nothing"


def test_it_is_told_if_it_goes_on_when_what_explained_it_is_over(desk: Desk) -> None:
    both(desk.harness, failed=60)
    desk.after(0.0)
    parent = next(i for i in desk.harness.incidents() if i.kind == "errors")
    desk.harness.act("close", About.INCIDENT, incident=parent.id)
    desk.after(61.0)
    assert desk.mail.titles == [f"[medium] {MODEL}"]


def test_it_is_not_told_if_it_ended_with_what_explained_it(desk: Desk) -> None:
    both(desk.harness, failed=60)
    desk.after(0.0)
    for incident in desk.harness.incidents():
        desk.harness.act("close", About.INCIDENT, incident=incident.id)
    desk.after(301.0)
    assert desk.mail.titles == []
    assert waiting(desk.harness) == []


def test_a_model_that_fails_in_part_explains_nothing(desk: Desk) -> None:
    both(desk.harness, failed=30)
    desk.after(0.0)
    assert desk.mail.titles == [f"[medium] {MODEL}"]


def test_who_follows_hears_no_end_of_what_it_never_heard_of(desk: Desk) -> None:
    """A resolution of what was never triggered is an alert of its own in some services."""
    refuse(desk.harness)
    desk.after(0.0)
    assert desk.mail.titles == [f"[medium] {MODEL}"]
    desk.harness.act("close", About.INCIDENT, incident=desk.incident.id)
    desk.after(61.0)
    assert desk.pager.messages == []


def test_what_was_over_before_anybody_was_told_goes_to_who_reads(desk: Desk) -> None:
    fail(desk.harness)
    desk.harness.act("close", About.INCIDENT, incident=desk.incident.id)
    desk.after(0.0)
    assert desk.pager.messages == []
    assert desk.second.titles == [f"[closed] {MODEL}"]


def test_an_incident_of_an_earlier_release_is_ended_everywhere(desk: Desk) -> None:
    fail(desk.harness)
    desk.after(0.0)
    with desk.harness.store.begin() as tx:
        tx.put_incident(replace(desk.incident, told_by=None))
    desk.harness.act("close", About.INCIDENT, incident=desk.incident.id)
    desk.after(0.0)
    assert desk.pager.happened == ["opened", "resolved"]

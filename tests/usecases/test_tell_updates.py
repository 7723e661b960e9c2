"""Open incidents want updates: posted ones are on record and told, overdue ones told once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from usecases.harness import MODEL, Harness
from usecases.test_notify_people import Desk, fail
from usecases.timeline import FAILING, play

from windvane.core.alerting.updates import UpdatePolicy
from windvane.ports.notifier import Happening, Message
from windvane.usecases.actions import About, BadAnswer
from windvane.usecases.actions.post_update import CannotUpdate
from windvane.usecases.draft_update import UpdateDraft, write_draft
from windvane.usecases.tell_updates import next_update, queue_reminders

POLICY = UpdatePolicy()


@pytest.fixture
def desk(harness: Harness) -> Desk:
    return Desk(harness)


def told(desk: Desk) -> list[Message]:
    heard = (desk.pager, desk.second, desk.mail, desk.otherwise)
    return [m for one in heard for m in one.messages if m.happening is Happening.UPDATED]


def draft(desk: Desk) -> UpdateDraft:
    with desk.harness.store.read() as tx:
        return write_draft(tx, desk.incident.id, desk.harness.clock.now())


def post(desk: Desk, text: str) -> None:
    answers = {"text": text}
    desk.harness.act("update", About.INCIDENT, incident=desk.incident.id, answers=answers)


def remind(desk: Desk) -> int:
    return queue_reminders(desk.harness.store, desk.harness.clock, POLICY)


def test_the_first_is_due_after_people_were_told(desk: Desk) -> None:
    fail(desk.harness)
    assert next_update(desk.incident, POLICY) is None, "nobody knows of it yet"
    assert remind(desk) == 0
    desk.after(5.0)
    assert next_update(desk.incident, POLICY) == desk.harness.clock.wall_at + 900.0


def test_one_that_is_overdue_is_told_once_to_the_owner(desk: Desk) -> None:
    fail(desk.harness)
    desk.after(0.0)
    desk.after(899.0)
    assert remind(desk) == 0
    desk.harness.clock.wall_at += 2.0
    assert [remind(desk), remind(desk)] == [1, 0]
    desk.after(0.0)
    desk.after(5_000.0)
    assert remind(desk) == 0
    (one,) = told(desk)
    assert one.title == f"[update overdue] {MODEL}"
    assert "one is wanted each 15m" in one.body
    assert one in desk.second.messages, "the first of the route that is for reading"


def test_a_posted_one_is_on_record_and_goes_to_who_reads(desk: Desk) -> None:
    fail(desk.harness)
    desk.after(0.0)
    desk.harness.clock.wall_at += 1_000.0
    post(desk, "we roll back\n\nno ETA yet")
    assert desk.timeline[-3:] == ["update 1 by user:ana:", "we roll back", "no ETA yet"]
    held = desk.incident
    assert (held.updates, held.update_since) == (1, desk.harness.clock.wall_at)
    assert remind(desk) == 0, "it was late, and is there now"
    desk.after(0.0)
    assert [m.title for m in told(desk)] == [f"[update 1] {MODEL}"] * 2
    assert told(desk)[0].body.endswith("no ETA yet\nnext update: within 15m")
    assert desk.pager.happened.count("opened") == 1, "nobody is paged"


def test_what_the_last_one_said_is_nothing_that_was_done(desk: Desk) -> None:
    fail(desk.harness)
    desk.after(0.0)
    post(desk, "we restarted the loader\nit will be fine by ten")
    assert "loader" not in draft(desk).text
    assert "by ten" not in draft(desk).text


def test_one_of_too_many_lines_is_refused_and_not_cut(desk: Desk) -> None:
    fail(desk.harness)
    with pytest.raises(CannotUpdate, match="the update has 41 lines, 40 allowed"):
        post(desk, "\n".join(["line"] * 41))


def test_a_channel_that_is_down_keeps_no_other_from_hearing_it(desk: Desk) -> None:
    fail(desk.harness)
    desk.after(0.0)
    desk.second.down = True
    post(desk, "still broken")
    desk.after(0.0)
    assert [m.title for m in told(desk)] == [f"[update 1] {MODEL}"]
    desk.second.down = False
    desk.after(400.0)
    assert len(told(desk)) == 2


def test_the_draft_compares_with_the_last_update(desk: Desk) -> None:
    fail(desk.harness)
    desk.after(0.0)
    assert draft(desk).text.startswith(f"update 1 on {MODEL} (high)")
    assert "changed: " not in draft(desk).text
    post(desk, draft(desk).text)
    play(desk.harness, [{**FAILING, "failed": 20}] * 4, first=7)
    lines = draft(desk).text.splitlines()
    (changed,) = [line for line in lines if line.startswith("changed: failed ")]
    assert "points (-" in changed
    assert "times (0." in changed
    assert not any("by user:ana" in line for line in lines), "updates are not done things"


def test_a_broken_feed_says_when_it_closes_at_the_earliest(desk: Desk) -> None:
    desk.harness.put("1")
    play(desk.harness, [{}] * 12 + [{"nulls": 0.9}] * 6)
    feed = next(i for i in desk.harness.incidents() if i.kind == "feed")
    with desk.harness.store.read() as tx:
        text = write_draft(tx, feed.id, desk.harness.clock.now()).text
    assert "next: closes after 3 calm windows in a row at the earliest, 3m" in text


def test_what_is_silenced_or_over_is_not_overdue(desk: Desk) -> None:
    fail(desk.harness)
    desk.after(0.0)
    desk.harness.clock.wall_at += 1_000.0
    desk.harness.act("silence", About.MODEL, lasts_s=3_600.0)
    assert remind(desk) == 0
    desk.harness.act("lift-silence", About.MODEL)
    with desk.harness.store.begin() as tx:
        tx.put_incident(replace(desk.incident, closed_at=1.0))
    assert remind(desk) == 0
    with pytest.raises(CannotUpdate):
        post(desk, "x")


def test_a_reminder_that_comes_after_the_update_is_not_told(desk: Desk) -> None:
    fail(desk.harness)
    desk.after(0.0)
    desk.harness.clock.wall_at += 1_000.0
    assert remind(desk) == 1
    post(desk, "here it is")
    desk.after(0.0)
    assert {m.title for m in told(desk)} == {f"[update 1] {MODEL}"}


def test_an_update_without_words_is_refused(desk: Desk) -> None:
    fail(desk.harness)
    for text in ("", "  \n ", "x" * 4_001):
        with pytest.raises(BadAnswer, match="text"):
            post(desk, text)

"""Acknowledging, silencing and closing: who is on it, who is told, and when."""

from __future__ import annotations

import pytest
from usecases.harness import MODEL, Harness
from usecases.test_deliver_effects import RecordingNotifier, deliver

from windvane.ports.control_store import Incident
from windvane.usecases.actions import About
from windvane.usecases.actions.accept_change import CannotAccept
from windvane.usecases.actions.acknowledge import CannotAcknowledge
from windvane.usecases.actions.close_incident import CannotClose
from windvane.usecases.actions.silence import CannotSilence


def refuse(harness: Harness, index: int = 12) -> Incident:
    """A tenant whose requests are refused: an incident of medium severity."""
    harness.traffic(index, refused={"AA": 90})
    harness.judge()
    return next(i for i in harness.incidents() if i.closed_at is None)


def test_who_acknowledges_is_on_it(learnt: Harness) -> None:
    incident = refuse(learnt)
    learnt.act("acknowledge", About.INCIDENT, incident=incident.id, reason="looking at AA")
    (held,) = learnt.incidents()
    assert (held.acknowledged_by, held.acknowledged_at) == ("user:ana", learnt.clock.at)
    assert learnt.timeline(held)[-1] == "user:ana is on it: looking at AA"
    with pytest.raises(CannotAcknowledge, match="user:ana is on incident"):
        learnt.act("acknowledge", About.INCIDENT, incident=incident.id)
    learnt.act("acknowledge", About.INCIDENT, incident=incident.id, by="user:bo")
    assert learnt.incidents()[0].acknowledged_by == "user:bo"
    learnt.act("close", About.INCIDENT, incident=incident.id)
    with pytest.raises(CannotAcknowledge, match="is closed"):
        learnt.act("acknowledge", About.INCIDENT, incident=incident.id)


def test_a_closed_incident_is_closed_once_and_opens_again_if_it_lasts(learnt: Harness) -> None:
    incident = refuse(learnt)
    learnt.act("close", About.INCIDENT, incident=incident.id, reason="a test of theirs")
    (held,) = learnt.incidents()
    assert held.closed_at == learnt.clock.at
    assert learnt.timeline(held)[-1] == "closed by hand: a test of theirs"
    with pytest.raises(CannotClose, match="closed already"):
        learnt.act("close", About.INCIDENT, incident=incident.id)
    assert refuse(learnt, 13).id != incident.id


def test_a_broken_feed_cannot_be_closed_by_hand(learnt: Harness) -> None:
    for index in range(12, 16):
        learnt.traffic(index, nulls=1.0)
        learnt.judge()
    incident = next(i for i in learnt.incidents() if i.kind == "feed")
    with pytest.raises(CannotClose, match="is a broken source"):
        learnt.act("close", About.INCIDENT, incident=incident.id)


def test_a_change_that_is_to_stay_is_accepted_and_the_champion_answers_again(
    learnt: Harness,
) -> None:
    for index in range(12, 18):
        learnt.traffic(index, nulls=0.9)
        learnt.judge()
    incident = next(i for i in learnt.incidents() if i.kind == "feed")
    assert learnt.live.standing_in == "2"
    learnt.act("accept", About.INCIDENT, incident=incident.id, reason="the feed is gone for good")
    assert (learnt.live.standing_in, learnt.live.broken_views) == (None, ())
    (held,) = [i for i in learnt.incidents() if i.id == incident.id]
    assert held.closed_at == learnt.clock.at
    assert learnt.timeline(held)[-2:] == [
        "accepted as the new normal: the feed is gone for good", "version 1 answers again",
    ]  # fmt: skip
    for index in range(18, 48):
        learnt.traffic(index, nulls=0.9)
        learnt.judge()
    assert [i.id for i in learnt.incidents() if i.kind == "feed"] == [incident.id]
    with pytest.raises(CannotAccept, match="is closed already"):
        learnt.act("accept", About.INCIDENT, incident=incident.id)
    refused = refuse(learnt, 48)
    with pytest.raises(CannotAccept, match="is of nothing that can be a new normal"):
        learnt.act("accept", About.INCIDENT, incident=refused.id)


def test_what_was_not_accepted_goes_on(learnt: Harness) -> None:
    """A broken feed that makes answers fail: the feed is accepted, the failures are not."""
    for index in range(12, 18):
        learnt.traffic(index, nulls=0.9, failed=30)
        learnt.judge()
    incident = next(i for i in learnt.incidents() if i.kind == "feed")
    assert any(member.startswith("errors/") for member in incident.members)
    learnt.act("accept", About.INCIDENT, incident=incident.id)
    held = next(i for i in learnt.incidents() if i.id == incident.id)
    assert (held.closed_at, held.kind) == (None, "errors")
    assert [m.partition("/")[0] for m in held.members] == ["errors"]


def test_nobody_is_told_while_a_model_is_silenced_and_everybody_after(learnt: Harness) -> None:
    learnt.act("silence", lasts_s=3_600.0, reason="maintenance")
    refuse(learnt)
    told = RecordingNotifier()
    deliver(learnt, told)
    learnt.clock.wall_at += 3_599.0
    deliver(learnt, told)
    assert told.sent == []
    learnt.clock.wall_at += 2.0
    deliver(learnt, told)
    (sent,) = told.sent
    assert "[medium] delay" in sent


def test_what_is_over_when_the_silence_ends_is_not_told(learnt: Harness) -> None:
    learnt.act("silence", lasts_s=3_600.0)
    incident = refuse(learnt)
    told = RecordingNotifier()
    deliver(learnt, told)
    learnt.act("close", About.INCIDENT, incident=incident.id)
    learnt.clock.wall_at += 4_000.0
    deliver(learnt, told)
    assert told.sent == []
    with learnt.store.read() as tx:
        assert [e for e in tx.due_effects(1e18, 10) if e.kind == "notify"] == []


def test_what_was_never_silenced_is_told_though_it_is_over(learnt: Harness) -> None:
    incident = refuse(learnt)
    learnt.act("close", About.INCIDENT, incident=incident.id)
    told = RecordingNotifier()
    deliver(learnt, told)
    assert len([s for s in told.sent if "[closed]" in s]) == 1


def test_a_silenced_cause_leaves_the_others_loud(learnt: Harness) -> None:
    incident = refuse(learnt)
    told = RecordingNotifier()
    learnt.act("silence", About.INCIDENT, incident=incident.id, lasts_s=3_600.0)
    learnt.traffic(13, refused={"AA": 90, "UA": 90})
    learnt.judge()
    deliver(learnt, told)
    assert len(told.sent) == 1
    assert "UA" in told.sent[0]
    assert "silenced by user:ana" in learnt.timeline(incident)[-1]


def test_a_lifted_silence_is_noticed_within_a_minute(learnt: Harness) -> None:
    learnt.act("silence", lasts_s=3_600.0)
    refuse(learnt)
    told = RecordingNotifier()
    deliver(learnt, told)
    learnt.act("lift-silence")
    learnt.clock.wall_at += 60.0
    deliver(learnt, told)
    assert len(told.sent) == 1
    with pytest.raises(CannotSilence, match="nothing of delay is silenced"):
        learnt.act("lift-silence")


@pytest.mark.parametrize("lasts_s", [0.0, -1.0, float("nan"), 31 * 86_400.0, float("inf")])
def test_a_silence_has_an_end_that_is_not_far(learnt: Harness, lasts_s: float) -> None:
    with pytest.raises(CannotSilence, match="1s to 30d may be"):
        learnt.act("silence", lasts_s=lasts_s)
    with pytest.raises(CannotSilence, match="a silence of 31d, "):
        learnt.act("silence", lasts_s=31 * 86_400.0)
    with learnt.store.read() as tx:
        assert tx.silences(0.0, MODEL) == []


def test_silences_of_a_model_are_bounded(learnt: Harness) -> None:
    for _ in range(100):
        learnt.act("silence", lasts_s=60.0)
    with pytest.raises(CannotSilence, match="100 may be"):
        learnt.act("silence", lasts_s=60.0)
    learnt.clock.wall_at += 61.0
    learnt.act("silence", lasts_s=60.0)
    with learnt.store.read() as tx:
        assert len(tx.silences(0.0, MODEL)) == 1, "those that ended are forgotten"

"""The weekly digest: what is in it, once a week, at its hour, to who asked for it."""

from __future__ import annotations

import datetime as dt
import email
from email import policy
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from contracts.notifier.receivers import mail_receiver
from usecases.actions.test_incidents import refuse
from usecases.harness import MODEL, Harness
from usecases.test_deliver_effects import RecordingNotifier

from windvane.adapters.files import FileArtifacts
from windvane.adapters.notify import JournaledNotifier, MailSender
from windvane.core.alerting.digest import Digest
from windvane.usecases.actions import About
from windvane.usecases.deliver_effects import deliver_effects
from windvane.usecases.notify_people import Outlets
from windvane.usecases.send_digest import DIGEST, DigestPlan, last_due, queue_digests
from windvane.usecases.write_digest import write_digest

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3_600.0
MONDAY = dt.datetime(2026, 3, 2, 8, tzinfo=dt.UTC).timestamp()


@pytest.fixture
def lived(harness: Harness) -> Harness:
    """A model that was watched for a while, and has an open incident of a tenant."""
    harness.put("1")
    for index in range(12):
        harness.traffic(index)
        harness.judge()
    refuse(harness)
    return harness


def of(harness: Harness, team: str = "") -> Digest:
    with harness.store.read() as tx:
        return write_digest(tx, harness.clock.now(), harness.clock.wall(), 600.0, team=team)


def lines(found: Digest, title: str) -> list[str]:
    (section,) = [one for one in found.sections if one.title == title]
    return [line.text for line in section.lines]


def queue(harness: Harness, *plans: DigestPlan) -> int:
    return queue_digests(harness.store, harness.clock, plans, 600.0, "https://w.example")


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-03-02T08:00", "2026-03-02T08:00"),
        ("2026-03-02T07:59", "2026-02-23T08:00"),
        ("2026-03-08T23:59", "2026-03-02T08:00"),
        # The clocks go forward on the 29th: it is eight by the wall's clock all the same.
        ("2026-03-30T08:00", "2026-03-30T08:00"),
        ("2026-03-29T12:00", "2026-03-23T08:00"),
    ],
)
def test_it_is_due_at_its_hour_by_the_clock_of_its_place(now: str, due: str) -> None:
    plan = DigestPlan(("mail",), zone=BERLIN)
    at, wanted = (dt.datetime.fromisoformat(t).replace(tzinfo=BERLIN) for t in (now, due))
    assert last_due(plan, at.timestamp()) == wanted.timestamp()


def test_it_says_what_waits_for_somebody(lived: Harness) -> None:
    held = next(i for i in lived.incidents() if i.closed_at is None)
    found = of(lived)
    assert found.models == 1
    assert [held.title in line for line in lines(found, "Incidents of the week")] == [True]
    assert [held.title in line for line in lines(found, "Alerts that nobody answered")] == [True]
    assert lines(found, "Action items overdue") == lines(found, "Stale models") == []
    lived.act("acknowledge", About.INCIDENT, incident=held.id)
    item = {"what": "ask AA", "owner": "ana", "due": "2023-11-20", "acceptance": "a test"}
    lived.act("add-action-item", About.INCIDENT, incident=held.id, answers=item)
    lived.clock.at += 100 * 86_400.0
    later = of(lived)
    assert lines(later, "Alerts that nobody answered") == []
    assert lines(later, "Incidents of the week") == []
    assert lines(later, "Action items overdue") == [f"ana: ask AA ({MODEL}), due 2023-11-20"]
    (stale,) = lines(later, "Stale models")
    assert stale.startswith(f"{MODEL}: version 1 was made 1")


def test_drift_that_nobody_was_woken_for_is_ranked(lived: Harness) -> None:
    """What is for the digest by the model's file is in the digest."""
    import msgspec

    from windvane.core.drift import StreamState
    from windvane.ports.judging import MonitorState
    from windvane.usecases.monitors.training_drift import TrainingDriftState

    streams = {
        "temp/values": StreamState(alarmed=True, size=0.31, since=1_700_000_000.0),
        "wind/values": StreamState(alarmed=True, size=0.75, since=1_700_000_000.0),
        "calm/values": StreamState(size=0.1),
    }
    body = msgspec.to_builtins(TrainingDriftState(streams, 0.0))
    with lived.store.begin() as tx:
        tx.put_monitor_states([MonitorState(MODEL, "training_drift", "", 0.0, True, body)])
    found = lines(of(lived), "Drift worth a look")
    assert [line.partition(" since")[0] for line in found] == [
        f"{MODEL}: wind, values: size 0.75", f"{MODEL}: temp, values: size 0.31",
    ]  # fmt: skip


def test_it_is_of_the_teams_own_models(lived: Harness) -> None:
    assert of(lived, "ops").models == 1
    other = of(lived, "revenue")
    assert (other.models, other.grave) == (0, 0)
    assert not any(section.lines for section in other.sections)


def test_it_is_queued_once_a_week_and_not_late(lived: Harness) -> None:
    plan = DigestPlan(("notify",))
    for wall, queued in (
        (MONDAY - 1.0, 0),  # last week's is older than a day
        (MONDAY, 1),
        (MONDAY + 60.0, 0),
        (MONDAY + 23 * HOUR, 0),
        (MONDAY + 7 * 24 * HOUR + 25 * HOUR, 0),
        (MONDAY + 14 * 24 * HOUR + 23 * HOUR, 1),
    ):
        lived.clock.wall_at = wall
        assert queue(lived, plan) == queued, wall
    lived.clock.wall_at = MONDAY
    assert queue(lived, plan, DigestPlan(("notify",), team="ops")) == 1, "another one is apart"
    assert len(lived.decisions(DIGEST)) == 3
    assert lived.queued(DIGEST)[0]["channel"] == "notify"


def test_a_mail_has_it_as_text_and_as_html_once(lived: Harness, tmp_path: Path) -> None:
    lived.clock.wall_at = MONDAY
    assert queue(lived, DigestPlan(("mail", "notify"), team="ops")) == 1
    told = RecordingNotifier()
    with mail_receiver(None) as box:
        sender = MailSender(
            "127.0.0.1", box.port, sender="w@example.org", to=["ops@example.org"], encrypted=False
        )
        channels = {"notify": told, "mail": JournaledNotifier(tmp_path / "told.jsonl", sender, "m")}
        outlets = Outlets(channels, console_url="https://w.example")
        for _ in range(2):
            deliver_effects(lived.store, lived.clock, lived.feed, outlets, told, FileArtifacts())
    mails = [email.message_from_string(m, policy=policy.default) for m in box.mails]
    (mail,) = [m for m in mails if "digest" in m["Subject"]]
    assert mail["Subject"].startswith("Weekly digest of ops: 1 model,")
    plain, rich = (mail.get_body((kind,)) for kind in ("plain", "html"))
    assert plain is not None
    assert rich is not None
    assert "ALERTS THAT NOBODY ANSWERED" in plain.get_content()
    assert "https://w.example/digest" in plain.get_content()
    assert "<h2>Alerts that nobody answered</h2>" in rich.get_content()
    assert 'href="https://w.example/incidents/' in rich.get_content()
    assert len([said for said in told.sent if "Weekly digest" in said]) == 1


def test_a_channel_that_is_gone_is_no_mail_lost_in_silence(lived: Harness) -> None:
    lived.clock.wall_at = MONDAY
    queue(lived, DigestPlan(("gone",)))
    told = RecordingNotifier()
    deliver_effects(
        lived.store, lived.clock, lived.feed, Outlets({"notify": told}), told, FileArtifacts()
    )
    with lived.store.read() as tx:
        (item,) = [e for e in tx.due_effects(1e18, 10) if e.kind == DIGEST]
    assert item.attempts == 1, "it waits to be tried again"

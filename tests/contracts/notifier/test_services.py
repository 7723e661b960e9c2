"""Each way out against a real receiver: what arrives, what is refused, and what is never said."""

from __future__ import annotations

import email
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from email import policy
from pathlib import Path
from typing import Any

import pytest
from contracts.notifier.receivers import http_receiver, mail_receiver, make_certificate

from windvane.adapters.notify import (
    AlertmanagerSender,
    AppriseNotifier,
    JournaledNotifier,
    MailSender,
    NotificationFailed,
    PagerDutySender,
    WebhookSender,
)
from windvane.adapters.notify.journal import Sender
from windvane.ports.notifier import Happening, Message

SECRET = "hunter2-very-secret"
MESSAGE = Message(
    "d1#0", "[high] delay", "the weather feed changed\nversion 2 stands in", "delay-feed-1", "high",
    at=1_700_000_000.0, link="https://windvane.example.org/incidents/delay-feed-1",
    labels={"model": "delay", "kind": "feed", "team": "ops", "cause": "feed:weather"},
)  # fmt: skip


def follow(happening: Happening) -> Message:
    return replace(MESSAGE, key=f"d2#{happening}", happening=happening, at=MESSAGE.at + 600.0)


def test_pagerduty_is_triggered_acknowledged_and_resolved_by_one_key() -> None:
    with http_receiver() as got:
        sender = PagerDutySender(SECRET, got.url)
        for message in (MESSAGE, follow(Happening.ACKNOWLEDGED), follow(Happening.RESOLVED)):
            sender.send(message)
    assert [b["event_action"] for b in got.bodies] == ["trigger", "acknowledge", "resolve"]
    assert {b["dedup_key"] for b in got.bodies} == {"delay-feed-1"}
    assert {b["routing_key"] for b in got.bodies} == {SECRET}
    payload = got.bodies[0]["payload"]
    assert payload["summary"] == "[high] delay: the weather feed changed"
    assert (payload["severity"], payload["source"]) == ("critical", "delay")
    assert payload["timestamp"] == "2023-11-14T22:13:20+00:00"
    assert got.bodies[0]["links"][0]["href"] == MESSAGE.link
    assert "payload" not in got.bodies[1]


@pytest.mark.parametrize(
    ("ours", "theirs"), [("high", "critical"), ("medium", "warning"), ("low", "info")]
)
def test_pagerduty_is_told_the_severity(ours: str, theirs: str) -> None:
    with http_receiver() as got:
        PagerDutySender(SECRET, got.url).send(replace(MESSAGE, severity=ours))
    assert got.bodies[0]["payload"]["severity"] == theirs


def test_an_alert_ends_with_its_incident() -> None:
    with http_receiver(200) as got:
        sender = AlertmanagerSender(got.url + "/")
        sender.send(MESSAGE)
        sender.send(follow(Happening.ACKNOWLEDGED))
        sender.send(follow(Happening.RESOLVED))
    assert got.paths == ["/api/v2/alerts"] * 2
    first, last = (body[-1] for body in got.bodies)
    assert first["labels"] == last["labels"]
    assert first["labels"]["severity"] == "high"
    assert first["labels"]["incident"] == "delay-feed-1"
    assert first["startsAt"] == "2023-11-14T22:13:20Z"
    assert first["endsAt"] > last["endsAt"] == "2023-11-14T22:23:20Z"


def test_what_it_was_before_it_became_graver_ends() -> None:
    with http_receiver(200) as got:
        AlertmanagerSender(got.url).send(MESSAGE)
    ends = {alert["labels"]["severity"]: alert["endsAt"] for alert in got.bodies[0]}
    assert ends["low"] == ends["medium"] == "2023-11-14T22:13:20Z" < ends["high"]


def test_a_webhook_gets_what_alertmanager_sends_to_its_receivers() -> None:
    with http_receiver(200) as got:
        sender = WebhookSender(got.url + "/hook", SECRET)
        sender.send(MESSAGE)
        sender.send(follow(Happening.RESOLVED))
    first, last = got.bodies
    assert set(first) == {
        "version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels",
        "commonLabels", "commonAnnotations", "externalURL", "alerts",
    }  # fmt: skip
    assert (first["version"], first["status"], last["status"]) == ("4", "firing", "resolved")
    assert first["alerts"][0]["fingerprint"] == last["alerts"][0]["fingerprint"]
    assert first["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"
    assert got.headers[0]["Authorization"] == f"Bearer {SECRET}"


def mail_sender(port: int, **given: Any) -> MailSender:
    known = {"sender": "windvane@example.org", "to": ["oncall@example.org"]}
    return MailSender("127.0.0.1", port, **{**known, **given})


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    return make_certificate(tmp_path)


def test_a_mail_goes_encrypted_with_its_password(certificate: tuple[Path, Path]) -> None:
    with mail_receiver(certificate) as box:
        sender = mail_sender(box.port, user="ops", password=SECRET, authorities=certificate[0])
        sender.send(replace(MESSAGE, title="[high] délai\nBcc: all@example.org"))
    (mail,) = (email.message_from_string(m, policy=policy.default) for m in box.mails)
    assert mail["Subject"] == "[high] délai Bcc: all@example.org: the weather feed changed"
    assert (mail["To"], mail["Bcc"]) == ("oncall@example.org", None)
    assert "version 2 stands in" in mail.get_content()
    assert MESSAGE.link in mail.get_content()
    began = next(i for i, said in enumerate(box.spoken) if said.upper() == "STARTTLS")
    assert all(box.encrypted[began + 1 :]), "nothing is said in the open after STARTTLS"
    assert not any(said.startswith(("AUTH", "MAIL")) for said in box.spoken[:began])


def test_a_server_without_starttls_gets_neither_mail_nor_password() -> None:
    with mail_receiver(None) as box:
        with pytest.raises(NotificationFailed, match="SMTPNotSupportedError"):
            mail_sender(box.port, user="ops", password=SECRET).send(MESSAGE)
        assert not box.mails
        mail_sender(box.port, encrypted=False).send(MESSAGE)
    assert len(box.mails) == 1
    assert not any("AUTH" in said for said in box.spoken)


def test_a_server_that_nobody_vouches_for_gets_nothing(certificate: tuple[Path, Path]) -> None:
    with mail_receiver(certificate) as box, pytest.raises(NotificationFailed):
        mail_sender(box.port).send(MESSAGE)
    assert not box.mails


def test_a_refused_password_is_not_repeated(certificate: tuple[Path, Path]) -> None:
    with mail_receiver(certificate, password_fits=False) as box:
        sender = mail_sender(box.port, user="ops", password=SECRET, authorities=certificate[0])
        with pytest.raises(NotificationFailed, match="SMTPAuthenticationError 535") as raised:
            sender.send(MESSAGE)
    assert raised.value.__cause__ is None


@contextmanager
def posting(kind: str, *answers: int) -> Iterator[tuple[Sender, Any]]:
    with http_receiver(*answers) as got:
        url = f"{got.url}/{SECRET}"
        senders: dict[str, Sender] = {
            "pagerduty": PagerDutySender(SECRET, url),
            "alertmanager": AlertmanagerSender(url),
            "webhook": WebhookSender(url, SECRET),
        }
        yield senders[kind], got


KINDS = pytest.mark.parametrize("kind", ["pagerduty", "alertmanager", "webhook"])


@KINDS
def test_a_hiccup_is_tried_again_and_a_refusal_is_not(kind: str) -> None:
    with posting(kind, 503, 429, 202) as (sender, got):
        sender.send(MESSAGE)
        assert len(got.bodies) == 3
    with posting(kind, 400) as (sender, got):
        with pytest.raises(NotificationFailed, match="status 400"):
            sender.send(MESSAGE)
        assert len(got.bodies) == 1


@KINDS
def test_it_is_tried_a_few_times_and_no_secret_is_told(kind: str) -> None:
    began = time.monotonic()
    with posting(kind, 503) as (sender, got):
        with pytest.raises(NotificationFailed) as raised:
            sender.send(MESSAGE)
        assert len(got.bodies) == 3
    assert SECRET not in f"{raised.value} {raised.value.advice}"
    assert time.monotonic() - began < 10.0


@KINDS
def test_a_redirection_leads_nowhere(kind: str) -> None:
    with posting(kind, 302) as (sender, got):
        with pytest.raises(NotificationFailed, match="status 302"):
            sender.send(MESSAGE)
        assert not [path for path in got.paths if path == "/elsewhere"]


def _refused() -> Sender:
    return PagerDutySender(SECRET, "http://127.0.0.1:9/")


def test_nobody_there_is_a_failure() -> None:
    with pytest.raises(NotificationFailed, match="ConnectError"):
        _refused().send(MESSAGE)


def test_several_channels_share_a_journal_and_each_tells_once(tmp_path: Path) -> None:
    journal = tmp_path / "told.jsonl"
    with ExitStack() as stack:
        receivers: list[AbstractContextManager[Any]] = [http_receiver(), http_receiver()]
        one, other = (stack.enter_context(r) for r in receivers)
        for _ in range(2):
            JournaledNotifier(journal, PagerDutySender("k", one.url), "pager").send(MESSAGE)
            JournaledNotifier(journal, WebhookSender(other.url), "hook").send(MESSAGE)
            AppriseNotifier(journal, []).send(MESSAGE)
    assert (len(one.bodies), len(other.bodies)) == (1, 1)
    assert len(journal.read_text().splitlines()) == 3


@pytest.mark.filterwarnings("ignore:.imghdr.:DeprecationWarning")  # apprise, on Python 3.11
def test_apprise_reaches_a_webhook(tmp_path: Path) -> None:
    with http_receiver(200) as got:
        url = got.url.replace("http://", "json://")
        AppriseNotifier(tmp_path / "told.jsonl", [url]).send(MESSAGE)
    assert got.bodies[0]["title"] == MESSAGE.title
    assert got.bodies[0]["message"].endswith(MESSAGE.link)

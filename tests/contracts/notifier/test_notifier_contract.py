"""The notifier: a key is told once, by whichever instance; a failure raises and is told later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import apprise
import pytest

from windvane.adapters.notify import AppriseNotifier, NotificationFailed
from windvane.ports.notifier import Message


def told(journal: Path) -> list[str]:
    return [json.loads(line)["key"] for line in journal.read_text().splitlines()]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "notified.jsonl"


def test_a_key_is_told_once(journal: Path) -> None:
    notifier = AppriseNotifier(journal, [])
    notifier.send(Message("d1#0", "title é", "two\nlines"))
    notifier.send(Message("d1#0", "title é", "two\nlines"))
    notifier.send(Message("d1#1", "another", "body"))
    assert told(journal) == ["d1#0", "d1#1"]
    first = json.loads(journal.read_text().splitlines()[0])
    assert first == {"key": "d1#0", "title": "title é", "body": "two\nlines"}


def test_a_new_instance_remembers(journal: Path) -> None:
    AppriseNotifier(journal, []).send(Message("d1#0", "title", "body"))
    again = AppriseNotifier(journal, [])
    again.send(Message("d1#0", "title", "body"))
    again.send(Message("d2#0", "title", "body"))
    assert told(journal) == ["d1#0", "d2#0"]


@pytest.mark.filterwarnings("ignore:.imghdr.:DeprecationWarning")  # apprise, on Python 3.11
def test_what_no_service_took_raises_and_may_be_told_later(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [False, True]
    sent: list[str] = []

    def notify(self: Any, *, title: str, body: str) -> bool:
        sent.append(title)
        return answers.pop(0)

    monkeypatch.setattr(apprise.Apprise, "notify", notify)
    notifier = AppriseNotifier(journal, ["json://127.0.0.1:1/"])
    with pytest.raises(NotificationFailed, match="NOT-101"):
        notifier.send(Message("d1#0", "title", "body"))
    assert told(journal) == []
    notifier.send(Message("d1#0", "title", "body"))
    notifier.send(Message("d1#0", "title", "body"))
    assert sent == ["title", "title"]
    assert told(journal) == ["d1#0"]


def test_two_living_instances_tell_a_key_once(journal: Path) -> None:
    one, two = AppriseNotifier(journal, []), AppriseNotifier(journal, [])
    one.send(Message("d1#0", "title", "body"))
    two.send(Message("d1#0", "title", "body"))
    assert told(journal) == ["d1#0"]


def test_a_torn_line_does_not_stop_the_steward(journal: Path) -> None:
    AppriseNotifier(journal, []).send(Message("d1#0", "title", "body"))
    with journal.open("a") as file:
        file.write('{"key": "d2#0", "ti')
    again = AppriseNotifier(journal, [])
    again.send(Message("d1#0", "title", "body"))
    again.send(Message("d2#0", "title", "body"))
    assert "d2#0" in journal.read_text()

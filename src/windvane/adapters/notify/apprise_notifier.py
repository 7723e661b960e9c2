"""Notifications: a local journal that remembers what was told, and apprise for the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import apprise

from windvane.core.errors import WindvaneError


class NotificationFailed(WindvaneError):
    """No configured service took the message; it is retried."""

    code: ClassVar[str] = "NOT-101"
    hint = "check `notify` in windvane.yaml"


class AppriseNotifier:
    """Sends to every apprise URL; the journal's keys keep a retry from telling twice."""

    def __init__(self, journal: Path, urls: Sequence[str]) -> None:
        self._journal = journal
        self._apprise = apprise.Apprise()
        for url in urls:
            self._apprise.add(url)
        self._told = {json.loads(line)["key"] for line in self._lines()}

    def send(self, key: str, title: str, body: str) -> None:
        if key in self._told:
            return
        if len(self._apprise) and not self._apprise.notify(title=title, body=body):
            raise NotificationFailed(f"{title!r} was not delivered")
        self._journal.parent.mkdir(parents=True, exist_ok=True)
        with self._journal.open("a") as file:
            file.write(json.dumps({"key": key, "title": title, "body": body}) + "\n")
        self._told.add(key)

    def _lines(self) -> list[str]:
        return self._journal.read_text().splitlines() if self._journal.is_file() else []

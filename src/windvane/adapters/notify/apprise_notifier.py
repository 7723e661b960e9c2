"""Notifications: a local journal that remembers what was told, and apprise for the rest."""

from __future__ import annotations

import fcntl
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

    def send(self, key: str, title: str, body: str) -> None:
        self._journal.parent.mkdir(parents=True, exist_ok=True)
        with self._journal.open("a+") as journal:
            try:
                fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise NotificationFailed("another steward is telling something") from error
            journal.seek(0)
            written = journal.read()
            if key in _keys(written):
                return
            if len(self._apprise) and not self._apprise.notify(title=title, body=body):
                raise NotificationFailed(f"{title!r} was not delivered")
            mend = "\n" if written and not written.endswith("\n") else ""
            journal.write(mend + json.dumps({"key": key, "title": title, "body": body}) + "\n")


def _keys(journal: str) -> set[str]:
    """What was told; a line that a crash tore was not."""
    found: set[str] = set()
    for line in journal.splitlines():
        try:
            found.add(json.loads(line)["key"])
        except (ValueError, KeyError, TypeError):
            continue
    return found

"""Notifications: a local journal that remembers what was told, and apprise for the rest."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, TextIO

import apprise

from windvane.core.errors import WindvaneError

_TAIL_BYTES = 8 << 20


class NotificationFailed(WindvaneError):
    """No configured service took the message; it is retried."""

    code: ClassVar[str] = "NOT-101"
    hint = "check `notify` in windvane.yaml"


class AppriseNotifier:
    """Sends to every apprise URL; the journal's keys keep a retry from telling twice."""

    def __init__(self, journal: Path, urls: Sequence[str]) -> None:
        self._journal = journal
        self._apprise = apprise.Apprise()
        self._sending: set[str] = set()
        self._being_sent = threading.Lock()
        for url in urls:
            self._apprise.add(url)

    def send(self, key: str, title: str, body: str) -> None:
        """The journal is locked while it is read and written, not while the services answer:
        one that hangs keeps no other notification waiting."""
        with self._being_sent:
            if key in self._sending:
                raise NotificationFailed(f"{title!r} is being delivered already")
            self._sending.add(key)
        try:
            with self._open() as journal:
                if key in _keys(_tail(journal)):
                    return
            if len(self._apprise) and not self._apprise.notify(title=title, body=body):
                raise NotificationFailed(f"{title!r} was not delivered")
            with self._open() as journal:
                written = _tail(journal)
                mend = "\n" if written and not written.endswith("\n") else ""
                journal.write(mend + json.dumps({"key": key, "title": title, "body": body}) + "\n")
        finally:
            with self._being_sent:
                self._sending.discard(key)

    @contextmanager
    def _open(self) -> Iterator[TextIO]:
        self._journal.parent.mkdir(parents=True, exist_ok=True)
        with self._journal.open("a+", errors="replace") as journal:
            fcntl.flock(journal, fcntl.LOCK_EX)
            yield journal


def _tail(journal: TextIO) -> str:
    """The end of the journal: what was told long ago is not retried."""
    end = journal.seek(0, os.SEEK_END)
    journal.seek(max(0, end - _TAIL_BYTES))
    return journal.read()


def _keys(journal: str) -> set[str]:
    """What was told; a line that a crash tore was not."""
    found: set[str] = set()
    for line in journal.splitlines():
        try:
            found.add(json.loads(line)["key"])
        except (ValueError, KeyError, TypeError):
            continue
    return found

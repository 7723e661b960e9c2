"""A local journal of what was told: it keeps a retry from telling twice."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Protocol, TextIO

from windvane.core.errors import WindvaneError
from windvane.ports.notifier import Message

_TAIL_BYTES = 8 << 20


class NotificationFailed(WindvaneError):
    """No configured service took the message; it is retried."""

    code: ClassVar[str] = "NOT-101"
    hint = "check `notify`, `channels` and `routes` in windvane.yaml"


class Sender(Protocol):
    """One way out, without a memory."""

    follows: ClassVar[bool]

    def send(self, message: Message) -> None: ...


class JournaledNotifier:
    """Sends what the journal does not hold yet. Keys of a channel with a ``name`` are apart from
    those of others: a message may go to several."""

    def __init__(self, journal: Path, sender: Sender, name: str = "") -> None:
        self._journal = journal
        self._sender = sender
        self._name = name
        self._sending: set[str] = set()
        self._being_sent = threading.Lock()

    @property
    def follows(self) -> bool:
        return self._sender.follows

    def send(self, message: Message) -> None:
        """The journal is locked while it is read and written, not while the services answer:
        one that hangs keeps no other notification waiting."""
        key = f"{message.key}@{self._name}" if self._name else message.key
        with self._being_sent:
            if key in self._sending:
                raise NotificationFailed(f"{message.title!r} is being delivered already")
            self._sending.add(key)
        try:
            with self._open() as journal:
                if key in _keys(_tail(journal)):
                    return
            self._sender.send(message)
            with self._open() as journal:
                written = _tail(journal)
                mend = "\n" if written and not written.endswith("\n") else ""
                line = {"key": key, "title": message.title, "body": message.body}
                journal.write(mend + json.dumps(line) + "\n")
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

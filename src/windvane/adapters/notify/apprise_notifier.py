"""Notifications by apprise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import apprise

from windvane.adapters.notify.journal import JournaledNotifier, NotificationFailed
from windvane.ports.notifier import Message


class AppriseSender:
    """Every apprise URL; if one of them fails, the message counts as not delivered."""

    follows: ClassVar[bool] = False

    def __init__(self, urls: Sequence[str]) -> None:
        self._apprise = apprise.Apprise()
        for url in urls:
            self._apprise.add(url)

    def send(self, message: Message) -> None:
        body = f"{message.body}\n{message.link}" if message.link else message.body
        if len(self._apprise) and not self._apprise.notify(title=message.title, body=body):
            raise NotificationFailed(f"{message.title!r} was not delivered")


class AppriseNotifier(JournaledNotifier):
    """Apprise with the journal; without an address it is the journal alone."""

    def __init__(self, journal: Path, urls: Sequence[str], name: str = "") -> None:
        super().__init__(journal, AppriseSender(urls), name)

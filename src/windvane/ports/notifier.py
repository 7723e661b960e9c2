"""Telling people."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class Happening(enum.StrEnum):
    """What happened to the incident that a message is about."""

    OPENED = "opened"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    UPDATED = "updated"


@dataclass(frozen=True, slots=True)
class Message:
    """What is told, once a ``key``. ``incident`` "" is of none; ``at`` is when it opened or what
    happened did (s), ``link`` its page, ``labels`` what it is about by name. ``html`` is the body
    as well, for who shows that; "" for none."""

    key: str
    title: str
    body: str
    incident: str = ""
    severity: str = ""
    happening: Happening = Happening.OPENED
    at: float = 0.0
    link: str = ""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    html: str = ""


class Notifier(Protocol):
    """``follows``: it is told as well that an incident was acknowledged or is over."""

    @property
    def follows(self) -> bool: ...

    def send(self, message: Message) -> None:
        """Tell once; a repeated key is not told again. Raises on failure, without any secret in
        the message; returns or raises within half a minute."""
        ...

"""Which API key a call of the control API carries."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated

from fastapi import Header

from windvane.apps.console.answering import NotSignedIn
from windvane.core.routing import KeyEntry
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore


def key_check(store: ControlStore, clock: Clock) -> Callable[[str], KeyEntry]:
    """A dependency that gives the call's key. Raises NotSignedIn."""

    def caller(authorization: Annotated[str, Header()] = "") -> KeyEntry:
        word, _, given = authorization.partition(" ")
        if word.lower() != "bearer" or not given:
            raise NotSignedIn("no API key was sent")
        digest = hashlib.sha256(given.strip().encode()).hexdigest()
        with store.read() as tx:
            found = [k for k in tx.key_records() if k.entry.digest == digest]
        if not found or found[0].revoked_at is not None:
            raise NotSignedIn("this API key is not known")
        if found[0].entry.expired(clock.wall()):
            raise NotSignedIn("this API key has expired")
        return found[0].entry

    return caller

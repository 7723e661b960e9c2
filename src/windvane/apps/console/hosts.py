"""Which names the console answers under.

A page of a stranger must not be able to reach it through the browser of somebody who can: by a
name of the stranger's own that leads to this machine (DNS rebinding), which the browser then
sends as ``Host``.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import ClassVar

from windvane.core.errors import WindvaneError

_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})


class UnknownHost(WindvaneError):
    """The request is for a name that is not this console's."""

    code: ClassVar[str] = "CSL-105"
    hint = "add the name to the setting `console_hosts`, if it is this console's"


class AllowedHosts:
    """The address that the console listens on, ``localhost``, loopback addresses, the machine's
    own name, and ``names``: each a name, ``*.DOMAIN`` for all below it, or ``*`` for any. Who
    listens on every address is asked by any address: none is a name that could be led here."""

    def __init__(self, bound: str, names: Sequence[str] = (), machine: str = "") -> None:
        """``machine`` "" asks the machine for its name."""
        own = machine or socket.gethostname()
        self._names = {"localhost", *map(_plain, (bound, own, own.partition(".")[0], *names))}
        self._below = tuple(name[1:] for name in self._names if name.startswith("*."))
        self._any = "*" in self._names
        self._every_address = bound in _EVERY_ADDRESS

    def check(self, given: Sequence[bytes]) -> None:
        """``given``: the values of every ``Host`` header. None is let through: no browser leaves
        it out. Raises UnknownHost."""
        if self._any or not given:
            return
        name = _name_of(given[0]) if len(given) == 1 else ""
        if name not in self._names and not name.endswith(self._below) and not self._is_ours(name):
            shown = " and ".join(repr(one[:80].decode("latin-1")) for one in given[:2])
            raise UnknownHost(f"the console does not answer under Host {shown}")

    def _is_ours(self, name: str) -> bool:
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self._every_address


def _name_of(given: bytes) -> str:
    """Without its port; "" for what is none (RFC 9110, 7.2)."""
    text = given.decode("latin-1").strip()
    if text.startswith("["):
        name, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            return ""
        port = port[1:]
    else:
        name, _, port = text.partition(":")
    return _plain(name) if not port or (port.isascii() and port.isdigit()) else ""


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")

"""All connections of one worker: how many there may be, and which have taken too long."""

from __future__ import annotations

import heapq
import http
import ipaddress
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from windvane.apps.gateway.http_head import HeadReader

if TYPE_CHECKING:
    from windvane.apps.gateway.http_protocol import Application, Bounds, HttpConnection

_EVICTED_AT_ONCE = 64


class Connections:
    """Counted, swept, and closed to make room for others."""

    def __init__(self, app: Application, bounds: Bounds) -> None:
        self.app = app
        self.bounds = bounds
        self.reader = HeadReader(bounds.head_bytes, bounds.line_bytes, bounds.header_lines)
        self.now_ns = time.monotonic_ns()
        self.open: set[HttpConnection] = set()
        self.refused = self.evicted = 0
        self._by_address: dict[object, int] = {}
        self._silent: list[tuple[int, HttpConnection]] = []
        self._date = b""
        self.lines: dict[int, bytes] = {}
        self.sweep()

    def add(self, connection: HttpConnection, peer: Any) -> bool:
        """False: there is no room for it. One address has so many; in the whole, those that are
        silent make room: first who never asked anything, then who was silent the longest."""
        address = network_of(peer)
        count = self._by_address.get(address, 0) + 1
        bounds = self.bounds
        if (address is not None and count > bounds.connections_per_address) or (
            len(self.open) >= bounds.connections and not self._evict()
        ):
            self.refused += 1
            return False
        connection.address = address
        # Read again: whoever made room may have come from the same address.
        self._by_address[address] = self._by_address.get(address, 0) + 1
        self.open.add(connection)
        return True

    def remove(self, connection: HttpConnection) -> None:
        if connection in self.open:
            self.open.remove(connection)
            count = self._by_address[connection.address] - 1
            if count:
                self._by_address[connection.address] = count
            else:
                del self._by_address[connection.address]

    def _evict(self) -> bool:
        """Look at all of them for many at once: under a flood of connections each needs it."""
        for _ in range(2):
            while self._silent:
                since_ns, connection = self._silent.pop()
                if (
                    connection.is_silent
                    and connection.since_ns == since_ns
                    and connection in self.open
                ):
                    self.remove(connection)
                    connection.drop()
                    self.evicted += 1
                    return True
            silent = [c for c in self.open if c.is_silent]
            never = [c for c in silent if not c.answers]
            # Few of those that asked: meanwhile some may come that never do.
            count = _EVICTED_AT_ONCE if never else _EVICTED_AT_ONCE // 8
            first = heapq.nsmallest(count, never or silent, key=lambda c: c.since_ns)
            self._silent = [(c.since_ns, c) for c in reversed(first)]
        return False

    def sweep(self) -> None:
        """To be called again and again, ``bounds.sweep_s`` apart: a timer for each connection
        would cost more than everything else here."""
        self.now_ns = time.monotonic_ns()
        self._date = formatdate(usegmt=True).encode()
        self.lines.clear()
        for connection in list(self.open):
            connection.look(self.now_ns)

    def status_line(self, status: int) -> bytes:
        """With the date behind it; made once a sweep."""
        line = self.lines.get(status)
        if line is None:
            try:
                phrase = http.HTTPStatus(status).phrase.encode()
            except ValueError:
                phrase = b""
            line = b"HTTP/1.1 %d %b\r\ndate: %b\r\n" % (status, phrase, self._date)
            self.lines[status] = line
        return line


def network_of(peer: Any) -> object:
    """Who has a network of IPv6 has all of its addresses; a Unix socket's peers have none."""
    if not isinstance(peer, tuple):
        return None
    host = str(peer[0])
    if ":" not in host:
        return host
    found = ipaddress.IPv6Address(host.partition("%")[0])
    return str(found.ipv4_mapped) if found.ipv4_mapped else found.packed[:8]

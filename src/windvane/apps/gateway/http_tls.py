"""Certificates that are renewed while the server runs."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

_log = logging.getLogger(__name__)
_LOOK_EVERY_S = 5.0


class ReloadedCertificate:
    """A context for ``loop.create_server`` whose certificate follows its files. Connections that
    are open keep theirs."""

    def __init__(self, chain: Path, key: Path, look_every_s: float = _LOOK_EVERY_S) -> None:
        self._chain = chain
        self._key = key
        self._look_every_s = look_every_s
        self.context = _context()
        self._seen = self._look()
        self.context.load_cert_chain(chain, key)

    async def watch(self) -> None:
        """Until cancelled: load what changed."""
        while True:
            await asyncio.sleep(self._look_every_s)
            try:
                await self.reload()
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                _log.warning("the certificate is not renewed: %s", error)

    async def reload(self) -> bool:
        """True if there was a new one. Raises OSError or ValueError, and the old one stays, if
        its files cannot be used: one may be written already and the other not yet."""
        seen = await asyncio.to_thread(self._look)
        if seen == self._seen:
            return False
        # A key that does not belong to its certificate would leave the context with neither.
        await asyncio.to_thread(_context().load_cert_chain, self._chain, self._key)
        self.context.load_cert_chain(self._chain, self._key)
        self._seen = seen
        _log.info("the certificate was renewed")
        return True

    def _look(self) -> list[tuple[int, int, int]]:
        stats = [path.stat() for path in (self._chain, self._key)]
        return [(stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in stats]


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context

"""The certificate that servers show."""

from __future__ import annotations

import ssl
from typing import Protocol


class Certificate(Protocol):
    """A chain and its key, which may be renewed while servers run. Connections that are open
    keep the one that they were shown."""

    @property
    def context(self) -> ssl.SSLContext:
        """For a server's TCP connections; it follows what ``watch`` finds."""
        ...

    async def watch(self) -> None:
        """Until cancelled: follow what is renewed. A certificate that cannot be used leaves the
        old one in place, and is logged."""
        ...

    def context_for(self, protocol: str) -> ssl.SSLContext:
        """The same for another protocol by ALPN than HTTP/1.1."""
        ...

"""Who sends a bearer token that is no API key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from windvane.core.errors import WindvaneError


class BadToken(WindvaneError):
    """A bearer token that is not valid here, and why; the token itself is never shown."""

    code: ClassVar[str] = "IDN-101"
    hint = (
        "issuer, audience, signature, expiry and the tenant claim must fit `oidc` in windvane.yaml"
    )


@dataclass(frozen=True, slots=True)
class Identity:
    """What a token proves. ``subject`` names its holder in the audit; ``scopes`` are those of
    the token that Windvane knows; ``expires_at`` in seconds since the epoch."""

    tenant: str
    subject: str
    scopes: frozenset[str]
    expires_at: float


class TokenVerifier(Protocol):
    def verify(self, token: bytes, now: float) -> Identity:
        """Check signature, issuer, audience, times and claims; raises BadToken.

        Pure computation with the keys that are at hand: it never waits for the issuer.
        ``now`` in seconds since the epoch.
        """
        ...

    def refresh(self) -> None:
        """Fetch the issuer's keys (seconds; call it off the loop). Keeps the old ones, and logs,
        if the issuer cannot be reached."""
        ...

    @property
    def stale(self) -> bool:
        """True if a token named a key that is not at hand, and a refresh may bring it."""
        ...

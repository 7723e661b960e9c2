"""Signing in by an identity provider (OpenID Connect, authorization code with PKCE)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from windvane.core.errors import WindvaneError


class ProviderUnavailable(WindvaneError):
    """The identity provider did not answer, or not as OpenID Connect says."""

    code: ClassVar[str] = "IDN-103"
    hint = "try again; `sign_in.oidc` in windvane.yaml names the provider"


@dataclass(frozen=True, slots=True)
class ProvenUser:
    """Whom the provider vouches for: a name that is theirs alone, and their groups."""

    name: str
    groups: tuple[str, ...]


class OpenIdProvider(Protocol):
    """Both calls may ask the provider, for seconds: call them off a loop."""

    def authorize_url(self, *, redirect_uri: str, state: str, nonce: str, challenge: str) -> str:
        """Where to send the browser. ``challenge`` is the SHA-256 of the verifier, in URL-safe
        base64. Raises ProviderUnavailable."""
        ...

    def redeem(
        self, code: str, *, redirect_uri: str, verifier: str, nonce: str, now: float
    ) -> ProvenUser:
        """Who the code stands for, by an ID token whose signature, issuer, audience, times and
        nonce were checked. ``now`` in seconds since the epoch. Raises ProviderUnavailable,
        BadToken."""
        ...

"""Who sends a token, by the issuer's public keys."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jwt

from windvane.adapters.jwt.keys import (
    ALGORITHMS,
    BadOidc,
    Key,
    KeySet,
    NoKeys,
    check_address,
    fetch,
    parse,
)
from windvane.core.routing import Scope
from windvane.ports.identity import BadToken, Identity

if TYPE_CHECKING:
    from jwt.types import Options

_log = logging.getLogger(__name__)

DEFAULT_ALGORITHMS = ("RS256", "ES256", "EdDSA")
_MAX_TOKEN_BYTES = 16 << 10
_MAX_NAME = 128
_MAX_VERIFIED = 4_096
# A token that names an unknown key asks for new keys this often at most: its sender chose the name.
_ASK_AGAIN_S = 10.0
# Each of these PyJWT would check by the clock of the machine, or not as strictly.
_CHECKED_HERE: Options = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
_SCOPES = frozenset(scope.value for scope in Scope)


class _Trust:
    """A key set, and what was verified by it; both are replaced together."""

    __slots__ = ("keys", "verified")

    def __init__(self, keys: KeySet) -> None:
        self.keys = keys
        self.verified: OrderedDict[bytes, Identity] = OrderedDict()


class JwtVerifier:
    """Checks JSON Web Tokens. ``issuer`` and ``audience`` must be exactly those of the token;
    ``jwks`` is where the issuer's keys lie, a web address or a file.

    ``leeway_s`` is how far clocks may be apart; ``timeout_s`` bounds a refresh. ``verify`` is
    for one thread; ``refresh`` may run in another. Raises BadOidc for settings that cannot work.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        jwks: str,
        tenant_claim: str = "tenant",
        scopes_claim: str = "scope",
        algorithms: Sequence[str] = DEFAULT_ALGORITHMS,
        leeway_s: float = 30.0,
        timeout_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not issuer or not audience:
            raise BadOidc("`issuer` and `audience` are empty, so that any token would fit")
        if not algorithms or not set(algorithms) <= ALGORITHMS:
            wrong = sorted(set(algorithms) - ALGORITHMS) or "none"
            known = ", ".join(sorted(ALGORITHMS))
            raise BadOidc(f"algorithms: {wrong}", hint=f"some of {known}")
        check_address(jwks)
        self._issuer, self._audience, self._jwks = issuer, audience, jwks
        self._tenant_claim, self._scopes_claim = tenant_claim, scopes_claim
        self._algorithms = frozenset(algorithms)
        self._leeway_s, self._timeout_s, self._clock = leeway_s, timeout_s, clock
        self._jwt = jwt.PyJWT()
        self._trust = _Trust(KeySet())
        self._asked_at = -math.inf
        self._stale = True
        self._failing = False

    @property
    def stale(self) -> bool:
        """True if new keys may help: none are at hand, or a token named an unknown one, and the
        last refresh is some seconds ago."""
        return self._stale and self._clock() - self._asked_at >= _ASK_AGAIN_S

    def verify(self, token: bytes, now: float) -> Identity:
        if len(token) > _MAX_TOKEN_BYTES:
            raise BadToken(f"a token of {len(token):,} bytes, {_MAX_TOKEN_BYTES:,} allowed")
        trust = self._trust
        digest = hashlib.sha256(token).digest()
        known = trust.verified.get(digest)
        if known is not None:
            if now < known.expires_at + self._leeway_s:
                trust.verified.move_to_end(digest)
                return known
            del trust.verified[digest]
        identity = self._identity(self._claims(token, trust.keys), now)
        if len(trust.verified) >= _MAX_VERIFIED:
            trust.verified.popitem(last=False)
        trust.verified[digest] = identity
        return identity

    def claims(self, token: bytes, now: float) -> dict[str, Any]:
        """All that a token says, once its signature, issuer, audience and times were checked.
        ``now`` in seconds since the epoch. Raises BadToken."""
        if len(token) > _MAX_TOKEN_BYTES:
            raise BadToken(f"a token of {len(token):,} bytes, {_MAX_TOKEN_BYTES:,} allowed")
        found = self._claims(token, self._trust.keys)
        self._check(found, now)
        return found

    def refresh(self) -> None:
        self._stale = False
        try:
            keys = parse(fetch(self._jwks, self._timeout_s))
        except NoKeys as error:
            held = len(self._trust.keys.keys)
            self._stale = self._stale or not held
            if not self._failing:
                _log.warning("oidc: no keys from %s: %s; %d held", self._jwks, error, held)
            self._failing = True
            return
        finally:
            self._asked_at = self._clock()
        if self._failing:
            _log.warning("oidc: keys from %s again", self._jwks)
        self._failing = False
        if keys.source != self._trust.keys.source:
            self._trust = _Trust(keys)

    def _claims(self, token: bytes, keys: KeySet) -> dict[str, Any]:
        """What the token says, once its signature is proven."""
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            key = self._key(header.get("kid"), algorithm, keys)
            found = self._jwt.decode(
                token, key=key.public, algorithms=[str(algorithm)], options=_CHECKED_HERE
            )
        except jwt.InvalidSignatureError:
            raise BadToken("the token's signature is not the issuer's") from None
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise BadToken("no well-formed token") from None
        return found

    def _key(self, kid: object, algorithm: object, keys: KeySet) -> Key:
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            allowed = ", ".join(sorted(self._algorithms))
            raise BadToken(f"the token's algorithm is not one of {allowed}")
        if kid is not None and not isinstance(kid, str):
            raise BadToken("the token's key id is no text")
        key = keys.find(kid)
        if key is None:
            self._stale = True
            raise BadToken(f"the token's key is not among the {len(keys.keys)} of the issuer")
        if algorithm not in key.algorithms:
            raise BadToken("the token's algorithm is not its key's")
        return key

    def _identity(self, claims: dict[str, Any], now: float) -> Identity:
        expires_at = self._check(claims, now)
        return Identity(
            name_in(claims, self._tenant_claim),
            name_in(claims, "sub"),
            _scopes(claims, self._scopes_claim),
            expires_at,
        )

    def _check(self, claims: dict[str, Any], now: float) -> float:
        """Issuer, audience and times; when it expires."""
        if claims.get("iss") != self._issuer:
            raise BadToken(f"the token's issuer is not {self._issuer}")
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if self._audience not in audiences:
            raise BadToken(f"the token is not for {self._audience}")
        expires_at = _time(claims, "exp")
        if expires_at is None:
            raise BadToken("the token never expires")
        if now >= expires_at + self._leeway_s:
            raise BadToken(f"the token expired {now - expires_at:,.0f} s ago")
        for name in ("nbf", "iat"):
            begins_at = _time(claims, name)
            if begins_at is not None and now < begins_at - self._leeway_s:
                raise BadToken(f"the token is valid in {begins_at - now:,.0f} s only (`{name}`)")
        return expires_at


def _time(claims: dict[str, Any], name: str) -> float | None:
    """Seconds since the epoch; None where the claim is absent."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadToken(f"the token's `{name}` is no time")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise BadToken(f"the token's `{name}` is no time")
    return seconds


def name_in(claims: Mapping[str, Any], claim: str) -> str:
    """A tenant's or a holder's name, by the rule for tenants. Raises BadToken."""
    value = claims.get(claim)
    if not isinstance(value, str):
        raise BadToken(f"the token's `{claim}` is no text")
    if not 0 < len(value) <= _MAX_NAME or value != value.strip() or not value.isprintable():
        raise BadToken(f"the token's `{claim}` is no name of 1 to {_MAX_NAME} printable characters")
    return value


def _scopes(claims: dict[str, Any], claim: str) -> frozenset[str]:
    """The scopes that Windvane knows; others are other services' business."""
    value = claims.get(claim, "")
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise BadToken(f"the token's `{claim}` is no list of scopes")
    return _SCOPES.intersection(words)

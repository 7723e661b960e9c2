"""The client of an OpenID Connect provider: discovery, the code's redemption, the ID token."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx

from windvane.adapters.jwt.keys import BadOidc
from windvane.adapters.jwt.verifier import DEFAULT_ALGORITHMS, JwtVerifier, name_in
from windvane.ports.identity import BadToken
from windvane.ports.openid import ProvenUser, ProviderUnavailable

_MAX_BYTES = 256 << 10
_MOST_GROUPS = 1_000
_DISCOVERED_FOR_S = 3_600.0
_LONGEST_CODE = 4_096


@dataclass(frozen=True, slots=True)
class _Discovered:
    authorize: str
    token: str
    verifier: JwtVerifier
    by_basic: bool
    at: float


class OidcProvider:
    """``issuer`` is asked for its endpoints once an hour. ``client_secret`` "" is a public client.
    ``name_claim`` has to be one that its holder cannot choose: it names them in the records.

    Raises BadOidc for settings that cannot work.
    """

    def __init__(
        self,
        *,
        issuer: str,
        client_id: str,
        client_secret: str = "",
        scopes: Sequence[str] = ("openid",),
        name_claim: str = "sub",
        groups_claim: str = "groups",
        timeout_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if urlsplit(issuer).scheme not in ("https", "http") or not client_id:
            raise BadOidc("`sign_in.oidc` needs an `issuer`, a web address, and a `client_id`")
        self._issuer, self._client_id, self._client_secret = issuer, client_id, client_secret
        self._scopes = " ".join(dict.fromkeys(["openid", *scopes]))
        self._name_claim, self._groups_claim = name_claim, groups_claim
        self._timeout_s, self._clock = timeout_s, clock
        self._held: _Discovered | None = None

    def authorize_url(self, *, redirect_uri: str, state: str, nonce: str, challenge: str) -> str:
        found = self._discover()
        query = {
            "response_type": "code", "client_id": self._client_id, "redirect_uri": redirect_uri,
            "scope": self._scopes, "state": state, "nonce": nonce,
            "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        joint = "&" if urlsplit(found.authorize).query else "?"
        return f"{found.authorize}{joint}{urlencode(query)}"

    def redeem(
        self, code: str, *, redirect_uri: str, verifier: str, nonce: str, now: float
    ) -> ProvenUser:
        if not 0 < len(code) <= _LONGEST_CODE:
            raise BadToken(f"a code of {len(code):,} characters, 1 to {_LONGEST_CODE:,} allowed")
        found = self._discover()
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri,
            "client_id": self._client_id, "code_verifier": verifier,
        }  # fmt: skip
        basic: httpx.BasicAuth | None = None
        if self._client_secret and found.by_basic:
            basic = httpx.BasicAuth(self._client_id, self._client_secret)
        elif self._client_secret:
            form["client_secret"] = self._client_secret
        body = self._ask("POST", found.token, form, basic)
        token = body.get("id_token")
        if not isinstance(token, str):
            raise BadToken("the provider gave no ID token for the code")
        return self._proven(self._claims(found.verifier, token, now), nonce)

    def _claims(self, verifier: JwtVerifier, token: str, now: float) -> dict[str, Any]:
        """With the provider's keys fetched anew where the token names one that is not at hand."""
        if verifier.stale:
            verifier.refresh()
        try:
            return verifier.claims(token.encode(), now)
        except BadToken:
            if not verifier.stale:
                raise
            verifier.refresh()
            return verifier.claims(token.encode(), now)

    def _proven(self, claims: Mapping[str, Any], nonce: str) -> ProvenUser:
        sent = claims.get("nonce")
        if not isinstance(sent, str) or not hmac.compare_digest(sent.encode(), nonce.encode()):
            raise BadToken("the ID token's nonce is not that of this sign-in")
        azp = claims.get("azp")
        audience = claims.get("aud")
        several = isinstance(audience, list) and len(audience) > 1
        if azp != self._client_id and (several or azp is not None):
            raise BadToken("the ID token is for another client (`azp`)")
        given = claims.get(self._groups_claim, [])
        groups = [given] if isinstance(given, str) else given
        if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
            raise BadToken(f"the ID token's `{self._groups_claim}` is no list of groups")
        if len(groups) > _MOST_GROUPS:
            raise BadToken(f"{len(groups):,} groups, {_MOST_GROUPS:,} allowed")
        return ProvenUser(name_in(claims, self._name_claim), tuple(groups))

    def _discover(self) -> _Discovered:
        held = self._held
        now = self._clock()
        if held is not None and now - held.at < _DISCOVERED_FOR_S:
            return held
        address = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        body = self._ask("GET", address)
        if body.get("issuer") != self._issuer:
            raise ProviderUnavailable(f"{address} is of another issuer than {self._issuer}")
        places = [body.get(f"{name}_endpoint") for name in ("authorization", "token")]
        places.append(body.get("jwks_uri"))
        secure = urlsplit(self._issuer).scheme == "https"
        wanted = {"https"} if secure else {"https", "http"}
        if not all(isinstance(p, str) and urlsplit(p).scheme in wanted for p in places):
            raise ProviderUnavailable(f"{address} does not name its endpoints by {wanted}")
        authorize, token, jwks = map(str, places)
        same_keys = held is not None and held.authorize == authorize and held.token == token
        verifier = (
            held.verifier
            if held is not None and same_keys
            else JwtVerifier(
                issuer=self._issuer, audience=self._client_id, jwks=jwks,
                algorithms=DEFAULT_ALGORITHMS, timeout_s=self._timeout_s,
            )
        )  # fmt: skip
        methods = body.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        by_basic = isinstance(methods, list) and "client_secret_basic" in methods
        self._held = _Discovered(authorize, token, verifier, by_basic, now)
        return self._held

    def _ask(
        self,
        method: str,
        url: str,
        form: Mapping[str, str] | None = None,
        basic: httpx.BasicAuth | None = None,
    ) -> dict[str, Any]:
        """A JSON object; raises ProviderUnavailable, and BadToken where the provider refuses."""
        deadline = time.monotonic() + 2 * self._timeout_s
        body = b""
        try:
            with (
                httpx.Client(timeout=self._timeout_s, follow_redirects=False) as client,
                client.stream(
                    method, url, data=form, auth=basic or httpx.USE_CLIENT_DEFAULT,
                    headers={"Accept": "application/json"},
                ) as answer,
            ):  # fmt: skip
                for part in answer.iter_bytes():
                    body += part
                    if len(body) > _MAX_BYTES or time.monotonic() > deadline:
                        raise ProviderUnavailable(f"the answer of {_host(url)} has no end")
                status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            message = f"{_host(url)} does not answer: {type(error).__name__}"
            raise ProviderUnavailable(message) from None
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        if method == "POST" and status in (400, 401, 403):
            # Not the provider's own words, which may quote what was sent.
            raise BadToken("the provider does not take the code")
        if status != httpx.codes.OK or not isinstance(found, dict):
            raise ProviderUnavailable(f"{_host(url)} answered {status}, or no JSON object")
        return found


def _host(url: str) -> str:
    return urlsplit(url).hostname or "the provider"

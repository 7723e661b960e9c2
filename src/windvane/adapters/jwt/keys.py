"""An issuer's public keys (a JSON Web Key Set): fetching them, and which of them may sign what."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import httpx
import jwt

from windvane.core.errors import WindvaneError
from windvane.ports.regular_file import read_regular_file

_log = logging.getLogger(__name__)

MAX_BYTES = 1 << 20
_MAX_KEYS = 64
_MIN_RSA_BITS = 2048

# What a kind of key can sign with. Nothing symmetric: whoever can check such a signature can make
# it, and a public key must never be taken for its secret.
_SIGNS: Mapping[tuple[str, str], frozenset[str]] = {
    ("RSA", ""): frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
}
ALGORITHMS = frozenset().union(*_SIGNS.values())


class BadOidc(WindvaneError):
    """The setting `oidc` cannot work."""

    code: ClassVar[str] = "IDN-102"
    hint = "`issuer`, `audience` and `jwks` (an https address or a file) are needed"


class NoKeys(Exception):
    """The issuer's keys were not to be had; never leaves this adapter."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key, and the algorithms that it may be used with."""

    public: Any
    algorithms: frozenset[str]


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys by their id; ``source`` is what they were read from, to tell a change."""

    keys: Mapping[str, Key] = field(default_factory=dict)
    source: str = ""

    def find(self, kid: str | None) -> Key | None:
        """The key of that id. A token need not name it if there is no choice."""
        if kid is None:
            return next(iter(self.keys.values())) if len(self.keys) == 1 else None
        return self.keys.get(kid)


def check_address(jwks: str) -> None:
    """Raise BadOidc for what is neither a web address nor a path."""
    scheme = urlsplit(jwks).scheme
    if not jwks or (scheme and scheme not in {"http", "https"}):
        raise BadOidc(f"`jwks` is {jwks!r}, neither a web address nor a file")
    if scheme == "http":
        _log.warning("oidc: the issuer's keys come by plain http: anybody between can change them")


def fetch(jwks: str, timeout_s: float) -> bytes:
    """The set as it lies at its address; raises NoKeys, with the reason."""
    try:
        if not urlsplit(jwks).scheme:
            return read_regular_file(Path(jwks), MAX_BYTES)
        return _download(jwks, timeout_s)
    except (OSError, ValueError, httpx.HTTPError, httpx.InvalidURL) as error:
        raise NoKeys(f"{type(error).__name__}: {error}") from None


def _download(url: str, timeout_s: float) -> bytes:
    deadline = time.monotonic() + timeout_s
    body = b""
    with (
        httpx.Client(timeout=timeout_s, follow_redirects=False) as client,
        client.stream("GET", url, headers={"Accept": "application/json"}) as answer,
    ):
        if answer.status_code != httpx.codes.OK:
            raise NoKeys(f"status {answer.status_code}")
        for part in answer.iter_bytes():
            body = _bounded(body + part)
            if time.monotonic() > deadline:
                raise NoKeys(f"not read within {timeout_s:.0f} s")
    return body


def _bounded(body: bytes) -> bytes:
    if len(body) > MAX_BYTES:
        raise NoKeys(f"more than {MAX_BYTES:,} bytes")
    return body


def parse(body: bytes) -> KeySet:
    """The usable keys; raises NoKeys where none is."""
    try:
        document = json.loads(body)
    except ValueError as error:
        raise NoKeys(f"no JSON: {type(error).__name__}") from None
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise NoKeys("no JSON Web Key Set")
    keys: dict[str, Key] = {}
    for entry in listed[:_MAX_KEYS]:
        key = _key(entry) if isinstance(entry, dict) else None
        if key is not None:
            keys.setdefault(str(entry.get("kid", "")), key)
    if not keys:
        raise NoKeys(f"none of {len(listed)} keys can be used to check a signature")
    return KeySet(keys, json.dumps(listed, sort_keys=True))


def _key(entry: dict[str, Any]) -> Key | None:
    """The key of an entry that is one for signatures and of a kind that we take."""
    algorithms = _SIGNS.get((str(entry.get("kty")), str(entry.get("crv", ""))))
    named = entry.get("alg")
    if algorithms is None or entry.get("use", "sig") != "sig":
        return None
    if named is not None:
        algorithms &= {str(named)}
    if not algorithms:
        return None
    try:
        public = jwt.PyJWK(entry, algorithm=min(algorithms)).key
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        _log.warning("oidc: a key of the issuer cannot be read: %s", type(error).__name__)
        return None
    if hasattr(public, "private_bytes"):  # somebody published a secret; its public half will do
        _log.error("oidc: the issuer's key set holds a private key")
        public = public.public_key()
    if entry["kty"] == "RSA" and public.key_size < _MIN_RSA_BITS:
        _log.warning("oidc: a key of %d bits is too short", public.key_size)
        return None
    return Key(public, algorithms)

"""Signed tokens (JWT) of an OpenID Connect issuer."""

from windvane.adapters.jwt.keys import BadOidc
from windvane.adapters.jwt.openid import OidcProvider
from windvane.adapters.jwt.verifier import JwtVerifier

__all__ = ["BadOidc", "JwtVerifier", "OidcProvider"]

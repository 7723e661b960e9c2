"""Tokens signed with real keys: what is let in, and each way of not being let in."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from contracts.identity.issuer import (
    AUDIENCE,
    ISSUER,
    NOW,
    Publisher,
    Server,
    claims,
    jwk,
    make_key,
    sign,
)
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windvane.adapters.jwt import BadOidc, JwtVerifier
from windvane.ports.identity import BadToken, Identity

RSA = make_key("RS256")
EC = make_key("ES256")
ED = make_key("EdDSA")


class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def published(tmp_path: Path) -> Publisher:
    file = tmp_path / "keys.json"
    return Publisher(str(file), file)


def verifier_of(published: Publisher, *entries: dict[str, Any], **options: Any) -> JwtVerifier:
    published.publish(*entries)
    verifier = JwtVerifier(issuer=ISSUER, audience=AUDIENCE, jwks=published.address, **options)
    verifier.refresh()
    return verifier


@pytest.fixture
def verifier(published: Publisher) -> JwtVerifier:
    return verifier_of(published, jwk(RSA, "k"), jwk(EC, "ec"), jwk(ED, "ed"))


@pytest.mark.parametrize(
    ("key", "kid", "algorithm"), [(RSA, "k", "RS256"), (EC, "ec", "ES256"), (ED, "ed", "EdDSA")]
)
def test_a_good_token_says_who_sends_it(
    verifier: JwtVerifier, key: Any, kid: str, algorithm: str
) -> None:
    for _ in range(2):  # the second time from memory
        found = verifier.verify(sign(key, kid, algorithm), NOW)
        assert found == Identity("acme", "robot-7", frozenset({"predict"}), NOW + 300)
    assert not verifier.stale


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        ("predict outcomes read operate admin", "predict outcomes read operate admin"),
        (["predict", "other"], "predict"),
        ("", ""),
        (None, ""),
        ("PREDICT predict-all", ""),
    ],
)
def test_scopes_are_those_that_windvane_knows(
    verifier: JwtVerifier, scope: Any, found: str
) -> None:
    assert verifier.verify(sign(RSA, scope=scope), NOW).scopes == frozenset(found.split())


def test_claims_may_have_other_names(published: Publisher) -> None:
    verifier = verifier_of(
        published, jwk(RSA, "k"), tenant_claim="https://acme.example/org", scopes_claim="roles"
    )
    more = {"https://acme.example/org": "beta", "roles": ["read"], "tenant": "acme"}
    found = verifier.verify(sign(RSA, **more), NOW)
    assert (found.tenant, found.scopes) == ("beta", frozenset({"read"}))


def test_a_list_of_audiences_may_hold_ours(verifier: JwtVerifier) -> None:
    assert verifier.verify(sign(RSA, aud=["other", AUDIENCE]), NOW).tenant == "acme"


REFUSED = [
    ({"iss": "https://id.example/"}, "issuer is not"),
    ({"iss": None}, "issuer is not"),
    ({"iss": [ISSUER]}, "issuer is not"),
    ({"aud": "other"}, "not for windvane"),
    ({"aud": None}, "not for windvane"),
    ({"aud": ["windvane2", "wind"]}, "not for windvane"),
    ({"aud": {"windvane": 1}}, "not for windvane"),
    ({"exp": NOW - 31}, "expired 31 s ago"),
    ({"exp": None}, "never expires"),
    ({"exp": True}, "`exp` is no time"),
    ({"exp": "soon"}, "`exp` is no time"),
    ({"exp": float("nan")}, "`exp` is no time"),
    ({"exp": float("inf")}, "`exp` is no time"),
    ({"exp": 10**400}, "`exp` is no time"),
    ({"nbf": NOW + 31}, "valid in 31 s only"),
    ({"nbf": []}, "`nbf` is no time"),
    ({"iat": NOW + 31}, "valid in 31 s only"),
    ({"tenant": None}, "`tenant` is no text"),
    ({"tenant": 7}, "`tenant` is no text"),
    ({"tenant": ["acme"]}, "`tenant` is no text"),
    ({"tenant": ""}, "`tenant` is no name"),
    ({"tenant": " acme"}, "`tenant` is no name"),
    ({"tenant": "ac\nme"}, "`tenant` is no name"),
    ({"tenant": "a" * 129}, "`tenant` is no name"),
    ({"sub": None}, "`sub` is no text"),
    ({"sub": "a\x1b[2J"}, "`sub` is no name"),
    ({"scope": 7}, "`scope` is no list"),
    ({"scope": ["predict", 7]}, "`scope` is no list"),
    ({"scope": {"predict": True}}, "`scope` is no list"),
]


@pytest.mark.parametrize(("changed", "why"), REFUSED)
def test_a_claim_that_does_not_fit_is_refused_and_named(
    verifier: JwtVerifier, changed: dict[str, Any], why: str
) -> None:
    # Signed by hand: the library would not sign some of these.
    body = {k: v for k, v in {**claims(), **changed}.items() if v is not None}
    token = jwt.api_jws.encode(json.dumps(body).encode(), RSA, "RS256", {"kid": "k"}).encode()
    with pytest.raises(BadToken, match=f"IDN-101: .*{why}") as refused:
        verifier.verify(token, NOW)
    assert not any(part.decode() in str(refused.value) for part in token.split(b"."))


def test_clocks_may_be_half_a_minute_apart(verifier: JwtVerifier) -> None:
    token = sign(RSA, exp=NOW + 100, nbf=NOW, iat=NOW)
    assert verifier.verify(token, NOW - 30).tenant == "acme"
    for _ in range(2):  # the second time from memory
        assert verifier.verify(token, NOW + 129.9).tenant == "acme"
    for _ in range(2):
        with pytest.raises(BadToken, match="expired"):
            verifier.verify(token, NOW + 130)


def public_pem() -> bytes:
    return RSA.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def by_hand(header: dict[str, Any], body: dict[str, Any], signature: bytes) -> bytes:
    parts = json.dumps(header).encode(), json.dumps(body).encode(), signature
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)


def hmac_with_public_key(kid: str | None) -> bytes:
    """The public key taken for the secret of a symmetric signature."""
    import hashlib
    import hmac

    header = {"alg": "HS256", "typ": "JWT", **({} if kid is None else {"kid": kid})}
    unsigned = by_hand(header, claims(), b"").rpartition(b".")[0]
    digest = hmac.new(public_pem(), unsigned, hashlib.sha256).digest()
    return unsigned + b"." + base64.urlsafe_b64encode(digest).rstrip(b"=")


FORGED = {
    "none": by_hand({"alg": "none", "kid": "k"}, claims(), b""),
    "None": by_hand({"alg": "None", "kid": "k"}, claims(), b""),
    "no algorithm": by_hand({"kid": "k"}, claims(), b"x"),
    "public key as secret": hmac_with_public_key("k"),
    "public key as secret, unnamed": hmac_with_public_key(None),
    "another algorithm of the key": sign(RSA, "k", "PS256"),
    "an algorithm of another key": sign(EC, "k", "ES256"),
    "another key under the name": sign(make_key("RS256"), "k"),
    "critical extension": sign(RSA, "k", header={"crit": ["x"], "x": 1}),
    "its own key": sign(make_key("RS256"), "k", header={"jwk": jwk(RSA, "k")}),
    "a key id of another type": by_hand({"alg": "RS256", "kid": ["k"]}, claims(), b"x"),
    "unnamed where there are several": sign(RSA, None),
    "a claim changed": b".".join(
        [*sign(RSA, tenant="acme").split(b".")[:1], *sign(RSA, tenant="beta").split(b".")[1:2],
         *sign(RSA, tenant="acme").split(b".")[2:]]
    ),
    "no object": by_hand({"alg": "RS256", "kid": "k"}, [], b"x"),  # pyright: ignore
    "empty": b"",
    "two parts": b"a.b",
    "an API key": b"wv_abcdef",
    "no text": b"\xff\xfe.\x00.\x80",
    "huge": sign(RSA, more="x" * 20_000),
    "deep": by_hand({"alg": "RS256", "kid": "k"}, {}, b"x").replace(b".", b"." + b"W" * 10_000, 1),
}  # fmt: skip


@pytest.mark.parametrize("how", FORGED)
def test_a_forged_token_is_refused(verifier: JwtVerifier, how: str) -> None:
    with pytest.raises(BadToken, match="IDN-101"):
        verifier.verify(FORGED[how], NOW)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_change_of_a_bit_goes_unnoticed(verifier: JwtVerifier, data: st.DataObject) -> None:
    token = sign(ED, "ed", "EdDSA")
    at = data.draw(st.integers(0, len(token) - 1))
    changed = bytearray(token)
    changed[at] ^= data.draw(st.integers(1, 127))
    # The last character of the signature has bits that mean nothing.
    if bytes(changed) != token and at != len(token) - 1:
        with pytest.raises(BadToken):
            verifier.verify(bytes(changed), NOW)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(), st.text(alphabet="abcdeJ.=_-{}", max_size=60).map(str.encode)))
def test_no_bytes_do_worse_than_be_refused(verifier: JwtVerifier, token: bytes) -> None:
    with pytest.raises(BadToken):
        verifier.verify(token, NOW)


def test_one_key_need_not_be_named(published: Publisher) -> None:
    verifier = verifier_of(published, jwk(RSA, "k"))
    assert verifier.verify(sign(RSA, None), NOW).tenant == "acme"


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "kid": "k", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"},
        jwk(RSA, "k", use="enc"),
        jwk(RSA, "k", alg="RSA-OAEP"),
        jwk(RSA, "k", alg="HS256"),
        {"kty": "RSA", "kid": "k", "n": "AQAB"},
        {"kty": "EC", "crv": "P-256", "kid": "k", "x": "AA", "y": "AA"},
        {"kid": "k"},
        7,
    ],
)
def test_keys_that_cannot_check_a_signature_are_left_out(published: Publisher, entry: Any) -> None:
    verifier = verifier_of(published, entry, jwk(EC, "ec"))
    assert verifier.verify(sign(EC, "ec", "ES256"), NOW).tenant == "acme"
    with pytest.raises(BadToken, match="not among the 1 of the issuer"):
        verifier.verify(sign(RSA, "k"), NOW)


def test_a_short_key_is_left_out(published: Publisher, caplog: pytest.LogCaptureFixture) -> None:
    short = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)
    verifier = verifier_of(published, jwk(short, "k"))
    assert "1024 bits is too short" in caplog.text
    assert verifier.stale is False


def test_a_key_that_names_its_algorithm_signs_with_no_other(published: Publisher) -> None:
    options = {"algorithms": ("RS256", "RS512")}
    verifier = verifier_of(published, jwk(RSA, "k", alg="RS512"), **options)
    assert verifier.verify(sign(RSA, "k", "RS512"), NOW).tenant == "acme"
    with pytest.raises(BadToken, match="not its key's"):
        verifier.verify(sign(RSA, "k", "RS256"), NOW)


@pytest.mark.parametrize(
    "options",
    [
        {"algorithms": ("HS256",)},
        {"algorithms": ("RS256", "none")},
        {"algorithms": ()},
        {"issuer": ""},
        {"audience": ""},
        {"jwks": ""},
        {"jwks": "ftp://host/keys"},
    ],
)
def test_settings_that_cannot_be_safe_are_refused(options: dict[str, Any]) -> None:
    good = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": "/keys.json"}
    with pytest.raises(BadOidc, match="IDN-102"):
        JwtVerifier(**{**good, **options})


# Keys come and go.


@pytest.fixture(params=["file", "http"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Publisher]:
    if request.param == "file":
        file = tmp_path / "keys.json"
        yield Publisher(str(file), file)
        return
    server = Server()
    yield server.publisher
    server.stop()


def test_a_new_key_is_known_after_a_refresh_and_an_old_one_no_more(source: Publisher) -> None:
    clock = Clock()
    verifier = verifier_of(source, jwk(RSA, "old"), clock=clock)
    old, new = sign(RSA, "old"), sign(EC, "new", "ES256")
    assert verifier.verify(old, NOW).tenant == "acme"
    with pytest.raises(BadToken, match="not among"):
        verifier.verify(new, NOW)
    clock.at = 10.0
    assert verifier.stale
    source.publish(jwk(EC, "new"))
    verifier.refresh()
    assert not verifier.stale
    assert verifier.verify(new, NOW).tenant == "acme"
    # Verified before, and all the same not taken from memory.
    with pytest.raises(BadToken, match="not among"):
        verifier.verify(old, NOW)


def test_the_same_keys_again_keep_what_was_verified(source: Publisher) -> None:
    verifier = verifier_of(source, jwk(RSA, "k"))
    found = verifier.verify(sign(RSA), NOW)
    verifier.refresh()
    assert verifier.verify(sign(RSA), NOW) is found


def test_random_key_ids_ask_for_new_keys_every_ten_seconds_at_most(source: Publisher) -> None:
    clock = Clock()
    verifier = verifier_of(source, jwk(RSA, "k"), clock=clock)
    stranger = make_key("ES256")
    asked = 0
    for i in range(200):
        clock.at += 0.25
        with pytest.raises(BadToken):
            verifier.verify(sign(stranger, f"random-{i}", "ES256"), NOW)
        if verifier.stale:
            asked += 1
            verifier.refresh()
    assert asked == 5


BROKEN = [b"", b"{", b"[]", b'{"keys": 7}', b'{"keys": []}', b'{"keys": [{"kty": "oct"}]}',
          b'{"keys": []}' + b" " * (1 << 20), b"\xff"]  # fmt: skip


@pytest.mark.parametrize("body", BROKEN)
def test_a_set_that_is_none_keeps_the_old_keys_and_is_said_once(
    source: Publisher, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    verifier = verifier_of(source, jwk(RSA, "k"))
    source.publish_raw(body)
    verifier.refresh()
    verifier.refresh()
    assert verifier.verify(sign(RSA), NOW).tenant == "acme"
    no_keys = [r for r in caplog.records if "no keys from" in r.getMessage()]
    assert len(no_keys) == 1
    source.publish(jwk(EC, "k"))
    verifier.refresh()
    assert "again" in caplog.text
    with pytest.raises(BadToken):
        verifier.verify(sign(RSA), NOW)


def test_a_server_that_is_down_or_errs_keeps_the_old_keys(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server()
    verifier = verifier_of(server.publisher, jwk(RSA, "k"))
    for status in (500, 404, 302):
        headers = {"Location": "http://127.0.0.1:9/"} if status == 302 else {}
        server.publisher.publish_raw(b'{"keys": []}', status, **headers)
        verifier.refresh()
        assert verifier.verify(sign(RSA), NOW).tenant == "acme"
    assert "status 500" in caplog.text
    server.stop()
    verifier.refresh()
    assert verifier.verify(sign(RSA), NOW).tenant == "acme"


def test_without_keys_at_the_start_it_asks_again_and_refuses_meanwhile(
    published: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    verifier = JwtVerifier(issuer=ISSUER, audience=AUDIENCE, jwks=published.address, clock=clock)
    assert verifier.stale
    with caplog.at_level(logging.WARNING):
        verifier.refresh()
    assert "FileNotFoundError" in caplog.text
    assert not verifier.stale
    with pytest.raises(BadToken, match="not among the 0"):
        verifier.verify(sign(RSA), NOW)
    clock.at = 10.0
    assert verifier.stale
    published.publish(jwk(RSA, "k"))
    verifier.refresh()
    assert verifier.verify(sign(RSA), NOW).tenant == "acme"


def test_what_was_verified_is_bounded(verifier: JwtVerifier) -> None:
    token = sign(ED, "ed", "EdDSA")
    found = verifier.verify(token, NOW)
    memory = verifier._trust.verified
    for i in range(5_000):
        memory[b"%d" % i] = found
    while len(memory) > 4_096:
        memory.popitem(last=False)
    verifier.verify(sign(ED, "ed", "EdDSA", sub="other"), NOW)
    assert len(memory) == 4_096


def test_plain_http_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    JwtVerifier(issuer=ISSUER, audience=AUDIENCE, jwks="http://id.example/keys")
    assert "plain http" in caplog.text

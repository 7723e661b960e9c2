"""A small OpenID Connect provider: discovery, authorization with PKCE, codes, signed ID tokens."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from contracts.identity.issuer import jwk, make_key, sign

CLIENT, SECRET = "windvane-console", "s3cret-of-the-client"


@dataclass
class Provider:
    """Everybody who comes is ``user``, with ``groups``. ``claims`` change the ID token, ``signer``
    who signs it. ``asked`` are the queries that browsers came with."""

    user: str = "8f2c"
    groups: Any = field(default_factory=lambda: ["ml-ops"])
    claims: dict[str, Any] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    discovery: dict[str, Any] = field(default_factory=dict)
    address: str = ""
    key: Any = field(default_factory=lambda: make_key("ES256"))
    signer: Any = None

    def authorize(self, query: dict[str, str]) -> str:
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        self.asked.append(query)
        code = f"code-{len(self.asked)}"
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def redeem(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        asked = self.codes.pop(form.get("code", ""), None)  # each code once
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        good = (
            authorization == f"Basic {basic}"
            and asked is not None
            and challenge == asked["code_challenge"]
            and form.get("redirect_uri") == asked["redirect_uri"]
        )
        if not good or asked is None:
            return 400, {"error": "invalid_grant"}
        now = time.time()
        given = {
            "iss": self.address, "aud": CLIENT, "sub": self.user, "nonce": asked["nonce"],
            "groups": self.groups, "iat": now, "exp": now + 60, "tenant": None, "scope": None,
            **self.claims,
        }  # fmt: skip
        token = sign(self.signer or self.key, algorithm="ES256", **given)
        return 200, {"id_token": token.decode(), "access_token": "a", "token_type": "Bearer"}

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        if path == "/.well-known/openid-configuration":
            places = {
                "issuer": self.address, "authorization_endpoint": f"{self.address}/authorize",
                "token_endpoint": f"{self.address}/token", "jwks_uri": f"{self.address}/keys",
            }  # fmt: skip
            return 200, {**places, **self.discovery}
        if path == "/keys":
            return 200, {"keys": [jwk(self.key, "k")]}
        return 404, {}


@contextmanager
def running_provider() -> Iterator[Provider]:
    """On a port of loopback, until the block ends."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            where = urlsplit(self.path)
            if where.path == "/authorize":
                query = {k: v[0] for k, v in parse_qs(where.query).items()}
                self.send_response(302)
                self.send_header("Location", provider.authorize(query))
                self.end_headers()
                return
            self._send(*provider.answer(where.path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            form = {k: v[0] for k, v in parse_qs(body).items()}
            self._send(*provider.redeem(form, self.headers.get("authorization", "")))

        def _send(self, status: int, body: dict[str, Any]) -> None:
            raw = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *given: Any) -> None:
            del given

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)

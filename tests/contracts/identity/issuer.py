"""An issuer of tokens: its keys, its key set as a file or by HTTP, and the tokens it signs."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE, NOW = "https://id.example", "windvane", 1_800_000_000.0

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def make_key(algorithm: str) -> Private:
    if algorithm.startswith("ES"):
        return ec.generate_private_key(ec.SECP256R1() if algorithm == "ES256" else ec.SECP384R1())
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def jwk(key: Private, kid: str, **more: str) -> dict[str, Any]:
    """The public half as an entry of a key set."""
    maker = {
        rsa.RSAPrivateKey: RSAAlgorithm,
        ec.EllipticCurvePrivateKey: ECAlgorithm,
        ed25519.Ed25519PrivateKey: OKPAlgorithm,
    }
    algorithm = next(a for kind, a in maker.items() if isinstance(key, kind))
    public: Any = key.public_key()
    return {**json.loads(algorithm.to_jwk(public)), "kid": kid, **more}


def claims(**changed: Any) -> dict[str, Any]:
    """Good ones, but for what is ``changed``; None takes one out."""
    good: dict[str, Any] = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "robot-7", "tenant": "acme",
        "scope": "predict openid", "iat": NOW - 10, "exp": NOW + 300,
    }  # fmt: skip
    return {k: v for k, v in {**good, **changed}.items() if v is not None}


def sign(
    key: Any, kid: str | None = "k", algorithm: str = "RS256", header: Any = None, **changed: Any
) -> bytes:
    headers = {**({} if kid is None else {"kid": kid}), **(header or {})}
    return jwt.encode(claims(**changed), key, algorithm=algorithm, headers=headers).encode()


@dataclass
class Publisher:
    """Where a key set lies, as a file or on a local server; ``publish`` changes it."""

    address: str
    file: Path | None = None
    answer: dict[str, Any] = field(default_factory=dict)

    def publish(self, *entries: Mapping[str, Any]) -> None:
        self.publish_raw(json.dumps({"keys": entries}).encode())

    def publish_raw(self, body: bytes, status: int = 200, **headers: str) -> None:
        if self.file is not None:
            fresh = self.file.with_suffix(".new")
            fresh.write_bytes(body)
            fresh.replace(self.file)
        self.answer.update(status=status, body=body, headers=headers)


class Server:
    """Serves a publisher's key set on a free port of this machine."""

    def __init__(self, port: int = 0) -> None:
        publisher = self.publisher = Publisher("")

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                given = publisher.answer
                self.send_response(given["status"])
                for name, value in given["headers"].items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(given["body"])))
                self.end_headers()
                try:
                    self.wfile.write(given["body"])
                except OSError:
                    pass  # the client had enough

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        publisher.address = f"http://127.0.0.1:{self.port}/keys"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

"""A whole installation by TLS, with gRPC beside HTTP and two workers behind both."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import grpc
import httpx
import pytest
from apps.gateway.test_http_tls import CHAIN, KEY, issue
from journeys.gateway_load import body_of, pids, settle
from journeys.installation import MODEL, Installation, free_port, wait_until

from windvane.apps.gateway.protocols.open_inference_messages import (
    SERVICE,
    ModelInferRequest,
    ModelInferResponse,
)

ROW = {"distance": 5.0, "kind": "van", "rain": 0.0}


def message() -> bytes:
    made = ModelInferRequest(model_name=MODEL)
    for name, datatype, field, value in (
        ("distance", "FP64", "fp64_contents", 5.0),
        ("kind", "BYTES", "bytes_contents", b"van"),
        ("rain", "FP64", "fp64_contents", 0.0),
    ):
        tensor = made.inputs.add(name=name, datatype=datatype, shape=[1])
        getattr(tensor.contents, field).append(value)
    return made.SerializeToString()


def by_grpc(port: int, key: str, roots: bytes) -> ModelInferResponse:
    options = [("grpc.use_local_subchannel_pool", 1)]
    credentials = grpc.ssl_channel_credentials(roots)
    with grpc.secure_channel(f"localhost:{port}", credentials, options) as channel:
        ask = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        answer = ask(message(), metadata=(("authorization", f"Bearer {key}"),), timeout=20)
    return ModelInferResponse.FromString(answer)


def test_all_that_listens_speaks_tls_and_shows_a_renewed_certificate(home: Installation) -> None:
    issue(home.home, 1)
    port = free_port()
    tls = {"certificate": CHAIN, "key": KEY}
    settle(home, grpc_port=port, tls=tls, workers=2)
    home.start("up")
    wait_until("all children run", lambda: "console" in pids(home))

    def serials() -> set[int]:
        """Of what the gateway and the console show to new connections."""
        found = set()
        for one in (home.port, home.console_port):
            pem = ssl.get_server_certificate(("127.0.0.1", one), timeout=10)
            certificate = ssl.PEM_cert_to_DER_cert(pem)
            found.add(_serial(certificate))
        return found

    def ask() -> float:
        trust = ssl.create_default_context(cafile=home.home / CHAIN)
        with httpx.Client(verify=trust, timeout=20) as client:
            answer = client.post(
                f"https://localhost:{home.port}/v1/models/{MODEL}/predict",
                content=body_of(ROW),
                headers={"authorization": f"Bearer {home.key}", "content-type": "application/json"},
            )
            assert answer.status_code == 200, answer.text
            assert client.get(f"https://localhost:{home.console_port}/sign-in").status_code == 200
        return answer.json()["predictions"][0]["value"]

    message = ask()
    roots = (home.home / CHAIN).read_bytes()
    for _ in range(8):  # whichever worker
        assert list(by_grpc(port, home.key, roots).outputs[0].contents.fp64_contents) == [message]
    assert serials() == {1}
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{home.port}/readyz", timeout=5)
    issue(home.home, 2)
    wait_until("the new certificate is shown", lambda: serials() == {2}, 30.0)
    assert ask() == message
    renewed = (home.home / CHAIN).read_bytes()
    assert list(by_grpc(port, home.key, renewed).outputs[0].contents.fp64_contents) == [message]
    wait_until("all are logged", lambda: len(home.logged()) == 11, 30.0)


def test_the_first_key_is_not_lost_where_the_port_is_taken(tmp_path: Path) -> None:
    home = Installation(tmp_path / "fresh", free_port(), free_port())
    home.home.mkdir()
    settle(home, port=home.port, console_port=home.console_port)
    with socket.create_server(("127.0.0.1", home.port)):
        assert home.start("up").wait(60) == 1
    assert "first API key" not in (home.home / "up.log").read_text()
    home.start("up")
    try:
        wait_until("the key is shown", lambda: "wv_" in (home.home / "up.log").read_text())
    finally:
        home.stop()


def test_a_certificate_that_is_none_is_named_before_anything_starts(home: Installation) -> None:
    settle(home, tls={"certificate": "none.pem", "key": "none.key"})
    started = home.start("up")
    assert started.wait(60) == 1
    message = (home.home / "up.log").read_text().replace("\n", "")  # wrapped at 80 columns
    assert "TLS-101" in message
    assert "none.pem" in message
    assert "Traceback" not in message


def _serial(der: bytes) -> int:
    from cryptography import x509

    return x509.load_der_x509_certificate(der).serial_number


def test_the_paths_are_of_the_home(tmp_path: Path) -> None:
    (tmp_path / "windvane.yaml").write_text("tls: {certificate: a.pem, key: /etc/b.pem}\n")
    settings = Installation(tmp_path, 0, 0).settings
    assert settings.certificate == (tmp_path / "a.pem", Path("/etc/b.pem"))
    assert settings.scheme == "https"

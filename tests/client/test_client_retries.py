"""What is sent again, how long after, and what never is: against a server that follows a script."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import logging
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from client.serving import Scripted, Step, scripted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from windvane.client import ApiError, AsyncClient, BadArgument, Client, NoResponse, Predictions

KEY = "wv_5f0c_verysecret"
ROW = [{"x": 1.0}]
ANSWER: Step = (
    200, {}, {"request_id": "r", "model": "m",
              "predictions": [{"value": 0.5, "version": "1", "arm": "champion", "flags": []}]},
)  # fmt: skip
FULL: Step = (503, {}, {"error": {"code": "GAT-107", "message": "full", "hint": ""}})


def told(code: str, status: int, **headers: str) -> Step:
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    return (
        status,
        extra,
        {"error": {"code": code, "message": "no", "hint": "do"}, "request_id": "r"},
    )


def predict(server: Scripted, *, deadline: float = 10.0, **more: Any) -> Predictions:
    retries = more.pop("retries", 4)
    with Client(server.url, KEY, deadline=deadline, retries=retries) as client:
        return client.predict("m", ROW, **more)


@pytest.mark.parametrize(
    "step", ["drop", FULL, told("GAT-110", 503), told("GAT-109", 429), told("GAT-117", 409)]
)
def test_what_is_safe_is_sent_again_under_the_same_key(step: Step) -> None:
    with scripted(step, step, ANSWER) as server:
        assert predict(server).values == [0.5]
    assert len(server.seen) == 3
    assert len({seen.headers["idempotency-key"] for seen in server.seen}) == 1
    assert len({seen.body for seen in server.seen}) == 1


@pytest.mark.parametrize(
    "step",
    [
        told("CON-110", 422), told("GAT-101", 401), told("GAT-102", 404), told("GAT-199", 500),
        told("GAT-112", 504), (502, {}, b"<html>bad gateway</html>"), told("GAT-116", 422),
    ],
)  # fmt: skip
def test_what_is_refused_for_good_is_not_sent_again(step: Step) -> None:
    with scripted(step) as server:
        with pytest.raises(ApiError) as raised:
            predict(server)
        assert len(server.seen) == 1
    assert raised.value.status == step[0]


def test_without_a_key_a_lost_response_is_not_asked_for_again() -> None:
    with scripted("drop", ANSWER) as server:
        with pytest.raises(NoResponse):
            predict(server, idempotency_key=None)
        assert len(server.seen) == 1
    with scripted(told("GAT-117", 409)) as server, pytest.raises(ApiError, match="GAT-117"):
        predict(server, idempotency_key=None)
    with scripted(told("GAT-110", 503), ANSWER) as server:
        assert predict(server, idempotency_key=None).values == [0.5]
        assert "idempotency-key" not in server.seen[0].headers


def test_each_call_has_a_key_of_its_own() -> None:
    with scripted(ANSWER) as server, Client(server.url, KEY) as client:
        for _ in range(3):
            client.predict("m", ROW)
    assert len({seen.headers["idempotency-key"] for seen in server.seen}) == 3


def test_it_waits_for_as_long_as_it_is_asked_to() -> None:
    with scripted(told("GAT-109", 429, retry_after="1"), ANSWER) as server:
        began = time.monotonic()
        assert predict(server).values == [0.5]
        assert time.monotonic() - began >= 1.0


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    with scripted(told("GAT-109", 429, retry_after="30"), ANSWER) as server:
        began = time.monotonic()
        with pytest.raises(ApiError) as raised:
            predict(server, deadline=5.0)
        assert time.monotonic() - began < 4.0
        assert len(server.seen) == 1
    assert raised.value.retry_after_s == 30.0


def test_retries_are_bounded() -> None:
    with scripted(FULL) as server:
        with pytest.raises(ApiError, match="GAT-107"):
            predict(server, retries=2)
        assert len(server.seen) == 3


def test_a_server_that_says_nothing_costs_no_more_than_the_deadline() -> None:
    with scripted("hang") as server:
        began = time.monotonic()
        with pytest.raises(NoResponse, match="no response in time") as raised:
            predict(server, deadline=0.3)
        assert time.monotonic() - began < 5.0
        assert raised.value.status == 0


def test_a_deadline_is_told_as_what_is_left() -> None:
    with scripted(FULL, ANSWER) as server, Client(server.url, KEY) as client:
        client.predict("m", ROW, deadline=8.0)
    first, second = (int(s.headers["x-request-deadline"].removesuffix("ms")) for s in server.seen)
    assert 0 < second <= first <= 8_000
    with scripted(ANSWER) as server, Client(server.url, KEY) as client:
        client.predict("m", ROW)
        assert "x-request-deadline" not in server.seen[0].headers


def test_nobody_listening_is_tried_again_and_then_told() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # taken, and nobody accepts
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        with Client(url, KEY, retries=2) as client, pytest.raises(NoResponse, match="CLN-101"):
            client.predict("m", ROW)


def test_async_retries_and_gives_up_in_time() -> None:
    async def run(url: str, deadline: float) -> Any:
        async with AsyncClient(url, KEY, deadline=deadline) as client:
            return await client.predict("m", ROW)

    with scripted("drop", FULL, ANSWER) as server:
        assert asyncio.run(run(server.url, 10.0)).values == [0.5]
        assert len({seen.headers["idempotency-key"] for seen in server.seen}) == 1
    with scripted("hang") as server, pytest.raises(NoResponse):
        asyncio.run(run(server.url, 0.3))


def test_jitter_spreads_and_grows() -> None:
    from windvane.client.calls import Call
    from windvane.client.retrying import Attempts, Options

    options = Options("http://h", KEY, retries=10, deadline_s=86_400.0, dice=lambda: 1.0)
    attempts = Attempts(options, Call("GET", "/", lambda body, headers: body), None)
    waits = [attempts.answered(503, {}, b"") for _ in range(10)]
    assert [round(w.wait_s, 3) for w in waits if not isinstance(w, bytes)] == [
        0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0,
    ]  # fmt: skip
    none = Options("http://h", KEY, dice=lambda: 0.0)
    attempts = Attempts(none, Call("GET", "/", lambda body, headers: body), None)
    wait = attempts.answered(503, {"retry-after": "2"}, b"")
    assert not isinstance(wait, bytes)
    assert wait.wait_s == 2.0


@pytest.mark.parametrize(
    "step",
    [(200, {}, b"{"), (200, {}, {"request_id": "r"}), (200, {}, {**ANSWER[2], "predictions": []})],
)
def test_an_answer_that_is_none_is_an_error(step: Step) -> None:
    with scripted(step) as server, pytest.raises(ApiError, match="CLN-100"):
        predict(server)


def test_outcomes_and_events_are_sent_again_for_they_are_the_same_by_their_ids() -> None:
    accepted: Step = (202, {}, {"accepted": 1, "request_ids": ["e"]})
    with scripted("drop", accepted) as server, Client(server.url, KEY) as client:
        assert client.send_outcomes("m", [{"request_id": "a", "value": True}]) == 1
        assert server.seen[1].json == {
            "model": "m", "outcomes": [{"request_id": "a", "value": True}],
        }  # fmt: skip
    with scripted("drop", accepted) as server, Client(server.url, KEY) as client:
        sent = client.send_events("m", [{"id": "a", "features": {}, "outputs": 0.5}])
        assert sent.request_ids == ["e"]


def test_the_key_is_from_the_environment_and_in_no_message(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("WINDVANE_API_KEY", KEY)
    message: list[str] = []
    with scripted("drop", FULL, ANSWER) as server, Client(server.url) as client:
        client.predict("m", ROW)
        message += [repr(client), repr(client._options), str(vars(client))]
        assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"
    with scripted("drop") as server, Client(server.url, retries=0) as client:
        with pytest.raises(NoResponse) as raised:
            client.predict("m", ROW)
        message += [str(raised.value), repr(raised.value), repr(raised.value.__cause__)]
    message += [record.getMessage() for record in caplog.records]
    assert not [text for text in message if "verysecret" in text]


def test_what_a_client_is_made_of_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WINDVANE_API_KEY", raising=False)
    with pytest.raises(BadArgument, match="no API key"):
        Client("http://h")
    for url in ("h", "ftp://h", "http://", "http://u:p@h", "http://h?x=1"):
        with pytest.raises(BadArgument) as raised:
            Client(url, KEY)
        assert "p@h" not in str(raised.value)
    with pytest.raises(BadArgument) as raised:
        Client("http://h", "wv_secret\nx")
    assert "secret" not in str(raised.value)
    with pytest.raises(BadArgument, match="holds no certificates"):
        Client("https://h", KEY, verify="/nowhere.pem")


def issue(folder: Path) -> ssl.SSLContext:
    """A certificate of our own for this machine, as ``chain.pem``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now, day = (
        datetime.datetime.fromtimestamp(time.time(), datetime.UTC),
        datetime.timedelta(days=1),
    )
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(here, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, secret))
    (folder / "chain.pem").write_bytes(signed.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    return context


def test_a_certificate_that_nobody_vouches_for_is_not_believed(tmp_path: Path) -> None:
    context = issue(tmp_path)
    with scripted(ANSWER, tls=context) as server:
        with Client(server.url, KEY, retries=0) as client, pytest.raises(NoResponse):
            client.predict("m", ROW)
        with Client(server.url, KEY, verify=str(tmp_path / "chain.pem")) as client:
            assert client.predict("m", ROW).values == [0.5]


def test_importing_it_loads_nothing_heavy() -> None:
    code = (
        "import sys, windvane.client\n"
        "heavy = {'pandas', 'numpy', 'pyarrow', 'sklearn', 'mlflow', 'sqlalchemy', 'onnxruntime',"
        " 'yaml', 'duckdb', 'typer'}\n"
        "print(sorted(heavy & set(sys.modules)), sorted(m for m in sys.modules if"
        " m.startswith('windvane.') and not m.startswith(('windvane.client', 'windvane.core'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[] []"

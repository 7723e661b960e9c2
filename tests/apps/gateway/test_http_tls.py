"""Connections by TLS: bounded from their first byte, and certificates that are renewed."""

from __future__ import annotations

import asyncio
import datetime
import os
import ssl
import time
from pathlib import Path

import pytest
from apps.gateway.test_http_protocol import GET, SOON, Wire, on_the_wire, post, until
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from windvane.adapters.files import BadCertificate, FileCertificate

CHAIN, KEY = "chain.pem", "key.pem"


def issue(folder: Path, serial: int, *, only_key: bool = False) -> None:
    """A certificate of our own for localhost, and its key, in place of what was there."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.fromtimestamp(time.time(), datetime.UTC)
    day = datetime.timedelta(days=1)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / KEY).write_bytes(key.private_bytes(pem, form, secret))
    if not only_key:
        (folder / CHAIN).write_bytes(signed.public_bytes(pem))


def by_tls(folder: Path) -> dict[str, object]:
    context = ssl.create_default_context(cafile=folder / CHAIN)
    return {"ssl": context, "server_hostname": "localhost"}


async def serial_of(wire: Wire, folder: Path) -> int:
    """Of the certificate that a new connection is shown."""
    async with wire.client(**by_tls(folder)) as client:
        assert (await client.ask(post(b"hello"))).body == b"hello"
        return int(client.writer.get_extra_info("peercert")["serialNumber"], 16)


def test_requests_come_by_tls_whole_in_pieces_and_behind_each_other(tmp_path: Path) -> None:
    issue(tmp_path, 1)

    async def story(wire: Wire) -> None:
        async with wire.client(**by_tls(tmp_path)) as client:
            bodies = [b"x" * size for size in (1, 90_000, 0, 20_000)] * 5
            client.send(*map(post, bodies))
            assert [(await client.answer()).body for _ in bodies] == bodies
            for byte in post(b"hello"):
                client.send(bytes([byte]))
                await client.writer.drain()
            assert (await client.answer()).body == b"hello"
            message = await client.ask(b"nonsense\r\n\r\n")
            assert (message.status, message.headers["connection"]) == (400, "close")
            assert await client.at_end()

    on_the_wire(story, tls=FileCertificate(tmp_path / CHAIN, tmp_path / KEY))


def test_a_new_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    issue(tmp_path, 1)

    async def story(wire: Wire) -> None:
        async with wire.client(**by_tls(tmp_path)) as early:
            assert (await early.ask(GET)).status == 200
            assert await serial_of(wire, tmp_path) == 1
            issue(tmp_path, 2)
            seen = 1
            async with asyncio.timeout(10):
                while seen != 2:
                    try:
                        seen = await serial_of(wire, tmp_path)
                    except ssl.SSLCertVerificationError:  # still the old one
                        pass
            assert (await early.ask(GET)).status == 200

    on_the_wire(story, tls=FileCertificate(tmp_path / CHAIN, tmp_path / KEY, 0.01))


def test_a_certificate_that_cannot_be_used_leaves_the_old_one(tmp_path: Path) -> None:
    issue(tmp_path, 1)
    certificate = FileCertificate(tmp_path / CHAIN, tmp_path / KEY, 3_600)

    async def story(wire: Wire) -> None:
        assert not await certificate.reload()
        issue(tmp_path, 2, only_key=True)
        with pytest.raises(OSError):
            await certificate.reload()
        assert await serial_of(wire, tmp_path) == 1
        (tmp_path / KEY).write_bytes(b"half a k")
        with pytest.raises(OSError):
            await certificate.reload()
        assert await serial_of(wire, tmp_path) == 1
        for name in (CHAIN, KEY):
            (tmp_path / name).unlink()
            os.mkfifo(tmp_path / name)
            with pytest.raises(OSError, match="no regular file"):
                await asyncio.wait_for(certificate.reload(), 10)
            (tmp_path / name).unlink()
            issue(tmp_path, 1)
        (tmp_path / CHAIN).write_bytes(b"x" * ((1 << 20) + 1))
        with pytest.raises(OSError, match="more than 1,048,576 bytes"):
            await certificate.reload()
        issue(tmp_path, 3)
        assert await certificate.reload()
        assert await serial_of(wire, tmp_path) == 3

    on_the_wire(story, tls=certificate)


def test_files_that_are_no_certificate_and_its_key_are_named(tmp_path: Path) -> None:
    chain, key = tmp_path / CHAIN, tmp_path / KEY
    with pytest.raises(BadCertificate, match=r"chain\.pem and .*key\.pem: .*No such file"):
        FileCertificate(chain, key)
    issue(tmp_path, 1)
    issue(tmp_path, 2, only_key=True)
    with pytest.raises(BadCertificate, match="MISMATCH"):
        FileCertificate(chain, key)
    held = serialization.load_pem_private_key(key.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    form = serialization.PrivateFormat.PKCS8
    key.write_bytes(held.private_bytes(serialization.Encoding.PEM, form, encryption))
    with pytest.raises(BadCertificate, match="the key is encrypted"):
        FileCertificate(chain, key)


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01", GET])
def test_who_does_not_shake_hands_is_closed_in_time(tmp_path: Path, sent: bytes) -> None:
    issue(tmp_path, 1)

    async def story(wire: Wire) -> None:
        async with wire.client() as client:
            client.send(sent)
            async with asyncio.timeout(5):
                while await client.reader.read(1_000):
                    pass  # an alert
            await until(lambda: wire.open == 0)
        assert await serial_of(wire, tmp_path) == 1

    tls = FileCertificate(tmp_path / CHAIN, tmp_path / KEY)
    on_the_wire(story, tls=tls, head_s=0.2, **SOON)


def test_those_that_do_not_shake_hands_make_room_too(tmp_path: Path) -> None:
    issue(tmp_path, 1)

    async def story(wire: Wire) -> None:
        flood = [await asyncio.open_connection("127.0.0.1", wire.port) for _ in range(12)]
        await until(lambda: wire.server.connections.evicted == 8)
        assert await serial_of(wire, tmp_path) == 1
        for _, writer in flood:
            writer.close()

    tls = FileCertificate(tmp_path / CHAIN, tmp_path / KEY)
    on_the_wire(story, tls=tls, connections=4)

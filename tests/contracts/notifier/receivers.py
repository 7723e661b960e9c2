"""Real receivers on this machine: an HTTP server, and a mail server that speaks STARTTLS."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Received:
    """What a service was posted. ``answers`` are its statuses, the last one for ever."""

    url: str = ""
    answers: list[int] = field(default_factory=lambda: [202])
    bodies: list[Any] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def http_receiver(*answers: int) -> Iterator[Received]:
    got = Received(answers=list(answers) or [202])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.bodies.append(json.loads(body))
            got.paths.append(self.path)
            got.headers.append(dict(self.headers.items()))
            status = got.answers.pop(0) if len(got.answers) > 1 else got.answers[0]
            self.send_response(status)
            if status == 302:
                self.send_header("Location", got.url + "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any, **kwargs: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    got.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield got
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Mailbox:
    """What a mail server took: the lines that were spoken, and the mails."""

    port: int = 0
    spoken: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)


@contextmanager
def mail_receiver(
    certificate: tuple[Path, Path] | None, *, password_fits: bool = True
) -> Iterator[Mailbox]:
    """``certificate`` None offers no STARTTLS."""
    box = Mailbox()
    listening = socket.create_server(("127.0.0.1", 0))
    box.port = listening.getsockname()[1]

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                try:
                    _speak(connection, box, certificate, password_fits)
                except OSError:
                    continue

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield box
    finally:
        listening.close()


def _speak(
    connection: socket.socket, box: Mailbox, certificate: tuple[Path, Path] | None, fits: bool
) -> None:
    with ExitStack() as held:
        _talk(connection, box, certificate, fits, held)


def _talk(
    connection: socket.socket,
    box: Mailbox,
    certificate: tuple[Path, Path] | None,
    fits: bool,
    held: ExitStack,
) -> None:
    line = held.enter_context(connection.makefile("rb"))
    say = connection.sendall
    say(b"220 here\r\n")
    while raw := line.readline():
        word = raw.decode().strip()
        box.spoken.append(word)
        box.encrypted.append(isinstance(connection, ssl.SSLSocket))
        verb = word.upper().split(" ")[0]
        if verb == "EHLO":
            offer = b"250-STARTTLS\r\n" if certificate and not box.encrypted[-1] else b""
            say(b"250-here\r\n" + offer + b"250 AUTH PLAIN\r\n")
        elif verb == "STARTTLS" and certificate:
            say(b"220 go ahead\r\n")
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*certificate)
            connection = held.enter_context(context.wrap_socket(connection, server_side=True))
            line, say = held.enter_context(connection.makefile("rb")), connection.sendall
        elif verb == "AUTH":
            say(b"235 welcome\r\n" if fits else b"535 no: " + word.encode() + b"\r\n")
        elif verb == "DATA":
            say(b"354 go on\r\n")
            lines: list[str] = []
            while (text := line.readline().decode()) not in (".\r\n", ""):
                lines.append(text)
            box.mails.append("".join(lines))
            say(b"250 taken\r\n")
        elif verb == "QUIT":
            say(b"221 bye\r\n")
            return
        else:
            say(b"250 fine\r\n")


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.fromtimestamp(time.time(), dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    certificate, secret = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, secret

"""E-mail by SMTP, encrypted."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import ClassVar

from windvane.adapters.notify.journal import NotificationFailed
from windvane.ports.notifier import Message

_EACH_S = 5.0  # an answer of the server


class MailSender:
    """One mail a message. Without STARTTLS (or TLS from the first byte) nothing is sent, unless
    ``encrypted`` is False: a password and what is told would be open to anybody between."""

    follows: ClassVar[bool] = False

    def __init__(
        self,
        host: str,
        port: int,
        *,
        sender: str,
        to: Sequence[str],
        user: str = "",
        password: str = "",
        encrypted: bool = True,
        from_the_first_byte: bool = False,
        authorities: Path | None = None,
    ) -> None:
        self._host, self._port = host, port
        self._sender, self._to = sender, tuple(to)
        self._user, self._password = user, password
        self._encrypted, self._tls_first = encrypted, from_the_first_byte
        self._authorities = authorities

    def send(self, message: Message) -> None:
        try:
            with self._connect() as server:
                if self._user:
                    server.login(self._user, self._password)
                server.send_message(self._mail(message))
        except (smtplib.SMTPException, OSError, ValueError) as error:
            # Not its text: a server may repeat what it was told.
            code = getattr(error, "smtp_code", "")
            why = f"{type(error).__name__} {code}".strip()
            raise NotificationFailed(f"the mail server did not take it: {why}") from None

    def _connect(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self._authorities is not None:
            context.load_verify_locations(self._authorities)
        if self._tls_first:
            return smtplib.SMTP_SSL(self._host, self._port, timeout=_EACH_S, context=context)
        server = smtplib.SMTP(self._host, self._port, timeout=_EACH_S)
        try:
            if self._encrypted:
                server.starttls(context=context)
        except BaseException:
            server.close()
            raise
        return server

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        first = message.body.partition("\n")[0]
        subject = message.title if message.html else f"{message.title}: {first}"
        mail["Subject"] = " ".join(subject.split())[:200]
        mail["From"], mail["To"] = self._sender, ", ".join(self._to)
        mail["Date"] = formatdate(usegmt=True)
        mail["Message-ID"] = make_msgid(domain="windvane.local")
        mail["X-Windvane-Incident"] = " ".join(message.incident.split()) or "none"
        mail.set_content(f"{message.body}\n{message.link}".strip() + "\n")
        if message.html:
            mail.add_alternative(message.html, subtype="html")
        return mail

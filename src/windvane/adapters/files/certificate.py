"""Certificates that are renewed while a server runs."""

from __future__ import annotations

import asyncio
import logging
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from windvane.core.errors import WindvaneError
from windvane.ports.regular_file import read_regular_file

_log = logging.getLogger(__name__)
_LOOK_EVERY_S = 5.0
_MOST_BYTES = 1 << 20
_State = list[tuple[int, int, int]]


class BadCertificate(WindvaneError):
    """The files of `tls` are no certificate and the key that belongs to it."""

    code: ClassVar[str] = "TLS-101"
    hint = "`tls.certificate` is a PEM file with the whole chain, `tls.key` its key, not encrypted"


class FileCertificate:
    """The certificate of two PEM files. Raises BadCertificate if they cannot be used now."""

    def __init__(
        self,
        chain: Path,
        key: Path,
        look_every_s: float = _LOOK_EVERY_S,
    ) -> None:
        self._chain = chain
        self._key = key
        self._look_every_s = look_every_s
        self._contexts: dict[str, ssl.SSLContext] = {}
        try:
            self._seen = self._look()
            self._pair = self._read()
            self.context = self.context_for("http/1.1")
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise BadCertificate(f"{chain} and {key}: {error}") from error

    @classmethod
    def of(cls, files: tuple[Path, Path] | None) -> FileCertificate | None:
        """Of a chain and its key, none without them. Raises BadCertificate."""
        return cls(*files) if files is not None else None

    def context_for(self, protocol: str) -> ssl.SSLContext:
        held = self._contexts.get(protocol)
        if held is None:
            held = _new_context()
            held.set_alpn_protocols([protocol])
            _load(self._pair, [held])
            self._contexts[protocol] = held
        return held

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(self._look_every_s)
            try:
                await self.reload()
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                _log.warning("the certificate is not renewed: %s", error)

    async def reload(self) -> bool:
        """True if there was a new one. Raises OSError or ValueError, and the old one stays, if
        its files cannot be used: one may be written already and the other not yet."""
        seen = await asyncio.to_thread(self._look)
        if seen == self._seen:
            return False
        pair = await asyncio.to_thread(self._read)
        _load(pair, list(self._contexts.values()))
        self._seen, self._pair = seen, pair
        _log.info("the certificate was renewed")
        return True

    def _read(self) -> tuple[bytes, bytes]:
        """Both, if they belong together: what is checked is what is used, even if the files
        change meanwhile. Raises OSError, ValueError."""
        chain, key = (read_regular_file(path, _MOST_BYTES) for path in (self._chain, self._key))
        pair = chain, key
        # A key that does not belong to its certificate would leave a context with neither.
        _load(pair, [_new_context()])
        return pair

    def _look(self) -> _State:
        stats = [path.stat() for path in (self._chain, self._key)]
        return [(stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in stats]


def _load(pair: tuple[bytes, bytes], contexts: Sequence[ssl.SSLContext]) -> None:
    """OpenSSL reads files only. Raises OSError, ValueError."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "both.pem"
        copy.touch(mode=0o600)
        copy.write_bytes(b"\n".join(pair))
        for context in contexts:
            context.load_cert_chain(copy, password=_no_password)


def _no_password() -> str:
    """Instead of a question on the terminal, which nobody would answer."""
    raise ValueError("the key is encrypted")


def _new_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context

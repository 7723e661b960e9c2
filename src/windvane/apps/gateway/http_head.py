"""The head of a request: bounded, strict, and with one meaning for everybody on its way."""

from __future__ import annotations

import time
import urllib.parse

import msgspec
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url

CHUNKED = -1
_REMEMBERED, _REMEMBERED_BYTES = 1_024, 256
_VERSIONS = {b"HTTP/1.1": True, b"HTTP/1.0": False}
# Whoever stands before this server might take the first where we would take the last.
_ONCE = frozenset((b"authorization", b"content-length", b"host", b"x-request-id"))


class RequestHead(msgspec.Struct, frozen=True, gc=False):
    """``path`` is decoded and has no query. Names of ``headers`` are in lower case; the values of
    a repeated one are joined by a comma. It came at ``began_ns`` (``monotonic_ns``)."""

    method: str
    path: str
    query: bytes
    headers: dict[bytes, bytes]
    began_ns: int


class RefusedHead(Exception):
    """Answered with ``status``; nothing that follows on its connection can be trusted."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class _RequestLine(msgspec.Struct, frozen=True, gc=False):
    method: str
    path: str
    query: bytes
    newer: bool  # than HTTP/1.0
    without_body: bool
    plain: bool


class HeadReader:
    """Reads heads, each with a parser that saw nothing but whole requests before: no head can
    depend on another's. A parser that is given anything else is not used again.

    ``length`` (of the body, or CHUNKED), ``keep_alive``, ``newer`` (than HTTP/1.0),
    ``without_body`` (the answer to HEAD) and ``expects`` (100-continue) are those of the head
    that ``read`` had last.
    """

    __slots__ = (
        "_complete", "_head_bytes", "_headers", "_line_bytes", "_lines", "_parser", "_remembered",
        "_repeated", "expects", "keep_alive", "length", "newer", "without_body",
    )  # fmt: skip

    def __init__(self, head_bytes: int, line_bytes: int, header_lines: int) -> None:
        self._head_bytes = head_bytes
        self._line_bytes = line_bytes
        self._lines = header_lines
        self._remembered: dict[bytes, _RequestLine] = {}  # most requests have one of few
        self._headers: dict[bytes, bytes] = {}
        self._repeated: bytes | None = None
        self._complete = False
        self._parser = HttpRequestParser(self)  # of whole requests alone
        self.length = 0
        self.keep_alive = self.newer = self.without_body = self.expects = False

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        headers = self._headers
        if name not in headers:
            headers[name] = value.rstrip()
        else:
            self._repeated = name if name in _ONCE else self._repeated or b""
            headers[name] += b", " + value.rstrip()

    def on_headers_complete(self) -> None:
        self._complete = True

    def whole(self, data: bytes) -> tuple[RequestHead, bytes] | None:
        """The head and the body of what is one plain request and nothing else, as nearly all are;
        otherwise None, and it has to be read piece by piece."""
        first = self._remembered.get(data[: data.find(b"\r\n")])
        if first is None or not first.plain or len(data) > self._head_bytes:
            return None
        began_ns = time.monotonic_ns()
        headers = self._headers = {}
        self._repeated = None
        self._complete = False
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._parser = HttpRequestParser(self)
            return None
        length = headers.get(b"content-length")
        end = data.find(b"\r\n\r\n") + 4
        if (
            not self._complete
            or len(data) != (end + int(length) if length is not None else end)
            or self._repeated is not None
            or b"host" not in headers
            or b"transfer-encoding" in headers
            or b"expect" in headers
            or headers.get(b"connection", b"keep-alive") != b"keep-alive"
            or len(headers) > self._lines
        ):
            self._parser = HttpRequestParser(self)  # whatever it is in the middle of
            return None
        return RequestHead(first.method, first.path, first.query, headers, began_ns), data[end:]

    def read(self, head: bytes, began_ns: int) -> RequestHead:
        """``head`` ends with its empty line. Raises RefusedHead."""
        line = head[: head.find(b"\r\n")]
        if len(line) > self._line_bytes:
            raise RefusedHead(414, f"the request line is over {self._line_bytes:,} bytes")
        if head.count(b"\r\n") > self._lines + 2:  # and the request line, and the empty one
            raise RefusedHead(431, f"over {self._lines} header lines")
        headers = self._headers = {}
        self._repeated, self._complete = None, False
        parser = HttpRequestParser(self)
        try:
            parser.feed_data(head)
        except HttpParserUpgrade:  # nobody has to follow an offer to upgrade
            pass
        except HttpParserError as error:
            raise RefusedHead(400, f"the head is not HTTP: {error}") from None
        if not self._complete:
            raise RefusedHead(400, "the head ends in its middle")
        first = self._remembered.get(line) or self._request_line(line)
        if self._repeated:
            raise RefusedHead(400, f"{self._repeated.decode()} is there twice")
        if first.newer and b"host" not in headers:
            raise RefusedHead(400, "host is missing")
        length = headers.get(b"content-length")
        if b"transfer-encoding" in headers:
            self._check_coding(headers, first.newer)
            self.length = CHUNKED
        else:
            self.length = int(length) if length is not None else 0
        self.newer = first.newer
        self.keep_alive = parser.should_keep_alive()
        self.without_body = first.without_body
        self.expects = b"expect" in headers and first.newer
        if self.expects and headers[b"expect"].lower() != b"100-continue":
            raise RefusedHead(417, "expect is not 100-continue")
        return RequestHead(first.method, first.path, first.query, headers, began_ns)

    def _request_line(self, line: bytes) -> _RequestLine:
        words = line.split(b" ")
        if len(words) != 3:
            raise RefusedHead(400, "the request line is not HTTP")
        method, target, version = words
        newer = _VERSIONS.get(version)
        if newer is None:
            raise RefusedHead(505, "the version is neither HTTP/1.1 nor HTTP/1.0")
        path, query = _address(target)
        without_body = method == b"HEAD"
        name = "GET" if without_body else method.decode()
        first = _RequestLine(name, path, query, newer, without_body, newer and not without_body)
        if len(line) <= _REMEMBERED_BYTES:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[line] = first
        return first

    @staticmethod
    def _check_coding(headers: dict[bytes, bytes], newer: bool) -> None:
        if b"content-length" in headers or not newer:
            raise RefusedHead(400, "transfer-encoding beside content-length, or in HTTP/1.0")
        if headers[b"transfer-encoding"].lower() != b"chunked":
            raise RefusedHead(501, "the transfer-encoding is not chunked alone")


def _address(target: bytes) -> tuple[str, bytes]:
    try:
        if not target.startswith(b"/"):
            if b"://" not in target:  # CONNECT's, or OPTIONS *
                raise RefusedHead(501, "the request's target is no path")
            url = parse_url(target)
            raw, query = url.path or b"/", url.query or b""
        else:
            raw, _, query = target.partition(b"?")
        path = raw.decode("ascii")
        if "%" in path:
            path = urllib.parse.unquote(path, errors="strict")
    except (HttpParserError, UnicodeError):
        raise RefusedHead(400, "the path is not percent-encoded UTF-8") from None
    if b"#" in target:
        raise RefusedHead(400, "the request's target has a fragment")
    return path, query

"""Log lines: one record a line, with what is secret left out."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any, TextIO

_MOST_MESSAGE = 8_192
_MOST_TRACE = 32_768
_LEAST_SECRET = 4  # a shorter one would be found in every word
_STARS = "***"
_SHAPES = (
    # A key's id is no secret: it says which one to revoke.
    (re.compile(r"\b(wv_[0-9A-Za-z]+_)[\w-]+"), rf"\1{_STARS}"),
    (re.compile(r"(?i)\b(bearer\s+)(?!wv_)\S+"), rf"\1{_STARS}"),
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+@"), rf"\1{_STARS}@"),
)


class _Lines(logging.Formatter):
    """``secrets`` are never written, whatever they are found in; nor are API keys, tokens and
    passwords of addresses, by their shape."""

    def __init__(self, process: str, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self.process = process
        known = sorted({s for s in secrets if len(s) >= _LEAST_SECRET}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def clean(self, text: str, most: int) -> str:
        if self._known is not None:
            text = self._known.sub(_STARS, text)
        for shape, instead in _SHAPES:
            text = shape.sub(instead, text)
        return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"

    def text(self, record: logging.LogRecord) -> str:
        return self.clean(record.getMessage(), _MOST_MESSAGE)

    def trace(self, record: logging.LogRecord) -> str:
        if not record.exc_info:
            return ""
        return self.clean(self.formatException(record.exc_info), _MOST_TRACE)


class TextLines(_Lines):
    """For people: the local time, the process, the level, what it says; a trace below."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        text, trace = self.text(record), self.trace(record)
        request = getattr(record, "request_id", "")
        named = f" [{request}]" if request and request not in text else ""
        line = f"{at},{record.msecs:03.0f} {self.process} {record.levelname}{named} {text}"
        return f"{line}\n{trace}" if trace else line


class JsonLines(_Lines):
    """For machines: an object a line, with `at` in UTC, `level`, `process`, `logger`, `message`,
    and where there is one `request_id`, `trace_id`, `error` (its class) and `trace`."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        body: dict[str, Any] = {
            "at": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "process": self.process,
            "logger": record.name,
            "message": self.text(record),
        }
        for name in ("request_id", "trace_id"):
            held = getattr(record, name, "")
            if held:
                body[name] = held
        if record.exc_info and record.exc_info[0] is not None:
            body["error"] = record.exc_info[0].__name__
            body["trace"] = self.trace(record)
        return json.dumps(body, ensure_ascii=False)


def start_logging(
    process: str,
    form: str,
    secrets: Iterable[str] = (),
    *,
    level: int = logging.INFO,
    stream: TextIO | None = None,
) -> None:
    """From now on this process logs to ``stream`` (standard error) as ``form``, "text" or
    "json", also what ends it."""
    kind = JsonLines if form == "json" else TextLines
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(kind(process, secrets))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would tell every address

    def at_the_end(
        error_kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(error_kind, KeyboardInterrupt):
            sys.__excepthook__(error_kind, error, trace)
            return
        logging.getLogger("windvane").critical(
            "the process ends", exc_info=(error_kind, error, trace)
        )

    sys.excepthook = at_the_end

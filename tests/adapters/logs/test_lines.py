"""Log lines: one a record, whole, and without what is secret."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.adapters.logs import JsonLines, TextLines, start_logging

SECRETS = ("hunter2-hunter2", "slack://a/b/c")


@pytest.fixture
def quiet() -> Iterator[None]:
    """Logging as it was before."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, sys.excepthook
    yield
    root.handlers[:], level, sys.excepthook = before
    root.setLevel(level)


def record(message: str, *args: Any, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("windvane.x", logging.WARNING, "x.py", 1, message, args, None)
    vars(made).update(more)
    return made


def test_a_line_of_json_has_what_machines_look_for() -> None:
    made = record(
        "model %s failed", "late", request_id="r-1", created=1_700_000_000.25, msecs=250.0
    )
    line = JsonLines("gateway-0").format(made)
    assert json.loads(line) == {
        "at": "2023-11-14T22:13:20.250Z", "level": "warning", "process": "gateway-0",
        "logger": "windvane.x", "message": "model late failed", "request_id": "r-1",
    }  # fmt: skip
    assert "\n" not in line


def test_a_request_that_is_traced_is_named_by_both() -> None:
    made = record("it failed", request_id="r-1", trace_id="4bf92f35")
    line = json.loads(JsonLines("gateway-0").format(made))
    assert (line["request_id"], line["trace_id"]) == ("r-1", "4bf92f35")


def test_an_exception_is_in_the_same_line() -> None:
    try:
        raise ValueError("no\nway")
    except ValueError:
        made = record("it failed", exc_info=sys.exc_info())
    body = json.loads(JsonLines("steward").format(made))
    assert body["error"] == "ValueError"
    assert "no\nway" in body["trace"]
    assert TextLines("steward").format(made).count("\n") > 1


def test_a_request_is_named_once_in_a_line_of_text() -> None:
    lines = TextLines("gateway-0")
    assert " WARNING [r-1] it failed" in lines.format(record("it failed", request_id="r-1"))
    assert lines.format(record("request r-1 failed", request_id="r-1")).count("r-1") == 1


@pytest.mark.parametrize("lines", [JsonLines("p", SECRETS), TextLines("p", SECRETS)])
@pytest.mark.parametrize(
    ("said", "secret"),
    [
        ("cannot reach redis://u:hunter2-hunter2@h", "hunter2"),
        ("password hunter2-hunter2 is wrong", "hunter2"),
        ("no service at slack://a/b/c", "a/b/c"),
        ("Authorization: Bearer eyJhbGciOi.J9.abc", "eyJ"),
        ("key wv_5f0c9a1d22be_Zm9vYmFy-x_y is bad", "Zm9v"),
        ("postgresql://me:another-one@db/x is down", "another-one"),
    ],
)
def test_what_is_secret_is_left_out(lines: logging.Formatter, said: str, secret: str) -> None:
    assert secret not in lines.format(record(said))
    assert secret not in lines.format(record("%s", said))
    try:
        raise RuntimeError(said)
    except RuntimeError:
        assert secret not in lines.format(record("x", exc_info=sys.exc_info()))


def test_a_keys_id_and_plain_words_stay() -> None:
    lines = TextLines("p", SECRETS)
    for message in (
        "key wv_5f0c9a1d22be_secret",
        "it is 10:30:00 at http://host:80/x",
        "the bearer",
    ):
        kept = message.replace("_secret", "_***")
        assert lines.format(record(message)).endswith(kept)


def test_a_line_is_bounded() -> None:
    assert len(JsonLines("p").format(record("x" * 1_000_000))) < 10_000


@given(st.text(), st.text())
def test_whatever_is_said_is_one_line_of_json(message: str, request: str) -> None:
    line = JsonLines("p").format(record("%s", message, request_id=request))
    assert "\n" not in line
    json.loads(line)


def test_a_process_says_why_it_ends_in_the_form_that_was_chosen() -> None:
    code = (
        "from windvane.adapters.logs import start_logging\n"
        "start_logging('recorder', 'json', ['hunter2'])\n"
        "raise RuntimeError('no hunter2')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    body = json.loads(done.stderr)
    assert (body["level"], body["error"]) == ("critical", "RuntimeError")
    assert "hunter2" not in done.stderr


def test_all_loggers_go_the_same_way(quiet: None) -> None:
    stream = io.StringIO()
    start_logging("gateway-1", "json", level=logging.INFO, stream=stream)
    logging.getLogger("windvane.a").info("one")
    logging.getLogger("uvicorn.error").warning("two")
    logging.getLogger("windvane.a").debug("three")
    logging.getLogger("httpx").info("HTTP Request: POST http://h")
    message = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert message == ["one", "two"]

"""Failures as log lines: where and of which kind, never what was in the request. The message of
a foreign exception may hold a feature's value; where it may be shown, it is shown as a sentence."""

from __future__ import annotations

import re
import traceback

_MOST_FRAMES = 30
_MOST_CAUSES = 5
_LONGEST_READ = 10_000
_LONGEST_SENTENCE = 500
# What native libraries add for their own makers: a trace, the time, and the place in their source.
_TRACE = re.compile(
    r"\n?\s*(?:Stack trace:|Traceback \(most recent call last\)|\[bt\] \(\d+\)|"
    r"Exception raised from |C\+\+ (?:Traceback|CapturedTraceback))"
)
_TIME = re.compile(r"\[\d{1,2}:\d{2}:\d{2}\]\s*")
_PLACE = re.compile(
    r"(?:at |in )?(?:[A-Za-z]:)?[\w.+@-]*[/\\][\w.+@/\\-]*"
    r"\.(?:cc|cpp|cxx|cuh?|c|hpp|hh|h|inl|pyx|pxi|rs)\b(?::\d+|\(\d+\))?:?\s*"
)


def sentence_of(error: BaseException) -> str:
    """Its class, and what a library says in one line, without its traces and the paths of the
    machine that it was built on."""
    text = str(error)[:_LONGEST_READ]
    trace = _TRACE.search(text)
    if trace is not None:
        text = text[: trace.start()]
    words = " ".join(_PLACE.sub("", _TIME.sub("", text)).split()).rstrip(" :")
    if len(words) > _LONGEST_SENTENCE:
        words = words[: _LONGEST_SENTENCE - 1] + "…"
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def describe(error: BaseException) -> str:
    """The class and the innermost place: ``ValueError at estimator.py:61``."""
    trace = traceback.extract_tb(error.__traceback__)
    if not trace:
        return type(error).__name__
    return f"{type(error).__name__} at {_file(trace[-1])}:{trace[-1].lineno}"


def frames_of(error: BaseException) -> str:
    """The traceback with its causes, without their messages."""
    lines: list[str] = []
    cause: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if cause is None:
            break
        frames = traceback.extract_tb(cause.__traceback__)[-_MOST_FRAMES:]
        lines += [f"  {_file(frame)}:{frame.lineno} in {frame.name}" for frame in frames]
        lines.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
        if cause is not None:
            lines.append("because of")
    return "\n".join(lines)


def _file(frame: traceback.FrameSummary) -> str:
    return "/".join(frame.filename.rsplit("/", 2)[-2:])

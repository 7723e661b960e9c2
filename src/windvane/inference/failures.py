"""Failures as log lines: where and of which kind, never what was in the request. The message of
a foreign exception may hold a feature's value."""

from __future__ import annotations

import traceback

_MOST_FRAMES = 30
_MOST_CAUSES = 5


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

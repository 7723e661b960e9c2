"""The headers `traceparent` and `tracestate`.

Source: W3C Trace Context (Recommendation of 23 November 2021), sections 3.2 and 3.3.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_TRACESTATE = 512
"""Characters. The least that section 3.3.1.5 asks everybody to pass on."""

_LONGEST_PARENT = 256  # a later version of the header may say more than ours
_MOST_MEMBERS = 32
_SAMPLED = 0x01
_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]*)?")
_PAIR = (
    r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_MEMBER = re.compile(_PAIR)


class TraceContext(NamedTuple):
    """The caller's span: its trace (128 bits), itself (64 bits), and whether it is ``sampled``,
    that is recorded by somebody."""

    trace_id: int
    span_id: int
    sampled: bool


def read_traceparent(traceparent: bytes) -> TraceContext | None:
    """What the header says. None where it is absent or malformed: the request then begins a
    trace, and its `tracestate` says nothing."""
    found = _PARENT.fullmatch(traceparent) if len(traceparent) <= _LONGEST_PARENT else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    trace, span = int(trace_id, 16), int(span_id, 16)
    if not trace or not span:
        return None
    return TraceContext(trace, span, bool(int(flags, 16) & _SAMPLED))


def write_traceparent(trace_id: int, span_id: int, sampled: bool) -> bytes:
    """The header for a call that the span makes."""
    return b"00-%032x-%016x-%02x" % (trace_id, span_id, sampled)


def read_tracestate(given: bytes) -> str:
    """What vendors say of a trace, without what means nothing. "" for what is malformed, or has
    over ``MAX_TRACESTATE`` characters: the trace goes on without it."""
    if not given or len(given) > MAX_TRACESTATE or not given.isascii():
        return ""
    members = [one for part in given.decode("ascii").split(",") if (one := part.strip(" \t"))]
    names = {one.partition("=")[0] for one in members}
    if len(members) > _MOST_MEMBERS or len(names) < len(members):
        return ""
    return ",".join(members) if all(map(_MEMBER.fullmatch, members)) else ""

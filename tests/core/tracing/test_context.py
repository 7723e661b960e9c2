"""What W3C's headers say of a request's trace, and what is wrong with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.tracing import (
    MAX_TRACESTATE,
    TraceContext,
    read_traceparent,
    read_tracestate,
    write_traceparent,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01".encode()


def test_the_example_of_the_recommendation() -> None:
    assert read_traceparent(GOOD) == TraceContext(
        0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, True
    )
    state = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
    assert read_tracestate(state.encode()) == state


@pytest.mark.parametrize(
    ("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True)]
)
def test_only_the_last_bit_says_sampled(flags: str, sampled: bool) -> None:
    found = read_traceparent(f"00-{TRACE}-{SPAN}-{flags}".encode())
    assert found is not None
    assert found.sampled is sampled


@pytest.mark.parametrize(
    "given",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-more",  # version 00 has four parts
        f"00-{TRACE}-{SPAN}-01-",
        f"ff-{TRACE}-{SPAN}-01",  # a version that there never is
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",  # sent twice
        f"cc-{TRACE}-{SPAN}-01.more",
        f"cc-{TRACE}-{SPAN}-01-{'x' * 300}",
    ],
)
def test_what_is_malformed_begins_a_new_trace(given: str) -> None:
    assert read_traceparent(given.encode()) is None


def test_a_later_version_may_say_more() -> None:
    for header in (f"cc-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-the-future-is"):
        found = read_traceparent(header.encode())
        assert found is not None
        assert (f"{found.trace_id:032x}", f"{found.span_id:016x}") == (TRACE, SPAN)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (b"", ""),
        (b"a=1", "a=1"),
        (b"a=1,b=2", "a=1,b=2"),
        (b" a=1 ,\tb=2, ,", "a=1,b=2"),
        (b"1tenant@vendor=x y", "1tenant@vendor=x y"),
        (b"a=1,a=2", ""),  # a name may be there once
        (b"a=1,B=2", ""),
        (b"a", ""),
        (b"a=", ""),
        (b"a=1=2", ""),
        (b"a=\x00", ""),
        ("a=é".encode(), ""),
        (b",".join(b"k%d=v" % i for i in range(32)), ",".join(f"k{i}=v" for i in range(32))),
        (b",".join(b"k%d=v" % i for i in range(33)), ""),
        (b"a=" + b"v" * 256, "a=" + "v" * 256),
        (b"a=" + b"v" * 257, ""),
        (b"a=" + b"v" * 250 + b",b=" + b"v" * 257, ""),
    ],
)
def test_a_tracestate_that_is_malformed_says_nothing(given: bytes, kept: str) -> None:
    assert read_tracestate(given) == kept


def test_a_tracestate_has_a_bound() -> None:
    brim = b"a=" + b"v" * 250 + b",b=" + b"v" * 250 + b",c=vvvv"
    assert len(brim) == MAX_TRACESTATE
    assert read_tracestate(brim) == brim.decode()
    assert read_tracestate(brim + b"v") == ""


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_what_is_written_is_read_again(trace_id: int, span_id: int, sampled: bool) -> None:
    header = write_traceparent(trace_id, span_id, sampled)
    assert read_traceparent(header) == TraceContext(trace_id, span_id, sampled)


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_any_bytes_are_read(traceparent: bytes, tracestate: bytes) -> None:
    read_traceparent(traceparent)
    found = read_tracestate(tracestate)
    assert read_tracestate(found.encode()) == found

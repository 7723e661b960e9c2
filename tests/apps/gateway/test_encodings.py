"""Compressed bodies are taken apart within the bound of plain ones, or refused."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from inference.harness import MODEL, Harness, body, run

from windvane.apps.gateway.encodings import decompress
from windvane.apps.gateway.statuses import UnsupportedEncoding
from windvane.inference.errors import BodyTooLarge


def _zstd_unsized(plain: bytes) -> bytes:
    """Without the plain size in its head, as a stream is written."""
    made = zstandard.ZstdCompressor(level=19).compressobj()
    return made.compress(plain) + made.flush()


PACKERS: dict[bytes, list[Callable[[bytes], bytes]]] = {
    b"gzip": [gzip.compress],
    b"zstd": [zstandard.ZstdCompressor().compress, _zstd_unsized],
}
CASES = [(name, pack) for name, packers in PACKERS.items() for pack in packers]
BOUND = 10_000


@pytest.mark.parametrize(("name", "pack"), CASES)
@given(plain=st.binary(max_size=300), times=st.integers(0, 40))
def test_a_body_comes_back_whole_or_is_too_large(
    name: bytes, pack: Callable[[bytes], bytes], plain: bytes, times: int
) -> None:
    plain *= times
    for encoding in (name, name.upper(), b" " + name + b" "):
        if len(plain) <= BOUND:
            assert decompress(pack(plain), encoding, BOUND) == plain
        else:
            with pytest.raises(BodyTooLarge):
                decompress(pack(plain), encoding, BOUND)


@pytest.mark.parametrize(("name", "pack"), CASES)
def test_exactly_the_bound_is_let_in(name: bytes, pack: Callable[[bytes], bytes]) -> None:
    assert len(decompress(pack(b"x" * BOUND), name, BOUND)) == BOUND
    with pytest.raises(BodyTooLarge, match="over 10,000 bytes"):
        decompress(pack(b"x" * (BOUND + 1)), name, BOUND)


@pytest.mark.parametrize(("name", "pack"), CASES)
def test_a_bomb_takes_no_memory(name: bytes, pack: Callable[[bytes], bytes]) -> None:
    bomb = pack(bytes(300 << 20))
    assert len(bomb) < 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            decompress(bomb, name, BOUND)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1 << 20


@pytest.mark.parametrize(("name", "pack"), CASES)
def test_what_is_cut_short_or_goes_on_is_refused(
    name: bytes, pack: Callable[[bytes], bytes]
) -> None:
    """A part of a body must never be taken for the whole."""
    whole = pack(body(1.0, 2.0, 3.0))
    for cut in range(len(whole)):
        with pytest.raises(UnsupportedEncoding):
            decompress(whole[:cut], name, BOUND)
    for more in (b"x", whole):
        with pytest.raises(UnsupportedEncoding):
            decompress(whole + more, name, BOUND)


@given(st.binary(max_size=60), st.sampled_from([b"gzip", b"zstd"]))
def test_noise_is_refused(noise: bytes, name: bytes) -> None:
    with pytest.raises(UnsupportedEncoding):
        decompress(noise, name, BOUND)


def test_a_window_of_many_megabytes_is_refused() -> None:
    wide = zstandard.ZstdCompressionParameters(window_log=27)
    made = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    sent = made.compress(b"x" * 100) + made.flush()
    with pytest.raises(UnsupportedEncoding):
        decompress(sent, b"zstd", BOUND)


@pytest.mark.parametrize("encoding", [b"br", b"deflate", b"gzip, gzip", b"gzip,zstd", b"x" * 9_000])
def test_other_encodings_are_named_and_refused(encoding: bytes) -> None:
    with pytest.raises(UnsupportedEncoding) as refused:
        decompress(b"body", encoding, BOUND)
    assert len(refused.value.message) < 100


@pytest.mark.parametrize("encoding", [b"", b"identity", b"Identity"])
def test_none_is_the_body_itself(encoding: bytes) -> None:
    assert decompress(b"body", encoding, BOUND) == b"body"


@pytest.mark.parametrize(("name", "pack"), CASES)
@pytest.mark.parametrize("path", [f"/v1/models/{MODEL}/predict", "/v1/outcomes"])
def test_the_gateway_takes_them(name: bytes, pack: Callable[[bytes], bytes], path: str) -> None:
    outcomes = b'{"model": "late", "outcomes": [{"request_id": "r", "value": 1}]}'
    plain = body(1.0) if path.endswith("predict") else outcomes
    headers = {"content-encoding": name.decode()}

    async def story(harness: Harness) -> None:
        await harness.publish()
        sent = await harness.call("POST", path, pack(plain), headers=headers)
        assert sent.status in (200, 202), sent.body
        for broken, status, code in (
            (pack(plain)[:-1], 415, "GAT-118"),
            (plain, 415, "GAT-118"),
            (pack(b" " * (1 << 17)), 413, "GAT-104"),
        ):
            refused = await harness.call("POST", path, broken, headers=headers)
            assert (refused.status, refused.code) == (status, code)
        assert harness.services.under_way == 0

    run(story)

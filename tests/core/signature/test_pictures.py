"""The size of a picture by its header, against what pillow writes and reads."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from windvane.core.signature.pictures import PLAIN_PICTURE, picture_size

FORMS: dict[str, dict[str, Any]] = {
    "PNG": {"format": "PNG"},
    "JPEG": {"format": "JPEG"},
    "progressive JPEG": {"format": "JPEG", "progressive": True},
    "JPEG with a preview": {"format": "JPEG", "exif": b"Exif\x00\x00" + 40_000 * b"\xff"},
    "JPEG with a comment": {"format": "JPEG", "comment": b"\xff\xc0\x00\x11\x08\x00\x01\x00\x01"},
    "GIF": {"format": "GIF"},
    "WebP": {"format": "WEBP"},
    "lossless WebP": {"format": "WEBP", "lossless": True},
    "WebP with a profile": {"format": "WEBP", "exif": b"Exif\x00\x00more"},
}


def written(form: str, size: tuple[int, int]) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, **FORMS[form])
    return held.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (640, 2)])
@pytest.mark.parametrize("form", FORMS)
def test_the_size_is_the_one_that_was_written(form: str, size: tuple[int, int]) -> None:
    assert picture_size(written(form, size)) == size


@pytest.mark.parametrize("form", FORMS)
def test_a_header_that_is_cut_off_has_no_size(form: str) -> None:
    whole = written(form, (40, 30))
    found = {picture_size(whole[:n]) for n in range(len(whole))}
    assert found == {(0, 0), (40, 30)}


@given(
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF....WEBPVP8X"]),
    st.binary(max_size=64),
)
def test_any_bytes_have_a_size(head: bytes, rest: bytes) -> None:
    width, height = picture_size(head + rest)
    assert 0 <= width < 1 << 32
    assert 0 <= height < 1 << 32


def test_a_jpeg_of_nothing_but_segments_is_given_up() -> None:
    segment = b"\xff\xe0\x00\x02"
    frame = b"\xff\xc0\x00\x11\x08\x00\x05\x00\x07"
    assert picture_size(b"\xff\xd8" + 200 * segment + frame) == (7, 5)
    assert picture_size(b"\xff\xd8" + 1_000_000 * segment + frame) == (0, 0)
    assert picture_size(b"\xff\xd8" + 8 * b"\xff" + frame) == (7, 5)
    assert picture_size(b"\xff\xd8" + 4_000_000 * b"\xff" + frame) == (0, 0)


def test_the_plain_picture_can_be_opened() -> None:
    with Image.open(io.BytesIO(PLAIN_PICTURE)) as opened:
        opened.load()
        assert (opened.mode, opened.size) == ("RGB", (32, 32))
    assert picture_size(PLAIN_PICTURE) == (32, 32)

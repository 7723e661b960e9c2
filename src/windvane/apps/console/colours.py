"""One colour a version, the same on every page and in every chart."""

from __future__ import annotations

import re
import zlib

COLOURS = 6


def colour_of(version: str) -> int:
    """Which of the ``COLOURS``: by the number that the name ends in, so that neighbours differ, and
    for ever, whatever versions come and go; by its bytes where it has none."""
    found = re.search(r"(\d{1,18})$", version)
    number = int(found[1]) - 1 if found else zlib.crc32(version.encode())
    return number % COLOURS

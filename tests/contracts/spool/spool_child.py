"""A gateway's writer in a process of its own: acknowledges on stdout after each append."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from windvane.adapters.spool import FileSpoolWriter


def main(folder: str, segment_bytes: str) -> None:
    writer = FileSpoolWriter(Path(folder), segment_bytes=int(segment_bytes))
    number = 0
    while True:
        writer.append(f"{number}:".encode() + b"x" * (number * 37 % 3_000))
        os.write(1, f"{number}\n".encode())
        number += 1


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

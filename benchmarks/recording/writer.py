"""Appends events to a spool at a rate, as a gateway's worker would, and notes when."""

from __future__ import annotations

import sys
import time
from itertools import islice
from pathlib import Path

import msgspec

from windvane.adapters.spool import FileSpoolWriter
from windvane.adapters.spool.frames import HEADER

from .fleet import encoded, make_fleet
from .lag import Order

_PIECE_S = 0.05


def main() -> None:
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    fleet = make_fleet(order.models, order.tenants)
    begin = time.time()
    events = encoded(fleet, int(order.rate * order.seconds), order.rate, begin=begin)
    writer = FileSpoolWriter(Path(order.folder))
    position = written = 0
    with Path(order.marks).open("w") as marks:
        while piece := list(islice(events, int(order.rate * _PIECE_S))):
            wait_s = piece[-1][0] - time.time()
            if wait_s > 0:
                time.sleep(wait_s)
            bodies = [body for _, body in piece]
            writer.append(*bodies)
            written += len(bodies)
            position += sum(HEADER.size + len(body) for body in bodies)
            marks.write(f"{time.time()} {written} {position}\n")
    writer.close()


if __name__ == "__main__":
    main()

"""``python -I -m windvane.apps.sandbox FD PARENT MEMORY FILE_BYTES REQUIRED LOG_FORMAT NAME``,
started by an adapter. ``REQUIRED``: the protections without which nothing is loaded, by commas.
``NAME`` is what its own log lines call it.

The process confines itself before anything else is imported.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from windvane.apps.sandbox import confine


def main(readable: Sequence[str] | None = None) -> None:
    """``readable``: the folders of Python and of what may be imported; those on Python's path, by
    default."""
    fd, parent, memory, file_bytes = map(int, sys.argv[1:5])
    required = {name for name in sys.argv[5].split(",") if name}
    protections, missed = confine.enter(parent, memory, file_bytes, Path.cwd(), readable)
    from windvane.apps.sandbox import wiring
    from windvane.apps.sandbox.serve import serve

    wiring.start_logging(name=sys.argv[7], form=sys.argv[6])
    for line in missed:
        logging.getLogger(__name__).warning("%s", line)
    serve(fd, protections, sorted(required - set(protections)))


if __name__ == "__main__":
    main()

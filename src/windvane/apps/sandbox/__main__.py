"""``python -I -m windvane.apps.sandbox FD PARENT MEMORY FILE_BYTES REQUIRED``, started by an
adapter. ``REQUIRED``: the protections without which nothing is loaded, by commas.

The process confines itself before anything else is imported.
"""

from __future__ import annotations

import sys
from pathlib import Path

from windvane.apps.sandbox import confine


def main() -> None:
    fd, parent, memory, file_bytes = map(int, sys.argv[1:5])
    required = {name for name in sys.argv[5].split(",") if name}
    protections = confine.enter(parent, memory, file_bytes, Path.cwd())
    from windvane.apps.sandbox.serve import serve

    serve(fd, protections, sorted(required - set(protections)))


if __name__ == "__main__":
    main()

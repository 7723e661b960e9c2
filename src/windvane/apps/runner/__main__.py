"""``python -I -m windvane.apps.runner FD PARENT MEMORY FILE_BYTES``, started by an adapter.

The walls go up before anything else is imported.
"""

from __future__ import annotations

import sys
from pathlib import Path

from windvane.apps.runner import walls


def main() -> None:
    fd, parent, memory, file_bytes = map(int, sys.argv[1:5])
    stand = walls.enter(parent, memory, file_bytes, Path.cwd())
    from windvane.apps.runner.serve import serve

    serve(fd, stand)


if __name__ == "__main__":
    main()

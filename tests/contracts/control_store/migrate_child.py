"""One of several processes that migrate the same database at once."""

from __future__ import annotations

import sys

from windvane.adapters.sql import SqlControlStore


def main(url: str) -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()  # all start together
    store = SqlControlStore(url)
    store.migrate()
    store.close()


if __name__ == "__main__":
    main(sys.argv[1])

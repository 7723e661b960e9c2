"""One of several processes that open the same new registry at once."""

from __future__ import annotations

import sys
from pathlib import Path

from windvane.adapters.mlflow import MlflowRegistry


def main(uri: str, artifacts: str) -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()  # all start together
    MlflowRegistry(uri, Path(artifacts))


if __name__ == "__main__":
    main(*sys.argv[1:])

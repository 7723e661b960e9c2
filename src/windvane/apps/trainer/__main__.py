"""``python -m windvane.apps.trainer JOB``: what the command line starts, with the order for the
job on its standard input."""

from __future__ import annotations

import importlib
import signal
import sys
from types import FrameType

_JOBS = ("train", "register", "profile", "optimize")
_INTERRUPTED = 130


def main() -> int:
    """The exit status of the job. SIGINT ends it once, by KeyboardInterrupt, so that what it
    began is cleaned up and what it was writing stays whole; a second one cannot stop that."""
    signal.signal(signal.SIGINT, _interrupt_once)
    try:
        if len(sys.argv) != 2 or sys.argv[1] not in _JOBS:
            print(f"one job is needed, of {', '.join(_JOBS)}", file=sys.stderr)
            return 2
        # The libraries of a job take seconds to import.
        job = importlib.import_module(f"windvane.apps.trainer.{sys.argv[1]}")
        return int(job.main())
    except KeyboardInterrupt:
        return _INTERRUPTED


def _interrupt_once(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

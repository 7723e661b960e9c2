"""The garbage collector, which a gateway's worker sets for its process and tests have in common."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_kept() -> Iterator[None]:
    """Afterwards it is as before: what was imported is not looked through, and what a worker
    held can go."""
    before = gc.get_threshold()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*before)

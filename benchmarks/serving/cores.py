"""The servers' core and the load's, and what the kernel says of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

SERVER_CORE = 0
LOAD_CORE = 1
_IDLE, _IOWAIT, _STOLEN = 3, 4, 7


def busy_s(core: int) -> float:
    """Seconds that processes had of ``core`` so far."""
    ticks = _ticks(core)
    # User time has that of guests in it already.
    return _seconds(ticks[i] for i in range(_STOLEN) if i not in (_IDLE, _IOWAIT))


def stolen_s() -> float:
    """Seconds in which a core, the servers' or the load's, had work and the hypervisor gave it to
    somebody else, so far. Zero on a machine without one."""
    return _seconds(_ticks(core)[_STOLEN] for core in (SERVER_CORE, LOAD_CORE))


def _ticks(core: int) -> list[int]:
    lines = Path("/proc/stat").read_text().splitlines()
    fields = next(line for line in lines if line.startswith(f"cpu{core} ")).split()
    return [int(field) for field in fields[1:9]]


def _seconds(ticks: Iterable[int]) -> float:
    return sum(ticks) / os.sysconf("SC_CLK_TCK")

"""What a sandbox may use, and what it must have."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol, Self

_MIB = 1 << 20


class SandboxSettings(Protocol):
    """What the installation says of sandboxes: bytes, and seconds of one prediction."""

    @property
    def sandbox_memory_bytes(self) -> int: ...
    @property
    def sandbox_timeout_s(self) -> float: ...
    @property
    def sandbox_total_memory(self) -> int: ...
    @property
    def sandbox_require(self) -> Collection[str]: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What one sandbox may use.

    ``memory``: bytes of address space (libraries count too: scikit-learn needs 1 GiB, PyTorch
    3). ``file_bytes``: of any one file that it writes, its log included. ``load_s`` and
    ``predict_s``: seconds on the wall's clock, after which it is killed. ``first_wait_s`` to
    ``last_wait_s``: how long a sandbox that failed rests, doubled with each failure.
    ``total_memory``: of all sandboxes that write their logs into one folder, each counted with
    its ``memory``. ``require``: the protections without which no code of a version's is run.
    """

    memory: int = 4096 * _MIB
    file_bytes: int = 64 * _MIB
    load_s: float = 60.0
    predict_s: float = 5.0
    first_wait_s: float = 0.5
    last_wait_s: float = 60.0
    total_memory: int = 65536 * _MIB
    require: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: SandboxSettings) -> Self:
        """Those of the installation, wherever its sandboxes run: a version is registered under
        the limits that it is served under."""
        return cls(
            memory=settings.sandbox_memory_bytes,
            predict_s=settings.sandbox_timeout_s,
            total_memory=settings.sandbox_total_memory,
            require=frozenset(settings.sandbox_require),
        )

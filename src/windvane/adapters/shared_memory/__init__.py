"""Limits over the worker processes of one machine, in memory that they share."""

from windvane.adapters.shared_memory.limiter import BUSY_RETRY_S, SharedLimiter
from windvane.adapters.shared_memory.memory import BadMemory, WorkerTaken, shared_fd

__all__ = ["BUSY_RETRY_S", "BadMemory", "SharedLimiter", "WorkerTaken", "shared_fd"]

"""The event log on Delta Lake; DuckDB reads it."""

from windvane.adapters.delta.copies import DeltaLogCopies
from windvane.adapters.delta.event_log import DeltaEventLog

__all__ = ["DeltaEventLog", "DeltaLogCopies"]

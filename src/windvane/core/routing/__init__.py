"""Which version answers which unit: an immutable snapshot, read by every gateway."""

from windvane.core.routing.table import (
    Arm,
    KeyEntry,
    ModelRoute,
    RoutingTable,
    VersionEntry,
    bucket,
    choose,
)

__all__ = [
    "Arm",
    "KeyEntry",
    "ModelRoute",
    "RoutingTable",
    "VersionEntry",
    "bucket",
    "choose",
]

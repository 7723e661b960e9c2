"""Which version answers which unit, and who may ask: an immutable snapshot for every gateway."""

from windvane.core.routing.access import (
    CLIENT_SCOPES,
    EVERYONE,
    ApiVersion,
    KeyEntry,
    Scope,
    TenantLimit,
    limits_of,
)
from windvane.core.routing.table import (
    Arm,
    ModelRoute,
    RoutingTable,
    RuleStep,
    VersionEntry,
    bucket,
    choose,
    follow_rule,
)

__all__ = [
    "CLIENT_SCOPES",
    "EVERYONE",
    "ApiVersion",
    "Arm",
    "KeyEntry",
    "ModelRoute",
    "RoutingTable",
    "RuleStep",
    "Scope",
    "TenantLimit",
    "VersionEntry",
    "bucket",
    "choose",
    "follow_rule",
    "limits_of",
]

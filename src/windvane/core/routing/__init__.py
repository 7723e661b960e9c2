"""Which version answers which unit, and who may ask: an immutable snapshot for every gateway."""

from windvane.core.routing.access import (
    CLIENT_SCOPES,
    EVERYONE,
    ApiVersion,
    KeyEntry,
    Scope,
    TenantLimit,
    is_tenant_name,
    limits_of,
)
from windvane.core.routing.table import (
    CASCADED,
    SELECTED,
    Arm,
    CascadeSpec,
    CircuitSpec,
    ModelRoute,
    RoutingTable,
    RuleStep,
    VersionEntry,
    bucket,
    choose,
    follow_rule,
)

__all__ = [
    "CASCADED",
    "CLIENT_SCOPES",
    "EVERYONE",
    "SELECTED",
    "ApiVersion",
    "Arm",
    "CascadeSpec",
    "CircuitSpec",
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
    "is_tenant_name",
    "limits_of",
]

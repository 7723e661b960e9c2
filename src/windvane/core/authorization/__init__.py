"""Who may do what: roles, actions and grants; bounded attempts; what of a request is shown."""

from windvane.core.authorization.attempts import AttemptLimit, AttemptLimiter
from windvane.core.authorization.redaction import HIDDEN, bin_labels, redact_evidence, redact_row
from windvane.core.authorization.roles import (
    ACTIONS_OF,
    Action,
    BadGrant,
    Grant,
    Permission,
    Principal,
    PrincipalKind,
    Role,
    Subject,
    authorize,
    parse_grant,
    parse_grants,
)

__all__ = [
    "ACTIONS_OF",
    "HIDDEN",
    "Action",
    "AttemptLimit",
    "AttemptLimiter",
    "BadGrant",
    "Grant",
    "Permission",
    "Principal",
    "PrincipalKind",
    "Role",
    "Subject",
    "authorize",
    "bin_labels",
    "parse_grant",
    "parse_grants",
    "redact_evidence",
    "redact_row",
]

"""Which requests are let in, and until when they must be answered."""

from windvane.core.admission.deadline import read_grpc_timeout, read_timeout
from windvane.core.admission.limits import FREE, Limit, RateLimitDecision, admit_at

__all__ = ["FREE", "Limit", "RateLimitDecision", "admit_at", "read_grpc_timeout", "read_timeout"]

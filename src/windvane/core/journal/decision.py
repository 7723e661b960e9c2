"""What was decided, on which facts, under which policy, and with what effects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from windvane.core.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Effect:
    """Something to do outside the database: ``kind`` names the port, ``body`` what to say."""

    kind: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Decision:
    """One recorded decision.

    ``id`` follows from what was decided about (never random), so taking the same decision
    twice collides instead of acting twice. ``judge`` names the function to replay with.
    ``actor`` is the person or key that asked for it (``user:ana``, ``key:ID``, ``cli:ana``), ""
    where the system acted by itself; ``reason`` is why, in their words.
    """

    id: str
    model: str
    judge: str
    subject: str
    action: str
    at: float
    policy: Mapping[str, Any]
    facts: Mapping[str, Any]
    verdict: Verdict
    effects: tuple[Effect, ...] = ()
    actor: str = ""
    reason: str = ""

    @property
    def policy_version(self) -> str:
        return fact_hash(self.policy)


def fact_hash(body: Any) -> str:
    """Hash of the canonical JSON of ``body``, 16 hex digits."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def outbox_key(decision_id: str, index: int) -> str:
    """The idempotency key of a decision's ``index``-th effect."""
    return f"{decision_id}#{index}"

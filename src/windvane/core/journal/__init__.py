"""Decisions as records that can be replayed."""

from windvane.core.journal.decision import Decision, Effect, fact_hash, outbox_key

__all__ = ["Decision", "Effect", "fact_hash", "outbox_key"]

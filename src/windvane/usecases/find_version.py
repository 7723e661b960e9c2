"""Which version of a model is meant."""

from __future__ import annotations

from windvane.core.errors import did_you_mean
from windvane.ports.control_store import Tx, UnknownName, VersionRecord


def find_version(tx: Tx, model: str, version: str | None = None) -> VersionRecord:
    """``version``, else the champion, else the latest. Raises UnknownName."""
    tx.model(model)
    held = tx.version_summaries(model)
    if not held:
        raise UnknownName(f"model {model} has no version yet", hint="train or register one")
    live = tx.deployment(model)
    wanted = version or (live.champion if live else held[-1].version)
    if any(record.version == wanted for record in held):
        return tx.version(model, wanted)
    hint = did_you_mean(wanted, [record.version for record in held])
    raise UnknownName(f"model {model} has no version {wanted}", hint=hint)

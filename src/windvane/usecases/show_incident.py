"""An incident as it may be shown: without values that nobody, or not this reader, may see."""

from __future__ import annotations

from dataclasses import replace

from windvane.core.authorization import redact_evidence
from windvane.ports.control_store import Incident, Tx
from windvane.usecases.read_model_file import read_model_file


def show_incident(tx: Tx, incident_id: str, *, values: bool) -> Incident:
    """``values``: the reader may see raw values of requests. What the model's file tags as
    ``pii`` now is hidden in any case, also in incidents from before. Raises UnknownName."""
    return redact_incident(tx, tx.incident(incident_id), values=values)


def redact_incident(tx: Tx, incident: Incident, *, values: bool) -> Incident:
    """The same of an incident that was read."""
    file = read_model_file(tx.model(incident.model).text)
    shown = redact_evidence(incident.evidence, pii=file.pii, values=values, unit=file.unit)
    return replace(incident, evidence=shown)

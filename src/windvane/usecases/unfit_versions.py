"""Versions that are known to give no answer, so that nobody's traffic is moved to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from windvane.core.alerting import Finding, cause_key_of
from windvane.ports.control_store import Deployment, Tx
from windvane.usecases.closed_window import Unfit
from windvane.usecases.monitors.disagreement import STAND_IN_SILENT
from windvane.usecases.monitors.errors import STAND_IN_ERRORS
from windvane.usecases.publish_routing import chain_of
from windvane.usecases.read_model_file import ModelFile

_NEWEST = 50  # incidents
_NOT_AGAIN_S = 6 * 3_600.0


def unfit_versions(
    tx: Tx,
    file: ModelFile,
    live: Deployment,
    now: float,
    findings: Iterable[Finding] = (),
    broken: Collection[tuple[str, str]] = (),
) -> Unfit:
    """By version, why: of what incidents have open or closed lately (``now``, s), what ``findings``
    began, and of ``broken``, the models and versions that a gateway was told to serve and cannot
    load. A version that failed as it stood in is taken off, and then there is nothing to judge it
    by: it is not asked again at once."""
    found = list(findings)
    ended = {f.member for f in found if not f.began}
    open_now = {m for i in tx.open_incidents(live.model) for m in i.members} - ended
    keys = {cause_key_of(member) for member in open_now} | {f.cause.key for f in found if f.began}
    out: dict[str, str] = {}
    for kind, _, subject in (key.partition(":") for key in keys):
        if kind == STAND_IN_ERRORS.name:
            out[subject] = "fails as it stands in"
    for incident in tx.incidents(live.model, _NEWEST):
        kind, _, subject = incident.cause.partition(":")
        lately = incident.closed_at is not None and now - incident.closed_at < _NOT_AGAIN_S
        if kind == STAND_IN_ERRORS.name and lately:
            out.setdefault(subject, "failed lately as it stood in")
    for version, at in live.failed.items():
        if now - at < _NOT_AGAIN_S:
            out.setdefault(version, "failed lately as it stood in")
    # What is found silent is the stand-in of the champion, which is the first of the chain.
    if f"{STAND_IN_SILENT.name}:{live.champion}" in keys:
        chain = chain_of(file, live, list(tx.version_summaries(live.model)))
        if silent := next((v for v in chain if v != live.champion), ""):
            out[silent] = "had no answer when it was compared"
    out |= {version: "cannot be loaded" for model, version in broken if model == live.model}
    return out

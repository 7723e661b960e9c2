"""Which runtime serves a version, and why: from the record of its registration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from windvane.core.acceptance import ParityReport
from windvane.core.execution import (
    RUNTIMES,
    Environment,
    Offer,
    Place,
    RuntimeChoice,
    RuntimeName,
    choose_runtime,
)
from windvane.ports.control_store import ControlStore, VersionRecord
from windvane.usecases.find_version import find_version


@dataclass(frozen=True, slots=True)
class RuntimeExplained:
    """``passed_over``: why not each other runtime. ``parity``: what is served against what the
    model's own library answers, None for a version from before it was asked. ``packages``: what
    the model was made with and what was installed as it was registered, by name (``recorded``,
    ``installed``). ``trusted``: an admin vouched for these files. ``environment``: the packages of
    its own that it runs with, None where it runs with ours."""

    model: str
    version: str
    manifest: str
    runtime: RuntimeName
    reason: str
    sandboxed: bool
    needs_trust: bool
    trusted: bool
    passed_over: Mapping[str, str]
    parity: ParityReport | None
    packages: Mapping[str, Mapping[str, str]]
    environment: Environment | None

    @property
    def can_serve(self) -> bool:
        return self.trusted or not self.needs_trust


def explain_runtime(
    store: ControlStore, model: str, version: str | None = None
) -> RuntimeExplained:
    """Of ``version``, else of the champion, else of the latest. Raises UnknownName."""
    with store.read() as tx:
        record = find_version(tx, model, version)
        trusted = {trust.manifest for trust in tx.trusted()}
    return _explained(record, record.manifest in trusted)


def _explained(record: VersionRecord, trusted: bool) -> RuntimeExplained:
    lineage: Mapping[str, Any] = record.lineage
    choice = recorded_choice(record)
    parity = lineage.get("parity")
    return RuntimeExplained(
        model=record.model,
        version=record.version,
        manifest=record.manifest,
        runtime=choice.runtime,
        reason=choice.reason,
        sandboxed=choice.sandboxed,
        needs_trust=choice.needs_trust,
        trusted=trusted,
        passed_over=choice.passed_over,
        parity=msgspec.convert(parity, ParityReport) if parity else None,
        packages=lineage.get("packages", {}),
        environment=environment_of(record),
    )


def environment_of(record: VersionRecord) -> Environment | None:
    """The packages of its own that a version runs with."""
    environment = record.lineage.get("environment")
    return msgspec.convert(environment, Environment) if environment else None


def is_watched(record: VersionRecord) -> bool:
    """Whether it is served elsewhere, and here only told of."""
    return RUNTIMES[recorded_choice(record).runtime].place is Place.ELSEWHERE


def recorded_choice(record: VersionRecord) -> RuntimeChoice:
    """What was chosen as the version was registered. A version from before there was a choice is
    an ONNX graph."""
    recorded: Any = record.lineage.get("runtime")
    if recorded:
        return msgspec.convert(recorded, RuntimeChoice)
    choice = choose_runtime([Offer(RuntimeName.ONNX, runs_code=False)])
    assert choice is not None
    return choice

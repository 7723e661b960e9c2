"""Trying a version before anybody meets it: loaded as a gateway would load it, in a process of
its own, so that what goes wrong there goes wrong nowhere else."""

from __future__ import annotations

from typing import Protocol

import msgspec

from windvane.core.task import Contract


class TrialOrder(msgspec.Struct, frozen=True):
    """What is tried: a version's files, as a model of ``contract``. ``trusted``: by
    whoever may say that its files may run code."""

    artifact: str
    manifest: str
    contract: Contract
    trusted: bool = False


class VersionTrial(Protocol):
    """Loads versions and lets them answer a plain row."""

    def attempt(self, order: TrialOrder) -> str:
        """What went wrong, in a sentence without values of features; "" for nothing."""
        ...

"""Trying a version before anybody meets it: loaded as a gateway would load it, in a process of
its own, so that what goes wrong there goes wrong nowhere else."""

from __future__ import annotations

from typing import ClassVar, Protocol

import msgspec

from windvane.core.errors import WindvaneError
from windvane.core.task import Contract


class TooManyTrials(WindvaneError):
    """As many versions are being tried by this process as it tries at once."""

    code: ClassVar[str] = "ROL-108"
    hint = "try again in a moment"


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
        """What went wrong, in a sentence without values of features; "" for nothing. Raises
        TooManyTrials."""
        ...

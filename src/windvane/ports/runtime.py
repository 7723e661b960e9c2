"""Executing a version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from windvane.core.errors import WindvaneError


class ManifestMismatch(WindvaneError):
    """A version's files are not the ones that were registered."""

    code: ClassVar[str] = "RUN-101"
    hint = "restore the files from the registry; a changed file is never loaded"


class UnencodableRow(WindvaneError):
    """A row holds a value that this version was not trained to take."""

    code: ClassVar[str] = "RUN-102"
    hint = "train with `unknown: null` so that unseen categories count as missing"


class Predictor(Protocol):
    """One loaded version."""

    def encode(self, values: Sequence[Any]) -> list[float]:
        """A row in the model's schema order as the version's inputs; raises UnencodableRow."""
        ...

    def predict(self, rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
        """Outputs (rows,) of encoded rows."""
        ...


class Runtime(Protocol):
    def load(self, artifact: str, manifest: str, schema: Sequence[str]) -> Predictor:
        """Check every file against ``manifest`` (hash of the manifest), then load."""
        ...

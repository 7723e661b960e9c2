"""Tables that are compared without a platform: read a column at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from windvane.core.errors import WindvaneError
from windvane.core.signature import FeatureType


class BadFrame(WindvaneError):
    """A table cannot be read, or lacks a column that was asked for."""

    code: ClassVar[str] = "CHK-101"
    hint = "a Parquet or CSV file, a folder of Parquet files, a Delta table or a DataFrame"


@dataclass(frozen=True, slots=True, eq=False)
class FrameColumn:
    """A column of a table, of the ``type`` that it was stored or understood as: None where it has
    no value at all, or where its values cannot be counted (``held`` names what they are).

    ``numbers`` (rows,), NaN where there is none, of numbers, booleans (0 and 1) and times (s since
    the epoch). ``codes`` (rows,) of names: places in ``labels``, -1 where there is none.
    """

    type: FeatureType | None
    numbers: NDArray[np.float64] | None = None
    codes: NDArray[np.int32] | None = None
    labels: Sequence[str] = field(default_factory=tuple)
    held: str = ""


class Frame(Protocol):
    """An open table, its rows in the order of the file."""

    @property
    def place(self) -> str:
        """For people."""
        ...

    @property
    def rows(self) -> int: ...

    @property
    def names(self) -> Sequence[str]: ...

    def column(self, name: str) -> FrameColumn:
        """One of ``names``. Raises BadFrame."""
        ...

    def times(self, name: str) -> NDArray[np.float64]:
        """One of ``names`` as times (rows,) in s since the epoch, NaN where there is none. Raises
        BadFrame where its values are no times."""
        ...

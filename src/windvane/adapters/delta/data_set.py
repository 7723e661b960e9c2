"""Any Delta table, for who reads it by Arrow."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from windvane.ports.frames import BadFrame


def delta_data_set(path: Path) -> Any:
    """A Delta table as a data set of Arrow's. Raises BadFrame."""
    try:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError
    except ImportError as error:
        raise BadFrame(
            f"{path} is a Delta table, and deltalake is not installed",
            hint="pip install 'windvane[control]'",
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return DeltaTable(str(path)).to_pyarrow_dataset()
    except (DeltaError, OSError, ValueError) as error:
        raise BadFrame(f"{path} is no Delta table that can be read: {error}") from error

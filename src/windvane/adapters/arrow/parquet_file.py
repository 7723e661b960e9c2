"""Parquet files: their types are their own, and are converted exactly or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from windvane.adapters.arrow.batches import Batch
from windvane.adapters.arrow.faults import BadTable

_ROWS = 65_536


class ParquetFile:
    def __init__(self, path: Path) -> None:
        """Raises BadTable."""
        self._path = path
        self.notes: list[str] = []
        try:
            self._file = pq.ParquetFile(path)
            self.names: list[str] = self._file.schema_arrow.names
        except (pa.ArrowException, OSError) as error:
            raise BadTable(f"{path.name} is no Parquet file, or it is damaged") from error

    def batches(self, wanted: Sequence[str]) -> Iterator[Batch]:
        first = 1
        try:
            for batch in self._file.iter_batches(_ROWS, columns=self._selected(wanted)):
                held: dict[str, Any] = {name: batch.column(name) for name in wanted}
                start = first
                yield Batch(batch.num_rows, start, held, lambda i, start=start: f"row {start + i}")
                first += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise BadTable(f"{self._path.name} is damaged after row {first - 1:,}") from error

    def _selected(self, wanted: Sequence[str]) -> list[str] | None:
        """Only these, unless a name means something else to the reader: a dot is a path there."""
        plain = all("." not in name for name in self.names)
        return list(wanted) if plain else None

"""A CSV or Parquet file as training data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import numpy as np

from windvane.core.errors import WindvaneError, did_you_mean
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.ports.learner import TrainingData


class BadTable(WindvaneError):
    """The training table cannot be read, or lacks a column."""

    code: ClassVar[str] = "TRA-101"
    hint = "a CSV or Parquet file with one column a feature, the label and the time"


def read_training_table(
    path: Path, features: Sequence[FeatureSpec], label: str, time: str
) -> TrainingData:
    """Columns by name; rows without a label are left out (their outcome is not known).

    ``time`` may be a timestamp (UTC) or seconds since the epoch.
    """
    if not path.is_file():
        raise BadTable(f"no file {path}")
    reader = "read_parquet" if path.suffix == ".parquet" else "read_csv"
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute("SET TimeZone='UTC'; SET enable_progress_bar=false")
        try:
            connection.execute(f"CREATE TABLE given AS SELECT * FROM {reader}(?)", [str(path)])
            kinds = dict(
                connection.execute(
                    "SELECT column_name, data_type FROM information_schema.columns "
                    "WHERE table_name = 'given'"
                ).fetchall()
            )
            for name in [*(spec.name for spec in features), label, time]:
                if name not in kinds:
                    hint = did_you_mean(name, kinds)
                    raise BadTable(f"{path.name} has no column {name!r}", hint=hint)
            wanted = ", ".join(_column(spec) for spec in features)
            stamped = kinds[time].startswith(("TIMESTAMP", "DATE"))
            seconds = f'epoch("{time}")' if stamped else f'"{time}"::DOUBLE'
            rows = connection.execute(
                f'SELECT {wanted}, "{label}"::DOUBLE AS label_, {seconds} AS time_ '
                f'FROM given WHERE "{label}" IS NOT NULL'
            ).fetchnumpy()
        except duckdb.Error as error:
            raise BadTable(f"{path.name} cannot be read: {error}") from error
    columns = {spec.name: _plain(rows[spec.name]) for spec in features}
    return TrainingData(
        columns, np.asarray(rows["label_"], np.float64), np.asarray(rows["time_"], np.float64)
    )


def _column(spec: FeatureSpec) -> str:
    kind = "VARCHAR" if spec.type is FeatureType.CATEGORY else "DOUBLE"
    return f'"{spec.name}"::{kind} AS "{spec.name}"'


def _plain(values: Any) -> list[object]:
    """Masked and NaN entries as None."""
    plain = np.ma.getdata(values).astype(object)
    plain[np.ma.getmaskarray(values)] = None
    return [
        None if v is None or (isinstance(v, float) and math.isnan(v)) else v for v in plain.tolist()
    ]

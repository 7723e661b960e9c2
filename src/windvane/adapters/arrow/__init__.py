"""Tables in files: CSV by the standard library, Parquet by pyarrow."""

from windvane.adapters.arrow.faults import BadTable
from windvane.adapters.arrow.training_table import read_training_table

__all__ = ["BadTable", "read_training_table"]

"""Reading training tables with DuckDB."""

from windvane.adapters.duckdb.training_table import read_training_table

__all__ = ["read_training_table"]

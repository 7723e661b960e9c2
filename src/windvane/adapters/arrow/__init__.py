"""Tables in files: CSV by the standard library where types are declared, else by pyarrow."""

from windvane.adapters.arrow.faults import BadTable
from windvane.adapters.arrow.frame import frame_of, open_frame
from windvane.adapters.arrow.training_table import read_training_table

__all__ = ["BadTable", "frame_of", "open_frame", "read_training_table"]

"""Does a request look like what the model's contract promises?"""

from windvane.core.conformance.schema import check_row, check_value

__all__ = ["check_row", "check_value"]

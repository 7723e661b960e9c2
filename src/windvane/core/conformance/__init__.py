"""Does a request look like what the model was promised?"""

from windvane.core.conformance.schema import MAX_INTEGER, Problem, check_row, plain_row

__all__ = ["MAX_INTEGER", "Problem", "check_row", "plain_row"]

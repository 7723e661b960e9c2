"""Does a request look like what the model was promised?"""

from windvane.core.conformance.schema import Problem, check_row

__all__ = ["Problem", "check_row"]

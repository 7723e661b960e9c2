"""Does a request look like what the model was promised, and who breaks the promise?"""

from windvane.core.conformance.judge import RefusalFacts, RefusalPolicy, judge_refusals
from windvane.core.conformance.schema import Problem, check_row

__all__ = [
    "Problem",
    "RefusalFacts",
    "RefusalPolicy",
    "check_row",
    "judge_refusals",
]

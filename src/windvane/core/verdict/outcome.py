"""The four outcomes of a judge and how several combine."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Outcome(enum.StrEnum):
    """PASS, HOLD (not enough evidence), ERROR (could not measure) or FAIL."""

    PASS = "pass"  # noqa: S105
    HOLD = "hold"
    ERROR = "error"
    FAIL = "fail"


_RANK = {Outcome.PASS: 0, Outcome.HOLD: 1, Outcome.ERROR: 2, Outcome.FAIL: 3}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge concluded.

    ``code`` is stable and machine-readable; ``sentence`` names both sides of the
    comparison; ``missing`` says, for HOLD, how much evidence is still wanted.
    """

    outcome: Outcome
    code: str
    sentence: str
    missing: str = ""

    @property
    def failed(self) -> bool:
        return self.outcome is Outcome.FAIL


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict that decides: FAIL over ERROR over HOLD over PASS, first of equals.

    ERROR is never read as FAIL and HOLD never as PASS: each stays itself.
    """
    found: Verdict | None = None
    for verdict in verdicts:
        if found is None or _RANK[verdict.outcome] > _RANK[found.outcome]:
            found = verdict
    return found or Verdict(Outcome.HOLD, "VER-001", "nothing was judged", "one verdict")

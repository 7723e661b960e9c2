"""What is removed or rolled up because of its age."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Protocol


class AgedRows(enum.StrEnum):
    """What is removed by age. DETAILS are what a verdict's page draws; UNITS those of rollouts
    that are over, whatever their age."""

    SKETCHES = "sketches"
    SEGMENTS = "sketches of segments"
    VERDICTS = "verdicts"
    VERDICT_DETAILS = "verdict details"
    DECISIONS = "decisions"
    INCIDENTS = "closed incidents"
    EFFECTS = "effects"
    ACCESS = "access"
    UNITS = "units"


class Retention(Protocol):
    """Bounded steps: each touches ``limit`` rows at most and says how many there were."""

    def roll_up_sketches(self, model: str, before: float, span_s: float, limit: int) -> int:
        """Merge sketches of windows that began before, exactly, into one a span of ``span_s``
        seconds, version, arm, tenant and layout."""
        ...

    def drop_aged(
        self,
        kind: AgedRows,
        model: str,
        before: float,
        limit: int,
        newest_of: Sequence[str] = (),
    ) -> int:
        """Remove rows from before that time (s): of the model where the kind is of one. Of
        VERDICTS and VERDICT_DETAILS the newest on the model itself of each monitor in
        ``newest_of`` stays, however old: it holds until the next."""
        ...

    def oldest_kept(self) -> Mapping[AgedRows, float]:
        """When the oldest row is from (s), by kind: of SKETCHES, VERDICTS and DECISIONS by
        business time, of EFFECTS that are carried out and of ACCESS by the wall's. A kind with no
        row is left out."""
        ...

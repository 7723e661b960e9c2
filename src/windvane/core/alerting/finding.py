"""What one monitor says of one subject in one window."""

from __future__ import annotations

from dataclasses import dataclass

from windvane.core.alerting.cause import Cause
from windvane.core.alerting.severity import Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """Something began, or ended, for the subject of ``cause``.

    ``since`` is when it began by the monitor's best estimate (s), ``title`` what a person is
    told. ``suspects`` are features and the sizes of their effects, largest first; ``sources``
    those that it concerns. ``severity`` is of a monitor that measured the harm (a total outage
    against a small shift); None leaves it to the table of severities. ``version`` is the one whose
    fault it is, "" where that is not known.
    """

    monitor: str
    cause: Cause
    began: bool
    since: float
    title: str
    suspects: tuple[tuple[str, float], ...] = ()
    sources: tuple[str, ...] = ()
    severity: Severity | None = None
    version: str = ""

    @property
    def member(self) -> str:
        """By which an incident knows that this monitor still finds this subject."""
        return f"{self.monitor}/{self.cause.key}"

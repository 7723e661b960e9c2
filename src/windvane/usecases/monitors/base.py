"""What a monitor is: it loads facts of a closed window, has them judged, and says what it found."""

from __future__ import annotations

import datetime as dt
import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec

from windvane.core.alerting import Cause, CauseKind, Finding
from windvane.core.verdict import Verdict
from windvane.ports.event_log import EventLog
from windvane.usecases.closed_window import ClosedWindow, StateRows
from windvane.usecases.read_model_file import ModelFile

T = TypeVar("T")
NO_SUBJECT = ""


@dataclass(frozen=True, slots=True)
class Judge:
    """A pure judge, and the types that its recorded decisions hold, to judge them again.

    ``policy`` has a default ``revision``, which grows whenever the judge may judge otherwise.
    """

    name: str
    facts: type[Any]
    policy: type[Any]
    run: Callable[[Any, Any, float], Verdict]


class Importance(enum.IntEnum):
    """Which monitors wait first when watching costs more than it may: those that cost much and see
    little harm early, before those that people are paged for. ALWAYS never wait: they read what
    is counted already."""

    FIRST_TO_WAIT = 0
    USUAL = 1
    ALWAYS = 2


class AlarmState(Protocol):
    """What a monitor carries of a subject from window to window."""

    @property
    def alarmed(self) -> bool: ...


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One judgement of one window: what it saw, by which policy, what it says and what changes.

    ``findings`` are what began or ended, ``states`` the rows to carry on by subject (None takes
    one away), ``detail`` small JSON for the page, ``shown`` whether the verdict is worth a row;
    ``learned`` what else to keep of a subject that has a row: what is too large to be read and
    written in every window.
    """

    subject: str
    facts: Any
    policy: Any
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    states: Mapping[str, AlarmState | None] = field(default_factory=dict[str, AlarmState | None])
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])
    shown: bool = True
    learned: Mapping[str, bytes] = field(default_factory=dict[str, bytes])


class Monitor(ABC):
    """One registered watcher. To add one: a file here, a line in ``MONITORS``, its page in the
    reference and its runbook.

    ``name`` is its key in the store, ``title`` what a page calls it, ``cause`` what it finds and
    ``more_causes`` what else, ``judge`` who judges, ``importance`` whether it waits when watching
    costs too much, ``slow`` whether it looks once in
    ``drift_over`` and not in each window, ``closable`` whether a person may close its incidents
    while it still finds something, ``acceptable`` whether a person may accept what it finds as
    the new normal (then it has ``accept``).
    """

    name: ClassVar[str]
    title: ClassVar[str]
    cause: ClassVar[CauseKind]
    more_causes: ClassVar[tuple[CauseKind, ...]] = ()
    judge: ClassVar[Judge]
    importance: ClassVar[Importance] = Importance.USUAL
    slow: ClassVar[bool] = False
    closable: ClassVar[bool] = True
    acceptable: ClassVar[bool] = False

    def is_wanted(self, file: ModelFile) -> bool:
        """Whether a model's file asks for it at all."""
        return self.name not in file.watch.off

    @abstractmethod
    def streams(self, file: ModelFile, tenants: int) -> int:
        """How many streams it watches of a model: each may raise a false alarm."""

    @abstractmethod
    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        """Judge a window, given what is carried by subject; nothing where it is not due."""

    def evidence(
        self, window: ClosedWindow, found: Judged, finding: Finding, log: EventLog
    ) -> Mapping[str, Any]:
        """What an incident shows of a finding that began: by default since when, the tenant that
        the verdict is on, and its detail."""
        del window, log
        tenants = [{"tenant": found.subject}] if found.subject else []
        return {"first_window": finding.since, "tenants": tenants, **found.detail}

    def layouts(self, rows: StateRows) -> Iterable[str]:
        """Ids of the layouts that carried counts are of."""
        del rows
        return ()

    def begin_anew(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        """The rows to change when a person closed an incident of ``cause``, so that what still
        sounds can be found once more; None takes one away. Alarms and their evidence go, and what
        is usual stays: closing accepts nothing."""
        del rows, cause
        return {NO_SUBJECT: None}

    def accept(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        """The rows to change when a person accepted what changed as the new normal; None takes
        one away. Only of a monitor that is ``acceptable``."""
        del rows, cause
        return {}

    def outlook(self, file: ModelFile, rows: StateRows, cause: Cause) -> str:
        """What comes next of an open ``cause`` and when at the earliest, as far as what is carried
        tells, for an update to people; "" for what is not known."""
        del file, rows, cause
        return ""

    def about_cause(self, cause: Cause) -> str:
        """What a decision on a cause is about, for a page."""
        return self.about(cause.subject)

    def about(self, subject: str) -> str:
        """What a verdict on ``subject`` is about, for a page."""
        return f"{self.title}: {subject}" if subject else self.title


def read_rows(rows: StateRows, kind: type[T]) -> dict[str, T]:
    """What is carried, by subject."""
    return {subject: msgspec.convert(body, kind) for subject, body in rows.items()}


def read_row(rows: StateRows, kind: type[T], subject: str = NO_SUBJECT) -> T:
    """What is carried of one subject; the kind's defaults where there is nothing yet."""
    return msgspec.convert(rows.get(subject, {}), kind)


def moment(seconds: float) -> str:
    """A time for a person, to the minute."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")

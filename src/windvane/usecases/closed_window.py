"""One closed window of one model, and all that bears on it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift import Baseline
from windvane.core.outcomes import Calibration
from windvane.core.sketch import Layout, Sketch
from windvane.ports.control_store import Deployment, WindowKey
from windvane.ports.event_log import LogTooSlow
from windvane.usecases.count_rows import views_of
from windvane.usecases.gather_answers import Answers
from windvane.usecases.gather_derived import Derived
from windvane.usecases.read_model_file import ModelFile
from windvane.usecases.window_policy import WindowPolicy

Counts: TypeAlias = NDArray[np.int64]
# What one monitor carries from window to window, by subject.
StateRows: TypeAlias = Mapping[str, Mapping[str, Any]]
# What a monitor (by name) learned of subjects, by subject: it is large and changes seldom.
Learned: TypeAlias = Callable[[str, Sequence[str]], Mapping[str, bytes]]
# Versions that are known to give no answer now, each with why: "version 2 ..." goes on so.
Unfit: TypeAlias = Mapping[str, str]


_TENANT, _SEGMENT = "tenant/", "segment/"
T = TypeVar("T")


def _nothing(monitor: str, subjects: Sequence[str]) -> Mapping[str, bytes]:
    del monitor, subjects
    return {}


def tenant_subject(tenant: str) -> str:
    """The subject under which something of one tenant is carried beside what is of all."""
    return _TENANT + tenant


def tenant_of(subject: str) -> str | None:
    """The tenant of a subject, None for one that is not of a tenant."""
    return subject.removeprefix(_TENANT) if subject.startswith(_TENANT) else None


def segment_subject(segment: str) -> str:
    """The subject under which something of one segment is carried beside what is of all."""
    return _SEGMENT + segment


def segment_of(subject: str) -> str | None:
    """The segment of a subject, None for one that is not of a segment."""
    return subject.removeprefix(_SEGMENT) if subject.startswith(_SEGMENT) else None


@dataclass(slots=True, eq=False)
class ReadOnce:
    """What several monitors of one window ask the log alike, until it is cleared: one that was too
    slow is not asked again either."""

    _held: dict[str, Any] = field(default_factory=dict[str, Any])

    def read(self, what: str, ask: Callable[[], T]) -> T:
        """Raises LogTooSlow."""
        if what not in self._held:
            try:
                self._held[what] = ask()
            except LogTooSlow as error:
                self._held[what] = error
        found = self._held[what]
        if isinstance(found, LogTooSlow):
            raise found
        return cast("T", found)

    def clear(self) -> None:
        self._held.clear()


@dataclass(frozen=True, slots=True, eq=False)
class ClosedWindow:
    """One window of one model.

    ``counts`` are merged over everyone; ``layouts`` are those that carried counts are of, by id.
    ``watched_since`` is the start of the first window that was ever judged (s). ``complete``: no
    spool is missing whose events may belong to it, so what is not there did not happen.
    ``keyless`` are tenants that had keys, all of which are revoked or have expired. ``holdout`` are
    the champion's own metrics on rows that it did not learn from, ``calibration`` what those say of
    each bin of its answers. ``answers``: what each version answered, by arm. ``segments``: counts
    of the rows with one value of a feature that the file declares, by `segment_name`. ``derived``:
    what was counted beside versions' layouts. ``learned`` gives what a monitor put beside its rows
    (see `Judged`), of subjects that have something. ``once`` holds what was read of the log for all
    monitors, as long as they look. ``unfit`` is known once something was found.
    ``broken_parts``: sources that were found broken of one tenant or segment only, by its subject.
    """

    file: ModelFile
    policy: WindowPolicy
    live: Deployment
    layout: Layout
    baseline: Baseline
    start: float
    sketches: tuple[tuple[WindowKey, Sketch], ...]
    counts: Counts
    watched_since: float
    complete: bool = True
    keyless: frozenset[str] = frozenset()
    layouts: Mapping[str, Layout] = field(default_factory=dict[str, Layout])
    holdout: Mapping[str, float] = field(default_factory=dict[str, float])
    calibration: Calibration | None = None
    answers: tuple[Answers, ...] = ()
    segments: Mapping[str, Counts] = field(default_factory=dict[str, Counts])
    derived: Derived = field(default_factory=Derived)
    learned: Learned = _nothing
    once: ReadOnce = field(default_factory=ReadOnce)
    unfit: Unfit = field(default_factory=dict[str, str])
    broken_parts: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])

    @property
    def model(self) -> str:
        return self.file.model

    @property
    def end(self) -> float:
        return self.start + self.policy.window_s

    @property
    def views(self) -> dict[str, str]:
        return views_of(self.file.schema, self.layout.names)

    @property
    def rows(self) -> int:
        """Rows that were merged into ``counts``."""
        return self.rows_in(self.counts)

    def rows_in(self, counts: Counts) -> int:
        return int(self.layout.part(counts, self.layout.names[0]).sum())

    def seed(self, purpose: str) -> int:
        """A seed that follows from the window, so that a repeat draws the same."""
        name = f"{self.model}/{purpose}/{self.start:.0f}"
        return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest(), "big")

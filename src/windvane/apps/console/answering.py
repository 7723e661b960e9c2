"""Ask the store within a deadline; name every way that it can fail."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar

import anyio
import anyio.to_thread

from windvane.apps.console.visiting import BadText, UnknownParameter
from windvane.core.authorization import BadGrant
from windvane.core.errors import WindvaneError
from windvane.ports.control_store import ControlStore, StoreUnavailable, Tx, UnknownName
from windvane.ports.event_log import LogTooSlow, LogUnavailable
from windvane.ports.trial import TooManyTrials
from windvane.usecases.actions import ActionRefused, BadAnswer
from windvane.usecases.issue_key import BadApiVersion, BadScope, BadTenant
from windvane.usecases.limit_tenant import BadLimit
from windvane.usecases.manage_users import BadPassword, BadUser, LastAdmin, UnknownUser
from windvane.usecases.plan_maintenance import BadMaintenance
from windvane.usecases.read_history import BadPlace
from windvane.usecases.read_model_file import BadModelFile
from windvane.usecases.revoke_key import UnknownKey

T = TypeVar("T")
DEADLINE_S = 4.0
FRESH_S = 0.5
_SHARED = 64


class NoSuchPage(WindvaneError):
    """The console has no such path, or it takes another method or query."""

    code: ClassVar[str] = "CSL-101"
    hint = "the list of models is at /"


class PageFailed(WindvaneError):
    """The console could not make the page, for a reason that nobody foresaw."""

    code: ClassVar[str] = "CSL-102"
    hint = "its log has the details; the gateway goes on answering meanwhile"


class NotSignedIn(WindvaneError):
    """The call carries neither a session nor a key that is good now."""

    code: ClassVar[str] = "CSL-103"
    hint = "sign in, or send `Authorization: Bearer KEY`; `windvane up` made the first of both"


class NotAllowed(WindvaneError):
    """The user or key is known, but has no role for this."""

    code: ClassVar[str] = "CSL-104"
    hint = "`windvane user role NAME ROLE`, or `windvane key issue TENANT --role ROLE`, gives one"


class TooManyReaders(WindvaneError):
    """Others read tables already, and none of them was done in time."""

    code: ClassVar[str] = "CSL-112"
    hint = "try again in a moment"


class BadLasts(WindvaneError):
    """What is sent for how long something lasts cannot be read."""

    code: ClassVar[str] = "CSL-113"
    hint = "a number and a unit, such as 30m, 2h or 3d"


class BadLogQuery(WindvaneError):
    """The log was asked for rows of no kind that it has, or of a time that cannot be read."""

    code: ClassVar[str] = "CSL-120"
    hint = "a time is written as 2026-11-28T17:45, in UTC, or as seconds since the epoch"


_STATUS: tuple[tuple[type[WindvaneError], HTTPStatus], ...] = (
    (NoSuchPage, HTTPStatus.NOT_FOUND),
    (UnknownName, HTTPStatus.NOT_FOUND),
    (UnknownKey, HTTPStatus.NOT_FOUND),
    (NotSignedIn, HTTPStatus.UNAUTHORIZED),
    (NotAllowed, HTTPStatus.FORBIDDEN),
    (UnknownUser, HTTPStatus.NOT_FOUND),
    (BadUser, HTTPStatus.UNPROCESSABLE_ENTITY),
    (BadPassword, HTTPStatus.UNPROCESSABLE_ENTITY),
    (LastAdmin, HTTPStatus.CONFLICT),
    (BadTenant, HTTPStatus.UNPROCESSABLE_ENTITY),
    (BadScope, HTTPStatus.UNPROCESSABLE_ENTITY),
    (BadApiVersion, HTTPStatus.UNPROCESSABLE_ENTITY),
    (BadLasts, HTTPStatus.UNPROCESSABLE_ENTITY),
    (BadText, HTTPStatus.UNPROCESSABLE_ENTITY),
    (UnknownParameter, HTTPStatus.UNPROCESSABLE_ENTITY),
    (BadMaintenance, HTTPStatus.UNPROCESSABLE_ENTITY),
    (BadLimit, HTTPStatus.UNPROCESSABLE_ENTITY),
    (BadLogQuery, HTTPStatus.UNPROCESSABLE_ENTITY),
    (BadPlace, HTTPStatus.UNPROCESSABLE_ENTITY),
    (TooManyReaders, HTTPStatus.SERVICE_UNAVAILABLE),
    (LogTooSlow, HTTPStatus.SERVICE_UNAVAILABLE),
    (LogUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (BadModelFile, HTTPStatus.UNPROCESSABLE_ENTITY),
    (BadGrant, HTTPStatus.UNPROCESSABLE_ENTITY),
    (BadAnswer, HTTPStatus.UNPROCESSABLE_ENTITY),
    (ActionRefused, HTTPStatus.CONFLICT),
    (TooManyTrials, HTTPStatus.SERVICE_UNAVAILABLE),
    (StoreUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
)


class NoSuchName(UnknownName):
    """No such thing, and the page of the closest one that there is ("" where none is)."""

    def __init__(self, message: str, *, hint: str, path: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path


class _SharedRead:
    """A shared read: who asks while it is being made waits for it."""

    def __init__(self) -> None:
        self.lock = anyio.Lock()
        self.at = float("-inf")
        self.value: Any = None


class ReadService:
    """Runs reads on a thread, each in one snapshot, never longer than the deadline.

    A read that is late goes on and is forgotten: it holds no lock that a writer wants.
    """

    def __init__(
        self, store: ControlStore, deadline_s: float = DEADLINE_S, fresh_s: float = FRESH_S
    ) -> None:
        self._store = store
        self._deadline_s = deadline_s
        self._fresh_s = fresh_s
        self._shared: OrderedDict[Hashable, _SharedRead] = OrderedDict()

    async def ask(self, read: Callable[[Tx], T]) -> T:
        """What ``read`` makes of a snapshot; raises StoreUnavailable when it is late."""

        def work() -> T:
            with self._snapshot() as tx:
                return read(tx)

        try:
            with anyio.fail_after(self._deadline_s):
                return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
        except TimeoutError as error:
            message = f"the control database did not answer within {self._deadline_s:g} s"
            busy = "load the page again; the machine or the database is busy, or a lock is held"
            raise StoreUnavailable(message, hint=busy, public=message) from error

    async def ask_shared(self, key: Hashable, read: Callable[[Tx], T]) -> T:
        """As ``ask``, but viewers who ask the same within a moment share one answer."""
        held = self._shared.setdefault(key, _SharedRead())
        self._shared.move_to_end(key)
        if len(self._shared) > _SHARED:
            self._shared.popitem(last=False)
        async with held.lock:
            if time.monotonic() - held.at > self._fresh_s:
                held.value = await self.ask(read)
                held.at = time.monotonic()
            return held.value

    @contextmanager
    def _snapshot(self) -> Iterator[Tx]:
        """A store that cannot even be opened is unavailable, whatever its driver raises."""
        opening = self._store.read()
        try:
            tx = opening.__enter__()
        except WindvaneError:
            raise
        except Exception as error:
            raise StoreUnavailable(f"the control database cannot be opened: {error}") from error
        try:
            yield tx
        except BaseException as error:
            if not opening.__exit__(type(error), error, error.__traceback__):
                raise
        else:
            opening.__exit__(None, None, None)


def status_of(
    error: WindvaneError, more: Sequence[tuple[type[WindvaneError], HTTPStatus]] = ()
) -> HTTPStatus:
    """HTTP's word for one of our errors; ``more`` are those of single pages."""
    for kind, status in (*_STATUS, *more):
        if isinstance(error, kind):
            return status
    return HTTPStatus.INTERNAL_SERVER_ERROR

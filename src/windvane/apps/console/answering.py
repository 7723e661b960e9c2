"""Ask the store within a deadline; name every way that it can fail."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import ClassVar, TypeVar

import anyio
import anyio.to_thread

from windvane.core.errors import WindvaneError
from windvane.ports.control_store import ControlStore, StoreUnavailable, Tx, UnknownName

T = TypeVar("T")
DEADLINE_S = 4.0


class NoSuchPage(WindvaneError):
    """The console has no such path, or it takes another method."""

    code: ClassVar[str] = "CSL-101"
    hint = "the list of models is at /"


class PageFailed(WindvaneError):
    """The console could not make the page, for a reason that nobody foresaw."""

    code: ClassVar[str] = "CSL-102"
    hint = "its log has the details; the gateway goes on answering meanwhile"


class Asker:
    """Runs reads on a thread, each in one snapshot, never longer than the deadline.

    A read that is late goes on and is forgotten: it holds no lock that a writer wants.
    """

    def __init__(self, store: ControlStore, deadline_s: float = DEADLINE_S) -> None:
        self._store = store
        self._deadline_s = deadline_s

    async def ask(self, read: Callable[[Tx], T]) -> T:
        """What ``read`` makes of a snapshot; raises StoreUnavailable when it is late."""

        def work() -> T:
            with self._store.read() as tx:
                return read(tx)

        try:
            with anyio.fail_after(self._deadline_s):
                return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
        except TimeoutError as error:
            said = f"the control database did not answer within {self._deadline_s:g} s"
            raise StoreUnavailable(said) from error


def status_of(error: WindvaneError) -> HTTPStatus:
    """HTTP's word for one of our errors."""
    if isinstance(error, UnknownName | NoSuchPage):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, StoreUnavailable):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.INTERNAL_SERVER_ERROR

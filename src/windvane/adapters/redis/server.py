"""One Redis as a gateway sees it: every call with a deadline, and an outage handled once."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, ClassVar, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from windvane.core.errors import WindvaneError

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_FIRST_PAUSE_S = 0.1
_MOST_PAUSE_S = 5.0
# Whoever fails again so soon goes on with the pause that it had.
_CALM_S = 30.0
_FAIR_SHARE = 0.8
_MOST_LATE = 3
_CONNECT_S = 1.0
_CLOSE_S = 1.0
# A loop that was blocked finds the answer and the deadline in the same turn: it takes these
# many turns to read the answer.
_GRACE_TURNS = 4


class BadRedis(WindvaneError):
    """The setting `redis` is no address of a Redis, or its client is not installed."""

    code: ClassVar[str] = "RED-101"
    hint = "`redis://[user:password@]host:port/db`, `rediss://…` or `unix:///path`"


class Unreachable(Exception):
    """Redis did not answer as it should, in time; never leaves this adapter."""


class TooLate(Unreachable):
    """No answer within the time it was given."""


class NoScript(Unreachable):
    """Redis does not know the script yet; it is not down for that."""


class Client(Protocol):
    """What we use of the client."""

    async def execute_command(self, *args: object) -> Any: ...

    def pipeline(self, *, transaction: bool) -> Any: ...

    async def aclose(self) -> None: ...


class Server:
    """Calls under deadlines. After the first failure the server counts as down: nobody asks it
    but a probe, ever slower with jitter, until it takes a write again. Both ends of an outage are
    logged, once.

    ``connections`` bounds the calls at one time; the caller sees to it that there are no more.
    """

    def __init__(
        self,
        url: str,
        purpose: str,
        connections: int,
        *,
        first_pause_s: float = _FIRST_PAUSE_S,
        most_pause_s: float = _MOST_PAUSE_S,
    ) -> None:
        self.where, self._secret = _where(url)
        self._client = _connect(url, connections)
        self._purpose = purpose
        self._connections = connections
        self._first_pause_s = first_pause_s
        self._most_pause_s = most_pause_s
        self._pause_s = first_pause_s
        self._recovered_at = float("-inf")
        self._tasks: set[asyncio.Future[Any]] = set()
        self._closed = False
        self._late = 0
        self.down = False
        self.when_back: list[Callable[[], None]] = []

    async def open(self) -> None:
        """Connect ahead of the first call, within a second; if that fails the server is down."""
        try:
            await self._within(self._probe(), _CONNECT_S)
        except Unreachable as error:
            self.fail(error)

    async def ask(self, *command: object, within_s: float, fair_s: float = 0.0) -> Any:
        """The answer to one command; raises Unreachable, and then the server counts as down.

        If it had less time than is fair because we were late ourselves, that happens at the
        fourth time in a row only.
        """
        try:
            answer = await self._within(self._client.execute_command(*command), within_s)
        except NoScript:
            raise
        except TooLate as error:
            self._late += 1
            if within_s >= _FAIR_SHARE * fair_s or self._late > _MOST_LATE:
                self.fail(error)
            raise
        except Unreachable as error:
            self.fail(error)
            raise
        self._late = 0
        return answer

    async def ask_all(self, commands: Sequence[tuple[object, ...]], *, within_s: float) -> None:
        """Commands one after the other on one connection, answered at once; as ``ask``."""
        try:
            pipeline = self._client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            await self._within(pipeline.execute(), within_s)
        except Unreachable as error:
            self.fail(error)
            raise

    def fail(self, error: Unreachable) -> None:
        """Take the server for down and begin to probe."""
        if self.down or self._closed:
            return
        self.down = True
        if asyncio.get_running_loop().time() - self._recovered_at > _CALM_S:
            self._pause_s = self._first_pause_s
        _log.warning("redis %s does not serve %s: %s", self.where, self._purpose, error)
        self.spawn(self._until_back())

    def spawn_soon(self, work: Coroutine[Any, Any, None]) -> bool:
        """``spawn`` in the next turn, so that what is added until then goes with it. False where
        no loop runs any more, and then nothing is done."""
        try:
            self.spawn(work)
        except RuntimeError:
            work.close()
            return False
        return True

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run in the background until it ends or the server is closed."""
        task = asyncio.get_running_loop().create_task(work)
        self._keep(task)

    async def aclose(self) -> None:
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_S)
        try:
            await asyncio.wait_for(self._client.aclose(), _CLOSE_S)
        except Exception as error:
            _log.warning("redis %s: closing failed: %s", self.where, self._clean(error))

    async def _until_back(self) -> None:
        began = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(self._pause_s * random.uniform(0.5, 1.0))
            self._pause_s = min(2 * self._pause_s, self._most_pause_s)
            try:
                await self._within(self._probe(), _CONNECT_S)
            except Unreachable:
                continue
            break
        self._recovered_at = asyncio.get_running_loop().time()
        self._late = 0
        self.down = False
        lasted = self._recovered_at - began
        _log.warning("redis %s serves %s again, after %.1f s", self.where, self._purpose, lasted)
        for tell in self.when_back:
            tell()

    async def _probe(self) -> None:
        """Write on every connection: a replica or a full server answers a ping, too. And a
        connection takes longer to make than a call may last."""
        await asyncio.gather(
            *(
                self._client.execute_command("SET", f"wv:probe:{i}", b"1", "PX", 1_000)
                for i in range(self._connections)
            )
        )

    async def _within(self, work: Awaitable[_T], within_s: float) -> _T:
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task}, timeout=within_s)
            for _ in range(_GRACE_TURNS):
                if task.done():
                    break
                await asyncio.sleep(0)
            if not task.done():
                raise TooLate(f"no answer within {within_s * 1e3:.0f} ms")
            return task.result()
        except Unreachable:
            raise
        except Exception as error:
            kind = NoScript if type(error).__name__ == "NoScriptError" else Unreachable
            raise kind(self._clean(error)) from None
        finally:
            if not task.done():
                task.cancel()
                self._keep(task)

    def _keep(self, task: asyncio.Future[Any]) -> None:
        """Hold on to a task, and look at its end, so that nothing is said of it later."""
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and not self.down:
            _log.debug("redis %s: %s", self.where, self._clean(task.exception()))

    def _clean(self, error: BaseException | None) -> str:
        text = f"{error}" or type(error).__name__
        return text.replace(self._secret, "***") if self._secret else text


def _where(url: str) -> tuple[str, str]:
    """The address without what is secret, and the secret."""
    try:
        parts = urlsplit(url)
        secret = unquote(parts.password or "")
        if parts.scheme == "unix":
            if not parts.path:
                raise ValueError
            return f"unix://{parts.path}", secret
        database = parts.path.strip("/") or "0"
        if parts.scheme not in {"redis", "rediss"} or not parts.hostname or not database.isdigit():
            raise ValueError
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}{parts.path}", secret
    except ValueError:
        raise BadRedis("the setting `redis` is no address of a Redis") from None


def _connect(url: str, connections: int) -> Client:
    try:
        import redis.asyncio as driver
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError as error:
        raise BadRedis(
            "the setting `redis` is given, but its client is not installed",
            hint="install windvane[redis]",
        ) from error
    try:
        pool = driver.ConnectionPool.from_url(
            url,
            max_connections=connections + 2,  # those that were given up may still be closing
            retry=Retry(NoBackoff(), 0),
            socket_timeout=_CONNECT_S,
            socket_connect_timeout=_CONNECT_S,
            protocol=2,
        )
    except ValueError:
        raise BadRedis("the setting `redis` is no address of a Redis") from None
    return driver.Redis.from_pool(pool)

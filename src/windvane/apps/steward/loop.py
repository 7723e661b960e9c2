"""One turn of the steward: hold the leases, judge, advance."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence

from windvane.core.alerting.updates import UpdatePolicy
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, StoreUnavailable, Tx
from windvane.ports.event_log import EventLog
from windvane.ports.leases import LeaseLost
from windvane.ports.metrics import MetricsBoard
from windvane.ports.pending_rollbacks import PendingRollbacks
from windvane.ports.routing_feed import RoutingFeed
from windvane.usecases.advance_rollout import (
    ArmScores,
    advance_rollout,
    count_losses,
    left_out,
)
from windvane.usecases.broken_versions import broken_versions
from windvane.usecases.judge_again import judge_again
from windvane.usecases.judge_windows import judge_windows
from windvane.usecases.keep_bounded import Turn, keep_bounded, keep_log_bounded
from windvane.usecases.leases import Shards, extend_leases, give_up, hold_shards
from windvane.usecases.load_windows import WindowCache
from windvane.usecases.publish_routing import mend_feed, publish_latest
from windvane.usecases.read_model_file import parse_duration, read_model_file
from windvane.usecases.read_settings import Retention
from windvane.usecases.record_events import at_once
from windvane.usecases.recorded_until import (
    EXPIRE_AFTER_S,
    expired_spools,
    give_up_unlogged,
    recorded_until,
    unlogged_bytes,
)
from windvane.usecases.roll_back_offline import record_pending
from windvane.usecases.send_digest import DigestPlan, queue_digests
from windvane.usecases.tell_updates import queue_reminders
from windvane.usecases.watch_budget import WatchBudget

_log = logging.getLogger(__name__)
_WINDOWS_A_TURN = 20
_MODELS_AT_ONCE = 32
_NAMED = 10
_TIDY_EVERY_S = 60.0
_FEED_EVERY_S = 2.0
_RETAIN_WITHIN_S = 3.0
_EXPIRE_EVERY_S = 3_600.0
_MOST_FILES = 100
_LONGEST_TURN_LEASES = 60


def _nobody() -> None:
    return


class Steward:
    """Judges the models of the shards whose leases it holds; a deposed one's transactions fail by
    their tokens. ``wake`` is called when there may be effects to carry out. The log is kept in
    order by ``background``, through ``upkeep_log``: sorting a day takes longer than a lease.
    ``board`` has what the gateways of this machine post."""

    def __init__(
        self,
        holder: str,
        store: ControlStore,
        log: EventLog,
        clock: Clock,
        feed: RoutingFeed,
        *,
        lease_s: float,
        retention: Retention | None = None,
        wake: Callable[[], None] = _nobody,
        expire_after_s: float = EXPIRE_AFTER_S,
        pending: PendingRollbacks | None = None,
        upkeep_log: EventLog | None = None,
        background: Callable[[Callable[[], None]], None] = at_once,
        digests: Sequence[DigestPlan] = (),
        console_url: str = "",
        watch_budget: WatchBudget | None = None,
        updates: UpdatePolicy | None = None,
        board: MetricsBoard | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._holder = holder
        self._store = store
        self._log = log
        self._clock = clock
        self._feed = feed
        self._lease_s = lease_s
        self._wake = wake
        self._board = board
        self._monotonic = monotonic
        self._turn_began: float | None = None
        self._led = False
        self._pending = pending
        self._pending_error = ""
        self._upkeep_log = upkeep_log or log
        self._background = background
        self._updates = updates or UpdatePolicy()
        self._digests, self._console_url = tuple(digests), console_url
        self._retention = retention or Retention()
        self._retained = Turn()
        self._log_tidy_at = 0.0
        self._expire_after_s = expire_after_s
        self._cache = WindowCache()
        self._watch_budget = watch_budget or WatchBudget()
        self._expired: tuple[str, ...] = ()
        self._tidy_at = 0.0
        self._feed_at = 0.0
        self._feed_error = ""
        self._shards = Shards({})
        self._renewed_at = -math.inf
        self._scored: dict[str, tuple[float, Sequence[ArmScores]]] = {}

    def turn(self) -> bool:
        """One turn; False while others hold every shard.

        One model's trouble is logged and does not keep the others from being judged.
        """
        self._turn_began = self._monotonic()
        try:
            return self._turn()
        finally:
            self._turn_began = None

    def _turn(self) -> bool:
        self._record_pending()
        self._renew_in_time()
        # Also of what was taken as it rested: then another published last.
        led, self._led = self._led, self._shards.leads
        if not self._shards.tokens:
            self._cache = WindowCache()
            return False
        if self._shards.leads:
            self._publish(anew=not led)
        try:
            self._judge()
            self._advance()
        except LeaseLost:
            _log.warning("a lease was lost; another steward goes on")
            self._shards = Shards({})
            self._led = False
            self._renewed_at = -math.inf
            return False
        self._tidy()
        return True

    def rest(self, for_s: float, wait: Callable[[float], object]) -> None:
        """Between two turns, for so many seconds or until ``wait``, which is given seconds, says
        that it is over; leases are renewed meanwhile."""
        until = self._monotonic() + for_s
        while (left := until - self._monotonic()) > 0.0:
            if wait(min(left, self.renew_every_s)):
                return
            self._renew_in_time()

    @property
    def renew_every_s(self) -> float:
        """Leases are renewed at least so often: twice in vain, and they still hold."""
        return self._lease_s / 4.0

    def extend_leases(self) -> None:
        """While a turn goes on, for another thread to call in time. One that takes as long as only
        a turn that hangs gives the models to another steward. Raises LeaseLost."""
        began = self._turn_began
        if began is None or self._monotonic() - began > _LONGEST_TURN_LEASES * self._lease_s:
            return
        extend_leases(self._store, self._holder, self._shards, self._lease_s)

    def _record_pending(self) -> None:
        """What was done while the database was away; trouble with it keeps nobody from judging."""
        if self._pending is None:
            return
        try:
            if record_pending(self._store, self._clock, self._feed, self._pending):
                self._wake()
            self._pending_error = ""
        except StoreUnavailable:
            raise
        except Exception as error:
            if str(error) != self._pending_error:
                _log.exception("pending rollbacks are not recorded; trying again")
            self._pending_error = str(error)

    def stop(self) -> None:
        """Let another steward go on at once."""
        give_up(self._store, self._holder, self._shards)
        self._shards = Shards({})

    def _renew(self) -> None:
        self._shards = hold_shards(self._store, self._holder, self._lease_s)
        self._renewed_at = self._monotonic()

    def _renew_in_time(self) -> None:
        """Well before the leases end; a turn may take longer than that."""
        if self._monotonic() - self._renewed_at >= self.renew_every_s:
            self._renew()

    def _publish(self, *, anew: bool) -> None:
        """What the store says now: a table that was damaged, deleted or put back from a copy
        does not wait for the next change, nor a worker that starts meanwhile."""
        now = self._clock.wall()
        if not anew and self._feed_at - _FEED_EVERY_S <= now < self._feed_at:
            return
        self._feed_at = now + _FEED_EVERY_S
        try:
            if anew:
                publish_latest(self._store, self._feed)
            elif mend_feed(self._store, self._feed):
                _log.warning("the routing table was damaged or missing: it is published again")
        except Exception as error:
            if anew or str(error) != self._feed_error:
                _log.exception("the routing table was not published; it is tried again")
            self._feed_error = str(error)
        else:
            self._feed_error = ""

    def _tidy(self) -> None:
        """A recorder appends every second; readers want few files."""
        now = self._clock.wall()
        if now < self._tidy_at or not self._shards.leads:
            return
        self._tidy_at = now + _TIDY_EVERY_S
        with self._store.read() as tx:
            self._cache.forget_all_but(tx.applied_at())
        try:
            keep_bounded(
                self._store, self._clock, self._retention, _RETAIN_WITHIN_S, self._retained
            )
        except Exception:
            _log.exception("what is old was not removed; trying again")
        self._background(self._tidy_log)
        try:
            if queue_reminders(self._store, self._clock, self._updates):
                self._wake()
        except Exception:
            _log.exception("owners were not reminded of updates that are overdue; trying again")
        try:
            if queue_digests(
                self._store, self._clock, self._digests, self._expire_after_s, self._console_url
            ):
                self._wake()
        except Exception:
            _log.exception("the weekly digest was not written; trying again")

    def _tidy_log(self) -> None:
        now = self._clock.wall()
        try:
            if now >= self._log_tidy_at:
                self._log_tidy_at = now + _EXPIRE_EVERY_S
                keep_log_bounded(self._store, self._upkeep_log, self._clock, self._retention)
            if gone := self._upkeep_log.compact(_MOST_FILES):
                _log.info("%d small files of the log became few", gone)
        except Exception:
            _log.exception("the log was not compacted; trying again")

    def _judge(self) -> None:
        """Every due window of every model, the oldest of each first; before them those that
        somebody put back."""
        self._give_up_unlogged()
        judge_again(self._store, self._log, self._shards)
        for _ in range(_WINDOWS_A_TURN):
            with self._store.read() as tx:
                until = self._recorded_until(tx)
                due = tx.due_models(until) if until is not None else []
            judged = 0
            for i in range(0, len(due), _MODELS_AT_ONCE):
                self._renew_in_time()
                some = [m for m in due[i : i + _MODELS_AT_ONCE] if self._shards.holds(m)]
                judged += self._judge_some(some) if some else 0
                self._wake()
            if not judged:
                return

    def _recorded_until(self, tx: Tx) -> float | None:
        """Up to where every spool is read; that some expired is said when it changes."""
        checkpoints, wall = tx.checkpoints(), self._clock.wall()
        expired = tuple(expired_spools(checkpoints, wall, self._expire_after_s))
        if expired != self._expired:
            self._expired = expired
            named = ", ".join(expired[:_NAMED]) or "none"
            _log.warning("windows close without %d spools that expired: %s", len(expired), named)
        return recorded_until(checkpoints, wall, self._expire_after_s)

    def _give_up_unlogged(self) -> None:
        """Say what the log will lack of spools that are gone."""
        if not self._shards.leads:
            return
        wall = self._clock.wall()
        for gone in give_up_unlogged(self._store, wall, self._expire_after_s):
            _log.error(
                "spool %s is gone: up to %d counted bytes from %d are not in the log",
                gone.spool, unlogged_bytes(gone), gone.logged,
            )  # fmt: skip

    def _judge_some(self, models: Sequence[str]) -> int:
        """Those of ``models`` together; where that fails each by itself, so that the trouble of
        one keeps no other from being judged."""
        try:
            return judge_windows(
                self._store, self._log, self._clock, self._shards, models, self._cache,
                self._expire_after_s, self._watch_budget, lambda: broken_versions(self._board),
            )  # fmt: skip
        except LeaseLost:
            raise
        except Exception:
            if len(models) == 1:
                _log.exception("model %s could not be judged in this turn", models[0])
                return 0
        return sum(self._judge_some([model]) for model in models)

    def _advance(self) -> None:
        """Every rollout that is under way."""
        with self._store.read() as tx:
            live = [d for d in tx.deployments() if d.challenger]
        rolling = [d.model for d in live if self._shards.holds(d.model)]
        for gone in self._scored.keys() - set(rolling):
            del self._scored[gone]
        for model in rolling:
            try:
                verdict = advance_rollout(
                    self._store, self._log, self._clock, model, self._shards, self._losses(model)
                )
            except LeaseLost:
                raise
            except Exception:
                _log.exception("the rollout of model %s was not judged in this turn", model)
                continue
            self._wake()
            if verdict is not None and verdict.failed:
                _log.warning("model %s: %s %s", model, verdict.code, verdict.sentence)

    def _losses(self, model: str) -> Sequence[ArmScores]:
        """Losses since the rollout began, read from the log once a window."""
        with self._store.read() as tx:
            live = tx.deployment(model)
            if live is None or not live.challenger:
                return ()
            file = read_model_file(tx.model(model).text)
            without = left_out(tx, live, live.rollout_started)
        window_s = parse_duration(file.watch.window)
        now = self._clock.now()
        read_at, rows = self._scored.get(model, (0.0, ()))
        if now - read_at >= window_s:
            started = live.rollout_started
            rows = count_losses(self._log, file.contract, model, started, now, without)
            self._scored[model] = (now, rows)
        return rows

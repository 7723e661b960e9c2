"""One turn of the steward: hold the lease, judge, advance, deliver."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, LeaseLost
from windvane.ports.event_log import EventLog
from windvane.ports.notifier import Notifier
from windvane.ports.registry import AliasMirror
from windvane.ports.routing_feed import RoutingFeed
from windvane.usecases.advance_rollout import LEASE, advance_rollout, count_losses
from windvane.usecases.deliver_effects import deliver_effects
from windvane.usecases.judge_window import judge_window
from windvane.usecases.load_window import WindowCache
from windvane.usecases.publish_routing import publish_latest
from windvane.usecases.read_model_file import parse_duration, read_model_file
from windvane.usecases.recorded_until import EXPIRE_AFTER_S

_log = logging.getLogger(__name__)
_WINDOWS_A_TURN = 20
_TIDY_EVERY_S = 60.0
_MOST_FILES = 100


class Steward:
    """Leads while it holds the lease; a deposed one's transactions fail by their token."""

    def __init__(
        self,
        holder: str,
        store: ControlStore,
        log: EventLog,
        clock: Clock,
        feed: RoutingFeed,
        notifier: Notifier,
        mirror: AliasMirror,
        *,
        lease_s: float,
        expire_after_s: float = EXPIRE_AFTER_S,
    ) -> None:
        self._holder = holder
        self._store = store
        self._log = log
        self._clock = clock
        self._feed = feed
        self._notifier = notifier
        self._mirror = mirror
        self._lease_s = lease_s
        self._expire_after_s = expire_after_s
        self._cache = WindowCache()
        self._tidy_at = 0.0
        self._leads = False
        self._scored: dict[str, tuple[float, Sequence[Mapping[str, Any]]]] = {}

    def turn(self) -> bool:
        """One turn; False while another steward leads.

        One model's trouble is logged and does not keep the others from being judged.
        """
        with self._store.begin() as tx:
            token = tx.acquire(LEASE, self._holder, self._clock.wall(), self._lease_s)
        if token is None:
            self._cache = WindowCache()
            self._leads = False
            return False
        if not self._leads:
            self._publish()
            self._leads = True
        with self._store.read() as tx:
            models = [m.name for m in tx.models()]
        for model in models:
            try:
                self._judge(model, token)
            except LeaseLost:
                _log.warning("the lease was lost; another steward goes on")
                return False
            except Exception:
                _log.exception("model %s could not be judged in this turn", model)
        deliver_effects(self._store, self._clock, self._feed, self._notifier, self._mirror)
        self._tidy(models)
        return True

    def _publish(self) -> None:
        """What the store says now: a table that was damaged, deleted or put back from a copy
        does not wait for the next change."""
        try:
            publish_latest(self._store, self._feed)
        except Exception:
            _log.exception("the routing table was not published; the next change tries again")

    def _tidy(self, models: Sequence[str]) -> None:
        """A recorder appends every second; readers want few files."""
        now = self._clock.wall()
        if now < self._tidy_at:
            return
        self._tidy_at = now + _TIDY_EVERY_S
        for model in models:
            try:
                if gone := self._log.compact(model, _MOST_FILES):
                    _log.info("model %s: %d small files of its log became few", model, gone)
            except Exception:
                _log.exception("model %s: its log was not compacted; trying again", model)

    def _judge(self, model: str, token: int) -> None:
        for _ in range(_WINDOWS_A_TURN):
            if not judge_window(
                self._store,
                self._log,
                self._clock,
                model,
                token,
                self._cache,
                self._expire_after_s,
            ):
                break
        verdict = advance_rollout(
            self._store, self._log, self._clock, model, token, self._losses(model)
        )
        if verdict is not None and verdict.failed:
            _log.warning("model %s: %s %s", model, verdict.code, verdict.sentence)

    def _losses(self, model: str) -> Sequence[Mapping[str, Any]]:
        """Losses since the rollout began, read from the log once a window."""
        with self._store.read() as tx:
            live = tx.deployment(model)
            if live is None or not live.challenger:
                self._scored.pop(model, None)
                return ()
            file = read_model_file(tx.model(model).text)
        window_s = parse_duration(file.watch.window)
        now = self._clock.now()
        read_at, rows = self._scored.get(model, (0.0, ()))
        if now - read_at >= window_s:
            started = live.rollout_started
            rows = count_losses(self._log, file.contract, model, started, now)
            self._scored[model] = (now, rows)
        return rows

"""What monitors carry from window to window, and how far each model's windows are judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa

from windvane.adapters.sql import schema as t
from windvane.adapters.sql.rows import Rows, dump
from windvane.ports.judging import LearnedState, MonitorState, Progress

_MOST_NAMED = 500


class WatchingRows(Rows):
    def due_models(self, read_until: float) -> list[str]:
        done = t.judged_windows
        found = (
            sa.select(t.deployments.c.model)
            .outerjoin(done, done.c.model == t.deployments.c.model)
            .where(sa.func.coalesce(done.c.due_at, 0.0) <= read_until)
            .order_by(t.deployments.c.model)
        )
        return [row.model for row in self.all(found)]

    def first_windows(self, since: Mapping[str, float]) -> Mapping[str, float]:
        c = t.window_sketches.c
        found = sa.select(c.model, c.start).order_by(c.start).limit(1)
        parts = [found.where(c.model == model, c.start >= at) for model, at in since.items()]
        return {row.model: row.start for row in self.of_each(parts)}

    def progress(self, models: Sequence[str]) -> Mapping[str, Progress]:
        done = t.judged_windows
        rows = [
            row
            for some in _chunks(models)
            for row in self.all(sa.select(done).where(done.c.model.in_(some)))
        ]
        return {row.model: Progress(*row) for row in rows}

    def put_progress(self, progress: Sequence[Progress]) -> None:
        self.put(t.judged_windows, [msgspec.to_builtins(p) for p in progress])

    def monitor_states(self, models: Sequence[str]) -> list[MonitorState]:
        held = t.monitor_states
        return [
            MonitorState(
                r.model, r.monitor, r.subject, r.at, bool(r.alarmed), msgspec.json.decode(r.body)
            )
            for some in _chunks(models)
            for r in self.all(
                sa.select(held)
                .where(held.c.model.in_(some))
                .order_by(held.c.model, held.c.monitor, held.c.subject)
            )
        ]

    def put_monitor_states(self, states: Sequence[MonitorState]) -> None:
        self.put(
            t.monitor_states, [{**msgspec.to_builtins(s), "body": dump(s.body)} for s in states]
        )

    def drop_monitor_states(self, keys: Sequence[tuple[str, str, str]]) -> None:
        if not keys:
            return
        named = [{"b_model": m, "b_monitor": n, "b_subject": s} for m, n, s in keys]
        for table in (t.monitor_states, t.learned_states):
            c = table.c
            self._c.execute(
                sa.delete(table).where(
                    c.model == sa.bindparam("b_model"),
                    c.monitor == sa.bindparam("b_monitor"),
                    c.subject == sa.bindparam("b_subject"),
                ),
                named,
            )

    def learned_states(
        self, model: str, monitor: str, subjects: Sequence[str]
    ) -> Mapping[str, bytes]:
        c = t.learned_states.c
        return {
            row.subject: bytes(row.packed)
            for some in _chunks(subjects)
            for row in self.all(
                sa.select(c.subject, c.packed).where(
                    c.model == model, c.monitor == monitor, c.subject.in_(some)
                )
            )
        }

    def put_learned_states(self, learned: Sequence[LearnedState]) -> None:
        self.put(
            t.learned_states,
            [
                {"model": s.model, "monitor": s.monitor, "subject": s.subject, "packed": s.packed}
                for s in learned
            ],
        )

    def forget_judging(self, model: str) -> None:
        for table in (t.monitor_states, t.learned_states, t.judged_windows):
            self._c.execute(sa.delete(table).where(table.c.model == model))

    def prune_monitor_states(self, before: float, limit: int) -> int:
        c = t.monitor_states.c
        old = self.all(
            sa.select(c.model, c.monitor, c.subject)
            .where(c.alarmed.is_(False), c.at < before)
            .limit(limit)
        )
        self.drop_monitor_states([(r.model, r.monitor, r.subject) for r in old])
        return len(old)


def _chunks(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[i : i + _MOST_NAMED] for i in range(0, len(names), _MOST_NAMED)]

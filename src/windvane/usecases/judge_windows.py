"""Judge closed windows, and act on what the monitors find."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from windvane.core.alerting import Finding, correlate
from windvane.core.alerting.suspect import PARTIAL_DEPENDENCE
from windvane.core.verdict import Outcome
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, Tx, WindowVerdict
from windvane.ports.event_log import EventLog
from windvane.ports.judging import LearnedState, MonitorState, Progress
from windvane.ports.quarantine import Counted, CountName
from windvane.usecases.closed_window import ClosedWindow
from windvane.usecases.explain_suspect import explain_suspect
from windvane.usecases.leases import Shards
from windvane.usecases.load_windows import (
    DueWindow,
    Loaded,
    WindowCache,
    learned_from,
    load_windows,
)
from windvane.usecases.measure_impact import Counted as WindowsCounted
from windvane.usecases.measure_impact import measure_impact, read_counted
from windvane.usecases.monitors import MONITORS, Judged, Monitor
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.recorded_until import EXPIRE_AFTER_S, missing_spools, recorded_until
from windvane.usecases.respond import DecidedBefore, Found, open_causes, respond
from windvane.usecases.set_aside import failed_file, failed_window
from windvane.usecases.unfit_versions import unfit_versions
from windvane.usecases.watch_budget import WatchBudget

_log = logging.getLogger(__name__)
# Onsets in so many windows of each other are one.
_TOGETHER = 2
NOT_LOADED = "window"


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A window with what every monitor said of it; ``failed`` could not say anything, ``waiting``
    did not look, with why, by monitor; ``dropped``: what monitors that were switched off carried,
    by monitor and subject."""

    due: DueWindow
    judged: tuple[tuple[Monitor, Judged], ...]
    failed: Mapping[str, str]
    waiting: Mapping[str, str]
    dropped: tuple[tuple[str, str], ...]

    @property
    def window(self) -> ClosedWindow:
        return self.due.window

    @property
    def findings(self) -> list[tuple[Finding, Monitor, Judged]]:
        return [(f, monitor, judged) for monitor, judged in self.judged for f in judged.findings]


def judge_windows(
    store: ControlStore,
    log: EventLog,
    clock: Clock,
    shards: Shards,
    models: Sequence[str],
    cache: WindowCache,
    expire_after_s: float = EXPIRE_AFTER_S,
    budget: WatchBudget | None = None,
    broken: Callable[[], Collection[tuple[str, str]]] = frozenset,
) -> int:
    """Judge the next closed window of each of ``models``; how many there were.

    A model's findings, moves, new state and verdicts commit in one transaction under the
    leases of its shard; windows without findings share one. A window that another steward judged
    meanwhile is left as it was. A spool that nobody saw for ``expire_after_s`` seconds keeps no
    window open. ``budget`` says which monitors wait, ``broken`` which models' versions gateways
    cannot load. Raises LeaseLost.
    """
    budget = WatchBudget() if budget is None else budget
    with store.read() as tx:
        checkpoints, wall = tx.checkpoints(), clock.wall()
        recorded = recorded_until(checkpoints, wall, expire_after_s)
        complete = not missing_spools(checkpoints, wall, expire_after_s)
        loaded = load_windows(
            tx, models, cache, recorded, complete=complete, learned=learned_from(store)
        )
    seen = [_judge(due, log, budget) for due in loaded.windows]
    quiet = [one for one in seen if not one.findings]
    if quiet or loaded.waiting or loaded.failed:
        named = [*(one.window.model for one in quiet), *(p.model for p in loaded.waiting)]
        named += loaded.failed
        with store.begin(named) as tx:
            shards.require(tx, named)
            _record(tx, quiet)
            _wait(tx, loaded)
            _set_aside(tx, loaded, clock.now())
            # Of turns in which every window has findings with the next that has none.
            spent = budget.take_spent()
            tx.add_counts({Counted(CountName.WATCHING, name): ms for name, ms in spent.items()})
    for one in seen:
        if not one.findings:
            continue
        try:
            _act(store, log, clock, shards, one, broken)
        except DecidedBefore as error:
            _log.error("model %s: %s; its window is passed, and nothing done twice",
                       one.window.model, error)  # fmt: skip
            with store.begin([one.window.model]) as tx:
                shards.require(tx, [one.window.model])
                _record(tx, [one])
    return len(seen)


def _judge(due: DueWindow, log: EventLog, budget: WatchBudget) -> _Seen:
    """What each monitor says. One that fails says ERROR, keeps what it carries and stops no
    other: whatever came before and after is judged. One that waits keeps it, too."""
    judged: list[tuple[Monitor, Judged]] = []
    failed: dict[str, str] = {}
    waiting: dict[str, str] = {}
    dropped: list[tuple[str, str]] = []
    file = due.window.file
    for monitor in MONITORS:
        rows = due.states.get(monitor.name, {})
        if monitor.name in file.watch.off:
            dropped += [(monitor.name, subject) for subject in rows]
            continue
        # What is open is to end when it is over, whatever that costs.
        why = "" if monitor.name in due.sounding else budget.waits(monitor, file)
        if why:
            if not monitor.slow:  # of others the last look holds, and the next comes later
                waiting[monitor.name] = why
            continue
        try:
            with budget.looking(monitor):
                judged += [(monitor, one) for one in monitor.look(due.window, rows, log)]
        except Exception as error:
            _log.exception("monitor %s of model %s failed", monitor.name, due.window.model)
            failed[monitor.name] = f"{type(error).__name__}: {error}"
    # Windows stay in memory until all models' are recorded; what was read for them need not.
    due.window.once.clear()
    return _Seen(due, tuple(judged), failed, waiting, tuple(dropped))


def _act(
    store: ControlStore,
    log: EventLog,
    clock: Clock,
    shards: Shards,
    seen: _Seen,
    broken: Callable[[], Collection[tuple[str, str]]],
) -> None:
    """Correlate what was found with what is open, and act. Evidence is read before the
    transaction: a scan of the log must not hold it."""
    window = seen.window
    with store.read() as tx:
        said = [finding for finding, _, _ in seen.findings]
        unfit = unfit_versions(tx, window.file, window.live, clock.now(), said, broken())
    window = replace(window, unfit=unfit)
    found = [
        Found(finding, monitor, judged, _evidence(window, monitor, judged, finding, log))
        for finding, monitor, judged in seen.findings
    ]
    found = _with_impact(store, seen, found)
    behind = {one.finding.member: one for one in found}
    now = clock.now()
    with store.begin([window.model]) as tx:
        shards.require(tx, [window.model])
        if not _still(tx, [seen]):
            return  # judged by another, or an incident was closed by hand: look again
        held = open_causes(tx.open_incidents(window.model))
        findings = [one.finding for one in found]
        for change in correlate(findings, held, _TOGETHER * window.policy.window_s):
            respond(tx, window, change, behind, now)
        _write(tx, [seen])


def _evidence(
    window: ClosedWindow, monitor: Monitor, judged: Judged, finding: Finding, log: EventLog
) -> Mapping[str, Any]:
    """Evidence that cannot be had keeps nobody from being told."""
    if not finding.began:
        return {}
    try:
        return monitor.evidence(window, judged, finding, log)
    except Exception as error:
        _log.exception("no evidence for %s of model %s", finding.member, window.model)
        return {"missing": f"{type(error).__name__}: {error}"}


def _with_impact(store: ControlStore, seen: _Seen, found: Sequence[Found]) -> list[Found]:
    """With whom each finding hurts, and what the version makes of its suspect. What cannot be
    counted keeps nobody from being told."""
    began = [one.finding.since for one in found if one.finding.began]
    if not began:
        return list(found)
    window = seen.window
    file, end = window.file, window.end
    try:
        with store.read() as tx:
            counted = read_counted(tx, file, min(began), end)
            counted = replace(counted, looks=[*counted.looks, *_rows(seen)])
            return [
                replace(
                    one,
                    evidence={
                        **one.evidence,
                        "impact": measure_impact(
                            tx, file, counted, one.finding.cause, one.finding.since, end,
                            one.evidence,
                        ),
                        **_of_suspect(tx, window, counted, one),
                    },
                )
                if one.finding.began
                else one
                for one in found
            ]  # fmt: skip
    except Exception:
        _log.exception("whom the findings of model %s hurt cannot be counted", window.model)
        return list(found)


def _of_suspect(
    tx: Tx, window: ClosedWindow, counted: WindowsCounted, one: Found
) -> dict[str, Any]:
    finding = one.finding
    try:
        found = explain_suspect(
            tx, window.file, counted, window.live.champion, finding.cause, finding.since,
            window.end, one.evidence,
        )  # fmt: skip
    except Exception:
        _log.exception("what the version makes of the suspect of %s is not known", finding.member)
        return {}
    return {PARTIAL_DEPENDENCE: found} if found else {}


def _record(tx: Tx, quiet: Sequence[_Seen]) -> None:
    _write(tx, _still(tx, quiet))


def _still(tx: Tx, seen: Sequence[_Seen]) -> list[_Seen]:
    """Those whose model is as it was when they were loaded."""
    now = tx.progress([one.window.model for one in seen]) if seen else {}
    return [
        one
        for one in seen
        if (held := now.get(one.window.model)) is None
        or (held.until, held.revision) == (one.due.progress.until, one.due.progress.revision)
    ]


def _write(tx: Tx, seen: Sequence[_Seen]) -> None:
    tx.add_verdicts([row for one in seen for row in _rows(one)])
    states: list[MonitorState] = []
    learned: list[LearnedState] = []
    gone: list[tuple[str, str, str]] = []
    for one in seen:
        model, at = one.window.model, one.window.start
        for monitor, judged in one.judged:
            for subject, state in judged.states.items():
                if state is None:
                    gone.append((model, monitor.name, subject))
                else:
                    body = msgspec.to_builtins(state)
                    states.append(
                        MonitorState(model, monitor.name, subject, at, state.alarmed, body)
                    )
            learned += [
                LearnedState(model, monitor.name, subject, packed)
                for subject, packed in judged.learned.items()
            ]
        gone += [(model, monitor, subject) for monitor, subject in one.dropped]
        failed = one.failed.items()
        tx.add_quarantined([failed_window(one.window, n, "WIN-102", why) for n, why in failed])
    tx.put_monitor_states(states)
    tx.put_learned_states(learned)
    tx.drop_monitor_states(gone)
    tx.put_progress([_after(one) for one in seen])


def _after(seen: _Seen) -> Progress:
    window, held = seen.window, seen.due.progress
    policy = window.policy
    due_at = window.end + policy.window_s + policy.grace_s
    return replace(held, until=window.end, due_at=due_at, revision=held.revision + 1)


def _set_aside(tx: Tx, loaded: Loaded, now: float) -> None:
    """Files that cannot be read any more; a model of one that can is judged once it loads."""
    for record in tx.model_records(list(loaded.failed)) if loaded.failed else ():
        try:
            read_model_file(record.text)
        except Exception as error:
            tx.add_quarantined([failed_file(record, error, now)])


def _wait(tx: Tx, loaded: Loaded) -> None:
    """When the models without a closed window will have one; and that some could not be loaded,
    which does not read as if nothing were wrong."""
    tx.put_progress(loaded.waiting)
    held = tx.progress(list(loaded.failed))
    tx.add_verdicts(
        [
            WindowVerdict(
                model, held[model].until if model in held else 0.0, NOT_LOADED, "",
                Outcome.ERROR, "WIN-101", f"the window cannot be judged: {why}", {},
            )
            for model, why in loaded.failed.items()
        ]
    )  # fmt: skip


def _rows(seen: _Seen) -> list[WindowVerdict]:
    window = seen.window
    rows = [
        WindowVerdict(
            window.model, window.start, monitor.name, judged.subject, judged.verdict.outcome,
            judged.verdict.code, judged.verdict.sentence, judged.detail,
        )
        for monitor, judged in seen.judged
        if judged.shown
    ]  # fmt: skip
    rows += [
        WindowVerdict(
            window.model, window.start, name, "", Outcome.ERROR, "WIN-102",
            f"the window could not be judged: {why}", {},
        )
        for name, why in seen.failed.items()
    ]  # fmt: skip
    rows += [
        WindowVerdict(
            window.model, window.start, name, "", Outcome.HOLD, "WIN-104",
            f"not looked at: {why}", {},
        )
        for name, why in seen.waiting.items()
    ]  # fmt: skip
    return rows

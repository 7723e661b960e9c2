"""Whose circuit opens when executions of a version fail: everybody's, or one tenant's.

A breaker is there for a version that is broken or hangs. An execution whose rows are all of one
tenant may fail because of these rows: then the version is well, and nobody else must lose it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from windvane.core.execution.breaker import (
    CLOSED,
    Breaker,
    BreakerPolicy,
    Circuit,
    note,
    opened,
    try_now,
)

EVERYBODY = ""
"""Whose fault an execution's failure is where it is not that of one tenant's rows."""


@dataclass(frozen=True, slots=True)
class Circuits:
    """A version's circuit, and those of single tenants that are not closed.

    ``recent``: of the last executions, oldest first, whose fault their failure was, None for a
    success; empty while the version's circuit is not closed. ``suspect``: the tenant whose probe
    failed since the version's circuit became half open.
    """

    version: Breaker = CLOSED
    tenants: Mapping[str, Breaker] = field(default_factory=dict[str, Breaker])
    recent: tuple[str | None, ...] = ()
    suspect: str = EVERYBODY

    def of(self, tenant: str) -> Breaker:
        """What holds for a tenant's rows."""
        if self.version.circuit is not Circuit.CLOSED:
            return self.version
        return self.tenants.get(tenant, CLOSED)

    @property
    def opened(self) -> frozenset[str]:
        """For whom a circuit is open now: tenants, or EVERYBODY."""
        held = {EVERYBODY: self.version, **self.tenants}
        return frozenset(name for name, one in held.items() if one.circuit is Circuit.OPEN)

    @property
    def all_closed(self) -> bool:
        return self.version.circuit is Circuit.CLOSED and not self.tenants


ALL_CLOSED = Circuits()


def adopt_policy(state: Circuits, now: float, policy: BreakerPolicy) -> Circuits:
    """The circuits from ``now`` on, under another policy than before: a circuit that is not closed
    is due for a probe at once, and its pauses begin with the new one; of the last executions
    only as many count as the new window has."""
    if state is ALL_CLOSED:
        return state
    return Circuits(
        _due(state.version, now, policy),
        {name: _due(one, now, policy) for name, one in state.tenants.items()},
        state.recent[-policy.window :],
    )


def _due(breaker: Breaker, now: float, policy: BreakerPolicy) -> Breaker:
    if breaker.circuit is Circuit.CLOSED:
        return breaker
    return Breaker(Circuit.OPEN, until=now, pause_s=policy.pause_s)


def may_try(
    state: Circuits, tenant: str, now: float, policy: BreakerPolicy
) -> tuple[bool, Circuits]:
    """Whether to execute the tenant's rows at ``now`` (seconds, any clock that only grows), and
    what follows."""
    own = state.tenants.get(tenant)
    if own is not None:
        let, own = try_now(own, now, policy)
        if not let:
            return False, state
    let, version = try_now(state.version, now, policy)
    if not let:
        return False, state
    if own is None:
        return True, state if version is state.version else replace(state, version=version)
    return True, replace(state, version=version, tenants={**state.tenants, tenant: own})


def note_execution(
    state: Circuits, failed: str | None, jobs: Sequence[tuple[str, bool]], now: float,
    policy: BreakerPolicy, jitter: float,
) -> Circuits:  # fmt: skip
    """The circuits after an execution that ended at ``now``.

    ``failed`` is None if any row has an answer, else the tenant whose rows all of them were, or
    EVERYBODY: where rows of several failed, or the version hung or its process ended, which hurts
    all. ``jobs``: the tenant of each request in the execution, and whether it has an answer.

    The version's circuit opens if ``policy.failures`` of the last ``policy.window`` executions
    failed, where of one tenant's at most half as many count; and at once, if the last
    ``policy.failures`` executions all failed and were not of one tenant alone. A tenant's own
    circuit opens if so many of those executions failed by its rows alone. Half open, a failed
    probe of one tenant closes the way for that tenant; another one's opens the circuit again.

    ``jitter`` in [0, 1) shortens a pause by up to half.
    """
    if state.version.circuit is not Circuit.CLOSED:
        return _note_probe(state, failed, jobs, now, policy, jitter)
    recent = (*state.recent, failed)[-policy.window :]
    if failed is not None and is_broken(recent, policy):
        return Circuits(opened(policy.pause_s, now, jitter))
    tenants: dict[str, Breaker] = {}
    for name, breaker in state.tenants.items():
        own = _note_own(breaker, name, jobs, now, policy, jitter)
        # Who has sent nothing for so long begins anew: nothing is kept for who may never come.
        if own.circuit is Circuit.CLOSED or now >= own.until + policy.longest_s:
            recent = tuple(None if one == name else one for one in recent)
        else:
            tenants[name] = own
    if failed and failed not in tenants and recent.count(failed) >= policy.failures:
        tenants[failed] = opened(policy.pause_s, now, jitter)
    if not tenants and not any(one is not None for one in recent):
        return ALL_CLOSED
    return Circuits(CLOSED, tenants, recent)


def is_broken(recent: Sequence[str | None], policy: BreakerPolicy) -> bool:
    """Whether the failures of the last executions are the version's; see `note_execution`."""
    failures = Counter(one for one in recent if one is not None)
    if failures.total() < policy.failures:
        return False
    if len(failures) == 1 and EVERYBODY not in failures:
        return False
    last = recent[-policy.failures :]
    if None not in last and (EVERYBODY in last or len(set(last)) > 1):
        return True
    shared = failures.pop(EVERYBODY, 0)
    most = max(1, policy.failures // 2)
    return shared + sum(min(count, most) for count in failures.values()) >= policy.failures


def _note_own(
    own: Breaker, tenant: str, jobs: Sequence[tuple[str, bool]], now: float,
    policy: BreakerPolicy, jitter: float,
) -> Breaker:  # fmt: skip
    """Each of the tenant's requests is a probe."""
    for name, answered in jobs:
        if name == tenant and own.circuit is Circuit.HALF_OPEN:
            own = note(own, not answered, now, policy, jitter)
    return own


def _note_probe(
    state: Circuits, failed: str | None, jobs: Sequence[tuple[str, bool]], now: float,
    policy: BreakerPolicy, jitter: float,
) -> Circuits:  # fmt: skip
    """While the version's circuit is open or half open."""
    version = state.version
    if version.circuit is Circuit.OPEN:
        return state  # an execution that had begun before it opened
    if failed and state.suspect in (EVERYBODY, failed):
        pause_s = min(2.0 * version.pause_s, policy.longest_s)
        left = max(0, version.under_way - len(jobs))
        return replace(
            state,
            version=replace(version, under_way=left),
            tenants={**state.tenants, failed: opened(pause_s, now, jitter)},
            suspect=failed,
        )
    for _ in jobs:  # probes that met in one execution report one by one
        if version.circuit is Circuit.HALF_OPEN:
            version = note(version, failed is not None, now, policy, jitter)
    if version.circuit is Circuit.OPEN:
        return Circuits(version)
    tenants = {
        name: own
        for name, breaker in state.tenants.items()
        if (own := _note_own(breaker, name, jobs, now, policy, jitter)).circuit
        is not Circuit.CLOSED
    }
    if version.circuit is Circuit.CLOSED:
        return Circuits(CLOSED, tenants) if tenants else ALL_CLOSED
    return replace(state, version=version, tenants=tenants)

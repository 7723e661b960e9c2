"""What Windvane is held to: the arithmetic from loads to measures, each group of rows by itself.

What was not measured, or not cleanly, is NaN, which never holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from results import Measure, mid_ratio, quieter, ratio

from .load import Load
from .many_rows import ECHO_GRPC, ECHO_HTTP, GRPC, MLSERVER_SPEAKS, OURS, PROTOCOLS, ROWS, ManyRows
from .measuring import Measured
from .more_models import (
    ALONE,
    BAD,
    BESIDE,
    BINARY,
    MULTICLASS,
    REGRESSION,
    BadTurn,
    TaskTurn,
)
from .old_commit import COMMIT, OLD
from .servers import Kind
from .windvane_server import ALL_IN, BARE, BATCH, CROWDED, ECHO, REGISTERED

Turn = Mapping[str, Load]
AT_PEERS_HALF, AT_2000 = "half of the peer's capacity", "2,000 a second"
_TIMES_MLSERVER, _SHARE_OF_ECHO = 10.0, 0.5


def by_turns(
    turns: Sequence[Turn], ours: str, other: str, figure: Callable[[Load], float]
) -> float:
    """The median over the quieter turns of the ratio of a figure, NaN if an answer of any was
    no 2xx."""
    pairs = [(turn[ours], turn[other]) for turn in turns if ours in turn and other in turn]
    if not pairs or not all(load.clean for pair in pairs for load in pair):
        return math.nan
    return mid_ratio((figure(one), figure(two)) for one, two in quieter(pairs))


def server_measures(found: Mapping[str, Measured]) -> list[Measure]:
    def of(value: Callable[[Measured], float]) -> float:
        measured = found.get(ALL_IN)
        return value(measured) if measured and measured.clean else math.nan

    def best(value: Callable[[Measured], float], pick: Callable[..., float]) -> float:
        values = [value(m) for m in found.values() if m.kind is Kind.PEER and m.clean]
        return pick((v for v in values if math.isfinite(v)), default=math.nan)

    return [
        Measure(
            "throughput with 64 connections, times the best peer's",
            ratio(of(capacity), best(capacity, max)),
            at_least=12.0,
        ),
        Measure(
            "p50 with 1 connection, share of the best peer's",
            ratio(of(p50_alone), best(p50_alone, min)),
            at_most=0.35,
        ),
        Measure(
            "memory of a gateway worker with one model, RSS in MiB",
            of(lambda m: m.worker_mib),
            at_most=150.0,
        ),
    ]


def turn_measures(turns: Sequence[Turn]) -> list[Measure]:
    return [
        Measure(
            "throughput with 64 connections, share of floor 2's",
            by_turns(turns, ALL_IN, BATCH, rps),
            at_least=0.75,
        ),
        Measure(
            "throughput with 64 connections, share of that without events, sketches, conformance",
            by_turns(turns, ALL_IN, BARE, rps),
            at_least=0.90,
        ),
    ]


def old_measures(turns: Sequence[Turn]) -> list[Measure]:
    return [
        Measure(
            f"throughput with 64 connections, times that of commit {COMMIT}",
            by_turns(turns, ALL_IN, OLD, rps),
            at_least=0.95,
        )
    ]


def tenant_measures(turns: Sequence[Turn]) -> list[Measure]:
    return [
        Measure(
            "p99 with 1,000 tenants and 200 models registered, times that with 1 and 1, same load",
            by_turns(turns, REGISTERED, ALL_IN, p99),
            at_most=1.3,
        ),
        Measure(
            "p99 with 50 of these tenants and 10 of these models asked, times the same, same rate",
            by_turns(turns, CROWDED, ALL_IN, p99),
            at_most=1.3,
        ),
    ]


def half_measures(turns: Sequence[Turn], peer: str) -> list[Measure]:
    return [
        Measure(
            "p99 at half of the own capacity, share of the best peer's",
            by_turns(turns, ALL_IN, peer, p99),
            at_most=0.30,
        )
    ]


def same_rate_measures(turns: Sequence[Mapping[str, Turn]], peer: str) -> list[Measure]:
    at = {rate: [turn[rate] for turn in turns if rate in turn] for rate in (AT_PEERS_HALF, AT_2000)}
    return [
        Measure(
            "p99 at the same rate, half of the best peer's capacity, share of its",
            by_turns(at[AT_PEERS_HALF], ALL_IN, peer, p99),
            at_most=0.30,
        ),
        Measure(
            "p99 at 2,000 requests a second, times floor 1's",
            by_turns(at[AT_2000], ALL_IN, ECHO, p99),
            at_most=3.0,
        ),
    ]


def many_rows_measures(turns: Sequence[ManyRows], mlservers: Sequence[str]) -> list[Measure]:
    return [
        Measure(
            f"{ROWS} rows a request, {protocol}: rows/s, times the lesser of {_TIMES_MLSERVER:g}x "
            f"MLServer's ({MLSERVER_SPEAKS[protocol]}) and half of an echo's",
            mid_ratio(
                (turn[protocol][OURS].rps, lesser_bound(turn, protocol, mlservers))
                for turn in turns
            ),
            at_least=1.0,
        )
        for protocol in PROTOCOLS
    ]


def lesser_bound(turn: ManyRows, protocol: str, mlservers: Sequence[str]) -> float:
    """Requests a second that Windvane has to answer in that turn; NaN if any request of those
    that count was not answered."""
    theirs = turn[MLSERVER_SPEAKS[protocol]]
    echo = turn[protocol][ECHO_GRPC if protocol == GRPC else ECHO_HTTP]
    peers = [theirs[name] for name in mlservers]
    if not all(load.clean for load in (turn[protocol][OURS], echo, *peers)):
        return math.nan
    best = max((load.rps for load in peers), default=math.nan)
    return min(_TIMES_MLSERVER * best, _SHARE_OF_ECHO * echo.rps)


def many_rows_ratios(
    turns: Sequence[ManyRows], mlservers: Sequence[str]
) -> list[dict[str, str | float | None]]:
    """The same against each of the two by itself, None where it was not measured; nothing where
    there was no turn."""
    if not turns:
        return []

    def middle(protocol: str, other: Callable[[ManyRows], float]) -> float | None:
        value = mid_ratio((turn[protocol][OURS].rps, other(turn)) for turn in turns)
        return value if math.isfinite(value) else None

    return [
        {
            "rows": protocol,
            "times_mlserver": middle(
                protocol,
                lambda t, p=protocol: max(t[MLSERVER_SPEAKS[p]][m].rps for m in mlservers),
            ),
            "share_of_echo": middle(
                protocol,
                lambda t, p=protocol: t[p][ECHO_GRPC if p == GRPC else ECHO_HTTP].rps,
            ),
            # Near 1 the generator was at its limit, and the echo could have given more.
            "echo_generator_busy": median(
                turn[protocol][ECHO_GRPC if protocol == GRPC else ECHO_HTTP].busy for turn in turns
            ),
        }
        for protocol in PROTOCOLS
    ]


def task_measures(turns: Sequence[TaskTurn]) -> list[Measure]:
    return [
        Measure(
            f"throughput with 64 connections, {said}, share of a binary model's, equal trees",
            by_turns(turns, task, BINARY, rps),
            at_least=0.8,
        )
        for task, said in ((MULTICLASS, "multiclass with 10 classes"), (REGRESSION, "regression"))
    ]


def bad_row_measures(turns: Sequence[BadTurn]) -> list[Measure]:
    refused = all(all_refused(turn[BAD]) for turn in turns)
    return [
        Measure(
            "p99 of 2,000 good rows a second beside bad ones, 30% of all, times that without them",
            by_turns(turns, BESIDE, ALONE, p99) if refused else math.nan,
            at_most=1.2,
        )
    ]


def all_refused(bad: Load) -> bool:
    """Every bad row had an answer, and each was a refusal that blames the client."""
    return bad.answered > 0 and not bad.broken and bad.refused == bad.not_2xx >= bad.answered


def peers_at_half(found: Mapping[str, Measured]) -> list[str]:
    """Those that failed nothing, the one with the shortest p99 at half of its own capacity
    first."""
    return [m.name for m in sorted(_peers(found), key=p99_fixed)]


def peers_by_capacity(found: Mapping[str, Measured]) -> list[str]:
    """Those that failed nothing, the fastest first."""
    return [m.name for m in sorted(_peers(found), key=capacity, reverse=True)]


def _peers(found: Mapping[str, Measured]) -> list[Measured]:
    return [m for m in found.values() if m.kind is Kind.PEER and m.clean and m.fixed]


def rps(load: Load) -> float:
    return load.rps


def p99(load: Load) -> float:
    return load.p99_ms


def capacity(m: Measured) -> float:
    return m.capacity


def p50_alone(m: Measured) -> float:
    return m.loads[1].p50_ms if 1 in m.loads else math.nan


def p99_fixed(m: Measured) -> float:
    return m.fixed.p99_ms if m.fixed else math.nan

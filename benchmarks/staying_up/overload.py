"""More than can be done: five times a slow model's capacity, five times the connections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from results import Measure, mid_ratio, quieter

from .answers import Answers, Seen, middle, see
from .gateway import Gateway
from .homes import DEADLINE_MS, FAST, QUIET, SLOW, SLOW_DEADLINE_MS
from .load import Flow
from .plan import WARM_S, Bench, Found, counted, seen_closed

PART = "overload"
TIMES = 5
BUSY = 64  # connections that keep a gateway busy
_CONNECTIONS = 1_500  # refusals are held back for a while, see neighbour.py
_ARRIVED = 0.95


def overload(bench: Bench, gateway: Gateway) -> tuple[Found, float]:
    """What was found, and the slow model's capacity in requests a second."""
    plan, loader = bench.plan, bench.loader
    requests = loader.requests("slow", [SLOW], bench.home.keys[QUIET])
    # What it can do is measured with time enough, so that nothing is refused.
    patient = loader.requests("patient", [SLOW], bench.home.keys[QUIET], "20s")
    loader.closed(gateway.port, patient, BUSY, 2.0)
    able: list[Seen] = []
    just: list[Seen] = []
    over: list[Seen] = []
    good: list[tuple[float, float]] = []
    late: list[float] = []
    wrong = 0
    for turn in range(plan.repeats):
        tries = [
            seen_closed(PART, f"slow model, c={c}", run)
            for c in (16, BUSY)
            for run in [loader.closed(gateway.port, patient, c, plan.closed_s)]
        ]
        able.append(replace(max(tries, key=lambda s: s.answered), case="slow model, its capacity"))
        gateway.settle()
        capacity = able[-1].answered

        def at(times: float, seen: list[Seen], capacity: float = capacity) -> tuple[Answers, float]:
            """What became of so many times the capacity, and predictions in time a second."""
            flow = Flow(requests, times * capacity, _CONNECTIONS)
            found = loader.streams(gateway.port, {"one": flow}, WARM_S + plan.overload_s)["one"]
            answers = counted(found, plan.overload_s)
            seen.append(see(PART, f"slow model, {times}x its capacity", answers, plan.overload_s))
            gateway.settle()
            came = answers.sent_s[-1] <= WARM_S + plan.overload_s + 0.1
            in_time = len(answers.within(SLOW_DEADLINE_MS)) / plan.overload_s
            return answers, in_time if came else math.nan

        _, once = at(1, just)
        answers, rate = at(TIMES, over)
        good.append((rate, once if not able[-1].refused else math.nan))
        late.append(answers.admitted.quantile_ms(0.99))
        wrong += wrong_refusals(answers)
        bench.say(
            f"{PART} {turn + 1}/{plan.repeats}: capacity {capacity:,.0f}/s; in time {once:,.0f}/s "
            f"of that, {rate:,.0f}/s of {len(answers) / plan.overload_s:,.0f}/s, "
            f"p99 of admitted {late[-1]:.0f} ms"
        )
    lines = [middle(able), middle(just), middle(over)]
    measures = [
        Measure(
            "goodput at 5x the capacity, share of that at the capacity",
            mid_ratio(good),
            at_least=0.9,
        ),
        Measure(
            "p99 of what was admitted then, share of the deadline",
            mid_ratio((p99, SLOW_DEADLINE_MS) for p99 in late),
            at_most=1.0,
        ),
        Measure(
            "refusals then that are not 503 with Retry-After, and failures",
            float(wrong),
            at_most=0.0,
        ),
    ]
    return Found(measures, lines), lines[0].answered


def wrong_refusals(answers: Answers) -> int:
    """Whatever is neither a prediction, nor a 503 with Retry-After, nor given up in time."""
    refused = answers.refused
    said = (refused.status == 503) & refused.retry_after
    return len(answers.failed) + len(refused) - int(said.sum())


def connections(bench: Bench, gateway: Gateway) -> Found:
    """The fast model with 64 connections, each with one request under way, and with 320."""
    plan, loader = bench.plan, bench.loader
    requests = loader.requests("quiet", [FAST], bench.home.keys[QUIET])
    loader.closed(gateway.port, requests, BUSY, 2.0)
    few: list[Seen] = []
    many: list[Seen] = []
    for turn in range(plan.repeats):
        for c, runs in ((BUSY, few), (TIMES * BUSY, many)):
            run = loader.closed(gateway.port, requests, c, plan.closed_s)
            runs.append(seen_closed(PART, f"fast model, c={c}", run))
            gateway.settle()
        bench.say(
            f"connections {turn + 1}/{plan.repeats}: {few[-1].answered:,.0f}/s at c={BUSY}, "
            f"{many[-1].answered:,.0f}/s at c={TIMES * BUSY}"
        )
    return Found(connection_measures(few, many), [middle(few), middle(many)])


def connection_measures(few: Sequence[Seen], many: Sequence[Seen]) -> list[Measure]:
    """One entry a turn in each."""
    clean = not any(s.failed or s.refused for s in [*few, *many])
    kept = mid_ratio((m.answered, f.answered) for m, f in quieter(zip(many, few, strict=True)))
    return [
        Measure(
            "throughput with 5x the connections, share of that with 64",
            kept if clean else math.nan,
            at_least=0.9,
        ),
        Measure(
            "p99 with 5x the connections, share of the deadline",
            middle(many).p99_ms / DEADLINE_MS if clean else math.nan,
            at_most=1.0,
        ),
    ]

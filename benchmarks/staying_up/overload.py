"""More than can be done: five times a slow model's capacity, five times the connections."""

from __future__ import annotations

import math
from dataclasses import replace

from results import Measure

from .answers import Answers, Seen, middle, ratio, see
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
    over: list[Seen] = []
    good: list[float] = []
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
        flow = Flow(requests, TIMES * capacity, _CONNECTIONS)
        found = loader.streams(gateway.port, {"over": flow}, WARM_S + plan.overload_s)["over"]
        answers = counted(found, plan.overload_s)
        over.append(see(PART, f"slow model, {TIMES}x its capacity", answers, plan.overload_s))
        came = answers.sent_s[-1] <= WARM_S + plan.overload_s + 0.1
        rate = len(answers.within(SLOW_DEADLINE_MS)) / plan.overload_s
        good.append(ratio(rate, capacity) if came and not able[-1].refused else math.nan)
        late.append(answers.admitted.quantile_ms(0.99) / SLOW_DEADLINE_MS)
        wrong += wrong_refusals(answers)
        gateway.settle()
        bench.say(
            f"{PART} {turn + 1}/{plan.repeats}: capacity {capacity:,.0f}/s, goodput "
            f"{rate:,.0f}/s of {len(answers) / plan.overload_s:,.0f}/s, "
            f"p99 of admitted {answers.admitted.quantile_ms(0.99):.0f} ms"
        )
    lines = [middle(able), middle(over)]
    measures = [
        Measure("goodput at 5x the capacity, share of the capacity", mid(good), at_least=0.9),
        Measure("p99 of what was admitted then, share of the deadline", mid(late), at_most=1.0),
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
    lines = [middle(few), middle(many)]
    return Found(connection_measures(*lines), lines)


def connection_measures(few: Seen, many: Seen) -> list[Measure]:
    clean = not (few.failed or few.refused or many.failed or many.refused)
    return [
        Measure(
            "throughput with 5x the connections, share of that with 64",
            ratio(many.answered, few.answered) if clean else math.nan,
            at_least=0.9,
        ),
        Measure(
            "p99 with 5x the connections, share of the deadline",
            many.p99_ms / DEADLINE_MS if clean else math.nan,
            at_most=1.0,
        ),
    ]


def mid(values: list[float]) -> float:
    """The median; NaN, which holds no bound, if any is."""
    ordered = sorted(values)
    return math.nan if any(map(math.isnan, values)) else ordered[len(ordered) // 2]

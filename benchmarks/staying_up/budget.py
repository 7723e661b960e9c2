"""Thirty models in the memory of five: a version is loaded when it is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from results import Measure, mid_ratio, quieter, ratio

from .answers import Seen, middle, see
from .gateway import Gateway, up
from .homes import FAST, QUIET, add_models
from .load import Flow
from .plan import WARM_S, Bench, Found, counted

PART = "memory budget"
MODELS = 30
ROOM = 5
_SLACK = 0.5  # of a model: the budget has room for five and no sixth
_OFTEN = 3  # models that are asked all the time; the others are asked in turn
_PLENTY, _LITTLE = "all in memory", f"room for {ROOM}"
_OFTEN_RATE, _SELDOM_RATE = 200.0, 10.0  # requests a second


@dataclass(frozen=True, slots=True)
class Case:
    """One installation: how its models answered, in each turn, and its metrics at the end."""

    first: Seen
    often: Sequence[Seen]
    seldom: Sequence[Seen]
    metrics: Mapping[str, float]

    @property
    def loaded(self) -> float:
        return self.metrics["windvane_models_loaded"]

    @property
    def bytes(self) -> float:
        return self.metrics["windvane_model_bytes"]

    @property
    def unanswered(self) -> int:
        seen = (self.first, *self.often, *self.seldom)
        return sum(s.failed + s.late + s.refused for s in seen)

    def count(self, name: str) -> float:
        """A counter that is not there has not counted yet."""
        return self.metrics.get(f"windvane_{name}_total", 0.0)


def budget(bench: Bench) -> Found:
    names: list[str] = []

    def more(home: Path) -> None:
        names[:] = add_models(home, FAST, MODELS)

    with ExitStack() as stack:
        plenty = stack.enter_context(up(bench.home.folder, bench.scratch("roomy"), more))
        first = [_each(bench, plenty, names, _PLENTY)]
        held = plenty.metrics()
        bound = int((ROOM + _SLACK) * held["windvane_model_bytes"] / held["windvane_models_loaded"])
        little = stack.enter_context(
            up(bench.home.folder, bench.scratch("tight"), more, model_memory_bytes=bound)
        )
        first.append(_each(bench, little, names, _LITTLE))
        plenty.freeze()
        little.freeze()
        seen: list[list[tuple[Seen, Seen]]] = [[], []]
        for turn in range(bench.plan.repeats):
            for gateway, case, found in zip(
                (plenty, little), (_PLENTY, _LITTLE), seen, strict=True
            ):
                with gateway.awake():
                    found.append(_turn(bench, gateway, names, case))
            bench.say(
                f"{PART} {turn + 1}/{bench.plan.repeats}: p99 of the asked ones "
                f"{seen[0][-1][0].p99_ms:.2f} ms with all in memory, "
                f"{seen[1][-1][0].p99_ms:.2f} ms with room for {ROOM}"
            )
        roomy, tight = (
            _case(gateway, one, turns)
            for one, turns, gateway in zip(first, seen, (plenty, little), strict=True)
        )
    bench.say(
        f"{PART}: {tight.loaded:.0f} of {MODELS} models loaded at the end, "
        f"{tight.count('loads'):.0f} loads, {tight.count('unloads'):.0f} unloads"
    )
    lines = [s for c in (roomy, tight) for s in (c.first, middle(c.often), middle(c.seldom))]
    others = [*plenty.others, *little.others]
    return Found(budget_measures(roomy, tight, bound), lines, others)


def _case(gateway: Gateway, first: Seen, turns: Sequence[tuple[Seen, Seen]]) -> Case:
    with gateway.awake():
        return Case(first, [o for o, _ in turns], [s for _, s in turns], gateway.metrics())


def _each(bench: Bench, gateway: Gateway, names: Sequence[str], case: str) -> Seen:
    """All models in turn."""
    requests = bench.loader.requests("every", names, bench.home.keys[QUIET])
    every = Flow(requests, _SELDOM_RATE, mark='"value"')
    seconds = MODELS / _SELDOM_RATE
    answers = bench.loader.streams(gateway.port, {"every": every}, seconds)["every"]
    gateway.settle()
    return see(PART, f"{case}: each of {MODELS} in turn", answers, seconds)


def _turn(bench: Bench, gateway: Gateway, names: Sequence[str], case: str) -> tuple[Seen, Seen]:
    """Some models asked often, the others meanwhile."""
    loader, key, plan = bench.loader, bench.home.keys[QUIET], bench.plan
    flows = {
        "often": Flow(loader.requests("often", names[:_OFTEN], key), _OFTEN_RATE),
        "seldom": Flow(loader.requests("seldom", names[_OFTEN:], key), _SELDOM_RATE),
    }
    found = loader.streams(gateway.port, flows, WARM_S + plan.budget_s)
    stolen = gateway.settle()
    often, seldom = (counted(found[name], plan.budget_s) for name in flows)
    return (
        see(PART, f"{case}: {_OFTEN} asked often", often, plan.budget_s, stolen),
        see(PART, f"{case}: the others meanwhile", seldom, plan.budget_s),
    )


def budget_measures(roomy: Case, tight: Case, bound: int) -> list[Measure]:
    """``bound`` is the budget in bytes."""
    # Without loads and unloads there was no budget to speak of.
    worked = roomy.loaded >= MODELS and tight.count("unloads") > 0
    missing = float("nan")
    pairs = quieter(zip(tight.often, roomy.often, strict=True))
    slower = mid_ratio((t.p99_ms, r.p99_ms) for t, r in pairs)
    return [
        Measure(
            f"requests without a prediction, {MODELS} models in room for {ROOM}",
            float(tight.unanswered) if worked else missing,
            at_most=0.0,
        ),
        Measure(
            "bytes that the models held at the end, share of the budget",
            ratio(tight.bytes, bound) if worked else missing,
            at_most=1.0,
        ),
        Measure(
            "loads less unloads less models in memory",
            abs(tight.count("loads") - tight.count("unloads") - tight.loaded)
            if worked
            else missing,
            at_most=0.0,
        ),
        Measure(
            f"p99 of {_OFTEN} models asked often while others are loaded, times all in memory",
            slower if worked else missing,
            at_most=3.0,
        ),
    ]

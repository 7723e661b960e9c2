"""Objectives that nobody could judge are refused, with the field and what to write instead."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from windvane.core.alerting import CauseGroup
from windvane.usecases.monitors import cause_kinds
from windvane.usecases.monitors.slo import Slo
from windvane.usecases.read_model_file import (
    BadModelFile,
    ModelFile,
    json_schema,
    read_model_file,
)
from windvane.usecases.slo_policy import objectives_of, over_seconds, rings_of, slo_policy


def file_of(slo: Any) -> ModelFile:
    features = {"v": {"x": {"type": "number"}}, "w": {"at": {"type": "datetime"}}}
    watch = {"fresh": {"w": {"time": "at", "within": "2h"}}}
    return read_model_file(
        json.dumps({"model": "m", "features": features, "watch": watch, "slo": slo})
    )


@pytest.mark.parametrize(
    ("slo", "says"),
    [
        ({}, "slo: it has no objective"),
        ({"over": "30d"}, "slo: it has no objective"),
        ({"availabilty": "99.9%"}, "did you mean 'availability'?"),
        ({"freshness": "1h"}, "slo.freshness"),
        (
            {"freshness": {"v": "99%"}},
            "how old rows of 'v' may be is not declared; `watch.f",
        ),
        ({"freshness": {"w": "often"}}, "slo.freshness.w: 'often' is not a share"),
        ({"freshness": {"w": "100%"}}, "slo.freshness.w must be from 50% to 99.9999%"),
        ({"quality": {"auc": 0.62}}, "slo.quality"),
        ({"quality": "good"}, "slo.quality: 'good' is not a share"),
        ({"quality": "40%"}, "slo.quality must be from 50% to 99.99%; for example 90%"),
        ({"quality": "95%", "max_loss": -1.0}, "slo.max_loss must be from 0 to"),
        ({"availability": "99%", "max_loss": 1.0}, "slo.max_loss: it is of slo.quality"),
        ({"availability": "100%"}, "from 50% to 99.9999%; for example 99.9%"),
        ({"availability": "10%"}, "from 50% to 99.9999%"),
        ({"availability": "99.9"}, "slo.availability: '99.9' is not a share"),
        ({"availability": "often"}, "slo.availability: 'often' is not a share"),
        ({"latency": {"p100": "50ms"}}, "'p100' is not a quantile from p50 to p99.9"),
        ({"latency": {"p9": "50ms"}}, "did you mean 'p99"),
        ({"latency": {"p49.9": "50ms"}}, "is not a quantile"),
        ({"latency": {"p99.99": "50ms"}}, "is not a quantile"),
        ({"latency": {"99": "50ms"}}, "is not a quantile"),
        ({"latency": {"p99": "50"}}, "slo.latency.p99: '50' is not a duration"),
        ({"latency": {"p99": "60ms"}}, "60ms is no edge of one; take 50ms or 75ms"),
        ({"latency": {"p99": "0.1001ms"}}, "is no edge of one; take 0.1ms or 0.2ms"),
        ({"latency": {"p99": "10s"}}, "is no edge of one; take 5s"),
        ({"latency": {"p99": "0s"}}, "is no edge of one; take 0.1ms"),
        ({"latency": dict.fromkeys(("p50", "p75", "p90", "p95", "p99"), "50ms")}, "4 allowed"),
        ({"availability": "99%", "over": "1h"}, "slo.over must be from 1d to 90d"),
        ({"availability": "99%", "over": "1y"}, "slo.over: '1y' is not a duration"),
    ],
)
def test_what_cannot_be_judged_is_refused(slo: Any, says: str) -> None:
    with pytest.raises(BadModelFile, match="MOD-101") as raised:
        file_of(slo)
    assert says in f"{raised.value.message}; {raised.value.advice}"


def test_an_answer_that_is_a_number_is_right_within_a_loss() -> None:
    """Of a regression nobody can say it without one."""

    def numbers(slo: Any) -> ModelFile:
        features = {"v": {"x": {"type": "number"}}}
        given = {"model": "m", "predicts": {"kind": "regression"}, "features": features, "slo": slo}
        return read_model_file(json.dumps(given))

    with pytest.raises(BadModelFile, match="neither right nor wrong by itself") as raised:
        numbers({"quality": "90%"})
    assert "slo.max_loss" in raised.value.advice
    (found,) = objectives_of(numbers({"quality": "90%", "max_loss": 10.0}))
    assert (found.title, found.allowed) == ("quality within a loss of 10", 0.1)


def test_what_a_file_promises() -> None:
    slo = {"availability": "0.9995", "latency": {"p99": "50ms", "p99.9": "1s", "p50": "0.75ms"}}
    file = file_of({**slo, "over": "7d"})
    assert [(o.name, o.allowed, o.limit_us) for o in objectives_of(file)] == [
        ("availability", 0.0005, 0),
        ("latency p99", 0.01, 50_000),
        ("latency p99.9", 0.001, 1_000_000),
        ("latency p50", 0.5, 750),
    ]
    assert over_seconds(file) == 7 * 86_400.0
    assert over_seconds(file_of({"availability": "99%"})) == 30 * 86_400.0
    assert Slo().streams(file, 100) == 12, "every rule of every objective may raise an alarm"


def test_editors_know_the_keys() -> None:
    schema = json_schema()
    kept = msgspec.json.decode(msgspec.json.encode(schema))["$defs"]["Slo"]
    assert set(kept["properties"]) == {
        "availability", "latency", "freshness", "quality", "max_loss", "over",
    }  # fmt: skip
    assert kept["additionalProperties"] is False


def test_pages_and_tickets_are_objectives() -> None:
    kinds = cause_kinds()
    assert {kinds[name].responds_to for name in ("slo", "slo_ticket")} == {CauseGroup.SLO}
    assert not kinds["slo"].moves, "a rollback mends no promise"


@pytest.mark.parametrize("window_s", [10.0, 60.0, 3_600.0, 21_600.0])
@pytest.mark.parametrize("over_s", [86_400.0, 30 * 86_400.0, 90 * 86_400.0])
def test_what_is_carried_is_bounded_whatever_the_window(window_s: float, over_s: float) -> None:
    (objective,) = objectives_of(file_of({"availability": "99.9%"}))
    rings = rings_of(slo_policy(objective, over_s, 1e6), window_s)
    assert len(rings) == 7
    assert sum(ring.most for ring in rings) <= 6 * 24 + 121

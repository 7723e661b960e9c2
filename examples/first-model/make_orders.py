"""Write orders.csv: three thousand made-up orders of a shop, the same on every machine.

Whether an order came late follows from its distance, its items, the hour and the rain, with
noise. Run it again only to change the example: the file is kept in the repository.
"""

from __future__ import annotations

import csv
import datetime as dt
import math
import random
from pathlib import Path

ROWS = 3_000
FIRST = dt.datetime(2026, 3, 2, 8, 0, tzinfo=dt.UTC)
DAYS = 15
COLUMNS = ("ordered_at", "distance_km", "items", "hour", "rain_mm", "late")


def main() -> None:
    dice = random.Random(20260302)
    moments = sorted(
        FIRST + dt.timedelta(days=dice.randrange(DAYS), seconds=dice.randrange(13 * 3600))
        for _ in range(ROWS)
    )
    wet = {day: dice.random() < 0.35 for day in range(DAYS)}
    with (Path(__file__).parent / "orders.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for moment in moments:
            distance = round(min(dice.expovariate(1 / 3.5) + 0.3, 25.0), 1)
            items = min(1 + int(dice.expovariate(1 / 3.0)), 30)
            rain = round(dice.expovariate(1 / 2.0), 1) if wet[(moment - FIRST).days] else 0.0
            busy = 1.0 if moment.hour in (12, 13, 18, 19) else 0.0
            score = -3.2 + 0.35 * distance + 0.12 * items + 1.1 * busy + 0.3 * rain
            late = int(dice.random() < 1 / (1 + math.exp(-score)))
            known = "" if dice.random() < 0.03 else f"{rain:.1f}"
            writer.writerow(
                (f"{moment:%Y-%m-%d %H:%M:%S}", distance, items, moment.hour, known, late)
            )


if __name__ == "__main__":
    main()

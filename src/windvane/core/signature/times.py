"""Points in time as texts."""

from __future__ import annotations

import re

_PATTERN = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
    r"\s*(Z|z|UTC|[+-]\d\d:?\d\d)?",
    re.ASCII,
)
_LONGEST = 64
FIRST_TIME, LAST_TIME = -62_135_596_800.0, 253_402_300_800.0
"""The years that can be written, from 1 to 9999, in seconds since the epoch."""
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse_time(text: str) -> float:
    """Seconds since the epoch of ``2026-11-28T17:45:00.5+01:00``.

    Raises ValueError, also where the zone is missing: a time without one is a guess.
    Source: RFC 3339; days from civil by Howard Hinnant.
    """
    word = text.strip()
    found = _PATTERN.fullmatch(word) if len(word) <= _LONGEST else None
    if not found:
        raise ValueError(f"{text[:40]!r} is no time such as 2026-11-28T17:45:00+01:00")
    year, month, day, hour, minute = (int(found[i]) for i in range(1, 6))
    second, fraction, zone = int(found[6] or 0), found[7] or "", found[8]
    if zone is None:
        raise ValueError(f"{text[:40]!r} has no zone: end it with Z or with +01:00")
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    longest = _DAYS[month - 1] + (leap and month == 2) if 1 <= month <= 12 else 0
    if not (1 <= day <= longest and hour < 24 and minute < 60 and second <= 60):
        raise ValueError(f"{text[:40]!r} is no time that there is")
    minutes = 0
    if zone not in ("Z", "z", "UTC"):
        digits = zone[1:].replace(":", "")
        minutes = int(digits[:2]) * 60 + int(digits[2:])
        if minutes > 18 * 60:
            raise ValueError(f"{text[:40]!r} has no zone that there is")
        minutes = -minutes if zone[0] == "-" else minutes
    whole = _days(year, month, day) * 86_400 + hour * 3_600 + (minute - minutes) * 60 + second
    return whole + (float(f"0.{fraction}") if fraction else 0.0)


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01."""
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468

"""A span of time as a person says it."""

from __future__ import annotations

_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "m"), (1.0, "s"))


def span_in_words(seconds: float) -> str:
    """To two units: ``3d``, ``14m``, ``1h 24m``; below a second two digits of it."""
    for i, (unit, word) in enumerate(_UNITS):
        if seconds >= unit:
            whole, rest = divmod(seconds, unit)
            if i + 1 < len(_UNITS) and (few := round(rest / _UNITS[i + 1][0])):
                return f"{whole:.0f}{word} {few}{_UNITS[i + 1][1]}"
            return f"{whole:.0f}{word}"
    return f"{seconds:.2g}s"

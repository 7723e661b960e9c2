"""How a process starts that imports a version's own packages and not ours."""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path

# What our own code in the sandbox imports. A version's own packages come first, but for the code
# itself.
LENT = ("windvane", "msgspec", "numpy")
_START = Path("apps", "sandbox", "isolated.py")


def start_with(packages: Path) -> list[str]:
    """Arguments of Python: no ``site``, so that none of our packages are on its path."""
    lent = _lent()
    return [
        "-S",
        str(Path(lent["windvane"]) / "windvane" / _START),
        str(packages),
        json.dumps(lent),
    ]


@cache
def _lent() -> dict[str, str]:
    """The folder that holds each package that is lent."""
    found: dict[str, str] = {}
    for name in LENT:
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            found[name] = str(Path(spec.origin).parents[1])
    return found

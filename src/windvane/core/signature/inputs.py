"""How rows of a contract become a version's own inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input of a version: the contract's ``feature``, and what the version calls it
    (``name``, "" for the same).

    A category becomes its place in ``vocabulary``; another value becomes missing, or
    refuses the row where ``unknown`` is "error". ``missing`` is a number that stands for none.
    """

    feature: str
    vocabulary: tuple[str, ...] | None = None
    unknown: str = "null"
    name: str = ""
    missing: float | None = None

    @property
    def own_name(self) -> str:
        return self.name or self.feature


class RowEncoder:
    """Rows in the contract's order to a version's inputs.

    ``columns`` says from which place of a row each input comes. Numbers pass as they are,
    None too: numpy reads it as NaN when the batch becomes a matrix, far cheaper than a test
    of each value here. ``plain`` is true where nothing but the order is to be done.
    """

    def __init__(
        self,
        inputs: Sequence[InputSpec],
        schema: Sequence[str],
        refuse: Callable[[str, Any, int], Exception],
    ) -> None:
        places: Mapping[str, int] = {name: i for i, name in enumerate(schema)}
        self.columns = [places[spec.feature] for spec in inputs]
        self._refuse = refuse
        self._coded = [
            (at, spec, {name: float(i) for i, name in enumerate(spec.vocabulary)})
            for at, spec in enumerate(inputs)
            if spec.vocabulary is not None
        ]
        self._sentinels = [(at, s.missing) for at, s in enumerate(inputs) if s.missing is not None]
        whole = list(range(len(schema)))
        self.plain = not self._coded and not self._sentinels and self.columns == whole

    def __call__(self, values: Sequence[Any]) -> Sequence[Any]:
        if self.plain:
            return values
        row = [values[place] for place in self.columns]
        for at, spec, codes in self._coded:
            value = row[at]
            if value is None:
                row[at] = _NAN
                continue
            code = codes.get(value)
            if code is None:
                if spec.unknown == "error":
                    raise self._refuse(spec.feature, value, len(codes))
                code = _NAN
            row[at] = code
        for at, missing in self._sentinels:
            if row[at] == missing:
                row[at] = _NAN
        return row

"""How a request's row becomes a version's inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One column of a version's input matrix.

    A category becomes its place in ``vocabulary``; another value becomes missing, or
    refuses the row where ``unknown`` is "error".
    """

    feature: str
    vocabulary: tuple[str, ...] | None = None
    unknown: str = "null"


class RowEncoder:
    """Rows in the model's schema order to a version's inputs.

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
        whole = list(range(len(schema)))
        self.plain = not self._coded and self.columns == whole

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
        return row

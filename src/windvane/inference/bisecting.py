"""Which rows of a failed batch are at fault, with few executions."""

from __future__ import annotations

from windvane.inference.model_queue import RowOutputs

_MOST_EXECUTIONS = 64


class Bisection:
    """Halves of a batch that failed as a whole, until the rows at fault are by themselves.

    One bad row of a thousand takes about twenty executions. Where many rows are bad it would
    take more than one each: after ``most`` the rest shares the fate of its piece.
    """

    def __init__(self, rows: int, failure: Exception, most: int = _MOST_EXECUTIONS) -> None:
        self.outputs: RowOutputs = [failure] * rows
        middle = rows // 2
        self._pieces: list[tuple[int, int]] = [(middle, rows), (0, middle)] if rows > 1 else []
        self._left = most

    def next(self) -> tuple[int, int] | None:
        """The rows [low, high) to execute next; None when all is known."""
        if not self._pieces or self._left <= 0:
            return None
        self._left -= 1
        return self._pieces.pop()

    def note(self, piece: tuple[int, int], found: RowOutputs | Exception) -> None:
        """What came of executing ``piece``."""
        low, high = piece
        if not isinstance(found, Exception):
            self.outputs[low:high] = found
            return
        self.outputs[low:high] = [found] * (high - low)
        if high - low > 1:
            middle = (low + high) // 2
            self._pieces += [(middle, high), (low, middle)]

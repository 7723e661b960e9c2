"""What a model's inputs are called and what values they may have."""

from __future__ import annotations

import enum
from dataclasses import dataclass

# Beyond it a float, which is what versions compute on, no longer holds every whole number.
MAX_INTEGER = 2**53

MAX_MAGNITUDE = 1e100
"""The largest number that an output, an outcome or an item of a vector may be: those are squared
and summed, and far below the largest float the sum would be no number any more."""


class FeatureType(enum.StrEnum):
    """``datetime`` is a point in time with a zone, in seconds since the epoch once it is read;
    ``vector`` a list of ``length`` finite numbers; ``image`` the bytes of an encoded picture."""

    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    CATEGORY = "category"
    DATETIME = "datetime"
    TEXT = "text"
    VECTOR = "vector"
    IMAGE = "image"


class _KnownSet:
    """Room for the set of a category's names, and for them in their order. They are no fields: a
    contract's id does not hold them twice."""

    __slots__ = ("_set", "_sorted")


@dataclass(frozen=True, slots=True)
class FeatureSpec(_KnownSet):
    """One named input of a contract.

    ``view`` is the source that it comes from. ``low``/``high`` bound a number, both included;
    of a text or an image ``high`` bounds the characters or bytes. ``known`` closes a category:
    another value is refused; without it an unseen value is answered and counted. ``length`` is
    a vector's. ``optional``: a client need not send it, for it was added after the contract's
    first version; a row without it goes to a version that does not need it.
    """

    name: str
    view: str
    type: FeatureType
    nullable: bool = False
    low: float | None = None
    high: float | None = None
    known: tuple[str, ...] = ()
    length: int = 0
    optional: bool = False

    @property
    def known_set(self) -> frozenset[str]:
        """``known``, to be asked for each row."""
        try:
            return self._set
        except AttributeError:
            found = frozenset(self.known)
            object.__setattr__(self, "_set", found)
            return found

    @property
    def known_sorted(self) -> tuple[str, ...]:
        """``known`` in their order, to be looked at for each unknown name."""
        try:
            return self._sorted
        except AttributeError:
            found = tuple(sorted(self.known))
            object.__setattr__(self, "_sorted", found)
            return found


@dataclass(frozen=True, slots=True)
class Violation:
    """One way in which a row breaks the contract: a stable code, the field, and both sides."""

    code: str
    field: str
    message: str

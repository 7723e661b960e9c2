"""JSON bodies that are of one type for every model."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from windvane.inference.errors import BadBody
from windvane.inference.type_errors import BODY, find_type_error

T = TypeVar("T")


class TypedBody(Generic[T]):
    """Decodes bodies of ``kind``; ``hint`` shows how such a body is written."""

    def __init__(self, kind: type[T], hint: str) -> None:
        self._kind = kind
        self._hint = hint
        self._decoder = msgspec.json.Decoder(kind)

    def decode(self, body: bytes | memoryview) -> T:
        """Raises BadBody, which names the first place that is wrong, in JSON's own words."""
        try:
            return self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise self._explain(body, str(error)) from error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._not_json(error) from error

    def _explain(self, body: bytes | memoryview, refusal: str) -> BadBody:
        try:
            given = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return self._not_json(error)
        fault = find_type_error(given, self._kind, wording=BODY, refusal=refusal)
        if fault is None:
            # Of a field that is given twice only the last one is left by now.
            return BadBody("a field is given twice, and not rightly each time", hint=self._hint)
        return BadBody(str(fault), hint=fault.hint or self._hint)

    def _not_json(self, error: Exception) -> BadBody:
        return BadBody(f"the body is not JSON: {str(error)[:200]}", hint=self._hint)

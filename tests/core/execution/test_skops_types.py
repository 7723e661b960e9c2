"""Only files whose every type is on our list are data."""

from __future__ import annotations

from typing import Any

import pytest

from windvane.core.execution import types_beyond


def node(name: str, loader: str = "ObjectNode", **more: Any) -> dict[str, Any]:
    module, _, kind = name.rpartition(".")
    return {"__module__": module, "__class__": kind, "__loader__": loader, **more}


def test_known_types_are_data_however_deep() -> None:
    inner = node("numpy.ndarray", "NdArrayNode", type="numpy", file="1.npy")
    tree = node("sklearn.pipeline.Pipeline", content={"steps": [["a", inner], None, 3]})
    assert types_beyond(tree) == []


@pytest.mark.parametrize(
    "bad",
    [
        node("os.system", "FunctionNode"),
        node("builtins.eval", "TypeNode"),
        node("sklearn.linear_model._logistic.LogisticRegression", "MethodNode"),
        node("functools.partial", "PartialNode"),
        node("sklearn.linear_model.Evil"),
        node("numpy.ndarray", "ConstructorFromReduceNode"),
        {"__class__": "x"},
        {"__loader__": "NodeOfTheFuture", "__class__": "dict", "__module__": "builtins"},
    ],
)
def test_anything_else_is_named(bad: dict[str, Any]) -> None:
    hidden = node("builtins.dict", "DictNode", content={"k": [1, {"deep": bad}]})
    found = types_beyond(hidden)
    assert len(found) == 1
    assert str(bad.get("__class__")) in found[0]

"""What an XGBoost file says of the model in it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from windvane.adapters.xgboost.library import Booster
from windvane.core.signature import Transform
from windvane.ports.runtime import CannotLoad, RuntimeFailed
from windvane.ports.source import DataFile

_CATEGORY = "c"


def read_xgboost(path: Path) -> DataFile:
    """A booster's file with what it holds of itself: names and types, the best iteration where it
    stopped early, how many outputs a row has, the categories of its inputs and its splits.

    Raises CannotLoad.
    """
    body = path.read_bytes()
    booster = Booster(body)
    try:
        names, types = tuple(booster.names), booster.types
        best = booster.attribute("best_iteration")
        document = booster.document
        found = booster.predict(np.zeros((2, booster.width)))
    except RuntimeFailed as error:
        raise CannotLoad(f"{path.name} cannot be served: {error.message}") from error
    finally:
        booster.close()
    learner = document["learner"]
    objective = str(learner["objective"]["name"])
    if objective == "multi:softmax":
        raise CannotLoad(
            "it gives the label (multi:softmax), not probabilities",
            hint="train it with objective='multi:softprob', or set it before it is saved",
        )
    model = _trees(learner["gradient_booster"])
    transform = Transform.SIGMOID if objective == "binary:logitraw" else Transform.NONE
    kinds = {i: "category" if one == _CATEGORY else "number" for i, one in enumerate(types)}
    version = ".".join(str(part) for part in document.get("version", ()))
    return DataFile(
        body,
        names,
        vocabularies=_categories(model.get("cats", {}), kinds),
        outputs=1 if found.ndim == 1 else found.shape[1],
        rounds=int(best) + 1 if best.isdigit() else 0,
        transform=transform,
        types=kinds,
        splits=_splits(model),
        packages={"xgboost": version} if version else {},
    )


def _trees(booster: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tree model of a booster; dart keeps one inside."""
    inner: Mapping[str, Any] = booster.get("gbtree", booster)
    return inner.get("model", {})


def _categories(cats: Mapping[str, Any], kinds: Mapping[int, str]) -> dict[int, tuple[str, ...]]:
    """By the input's place, what each code stands for. Files have it from XGBoost 3.1 on: texts
    as bytes with offsets, or numbers."""
    found: dict[int, tuple[str, ...]] = {}
    for place, held in enumerate(cats.get("enc", ())):
        if kinds.get(place, "category") != "category" or not held.get("values"):
            continue
        values = held["values"]
        if "offsets" in held:
            whole = bytes(value & 0xFF for value in values)
            ends = held["offsets"]
            texts = [whole[a:b].decode() for a, b in pairwise(ends)]
        else:
            texts = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
        found[place] = tuple(texts)
    return found


def _splits(model: Mapping[str, Any]) -> tuple[tuple[int, float], ...]:
    found: set[tuple[int, float]] = set()
    for tree in model.get("trees", ()):
        kinds = tree.get("split_type") or [0] * len(tree["left_children"])
        for left, kind, place, value in zip(
            tree["left_children"], kinds, tree["split_indices"], tree["split_conditions"],
            strict=True,
        ):  # fmt: skip
            if left != -1 and kind == 0:
                found.add((int(place), float(value)))
    return tuple(sorted(found))

"""Boosted trees in CatBoost's binary files, by its Python package; in the sandbox only."""

from windvane.adapters.catboost.plugin import load_model

__all__ = ["load_model"]

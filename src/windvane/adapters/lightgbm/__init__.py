"""Boosted trees in LightGBM's text files, executed by its library."""

from windvane.adapters.lightgbm.runtime import LightgbmRuntime, read_lightgbm

__all__ = ["LightgbmRuntime", "read_lightgbm"]

"""Boosted trees in LightGBM's text files, executed by its library."""

from windvane.adapters.lightgbm.optimize import LightgbmOptimizer
from windvane.adapters.lightgbm.read import read_lightgbm
from windvane.adapters.lightgbm.runtime import LightgbmRuntime

__all__ = ["LightgbmOptimizer", "LightgbmRuntime", "read_lightgbm"]

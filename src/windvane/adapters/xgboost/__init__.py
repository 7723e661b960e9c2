"""Boosted trees in XGBoost's own files, executed by its library."""

from windvane.adapters.xgboost.optimize import XgboostOptimizer
from windvane.adapters.xgboost.read import read_xgboost
from windvane.adapters.xgboost.runtime import XgboostRuntime

__all__ = ["XgboostOptimizer", "XgboostRuntime", "read_xgboost"]

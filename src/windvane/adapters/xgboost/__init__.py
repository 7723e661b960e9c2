"""Boosted trees in XGBoost's own files, executed by its library."""

from windvane.adapters.xgboost.runtime import XgboostRuntime, read_xgboost

__all__ = ["XgboostRuntime", "read_xgboost"]

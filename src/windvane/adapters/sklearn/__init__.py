"""scikit-learn's estimators, loaded from skops files or pickles; in a runner only."""

from windvane.adapters.sklearn.estimator import load_estimator

__all__ = ["load_estimator"]

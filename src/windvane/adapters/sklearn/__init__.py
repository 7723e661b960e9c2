"""scikit-learn's estimators, loaded from skops files or pickles; in the sandbox only."""

from windvane.adapters.sklearn.estimator import load_estimator

__all__ = ["load_estimator"]

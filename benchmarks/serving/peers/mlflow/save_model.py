"""Save the classifier with MLflow's scikit-learn flavour: ``save_model.py ESTIMATOR FOLDER``."""
# pyright: reportMissingImports=false, reportPrivateImportUsage=false

from __future__ import annotations

import sys

import joblib
import mlflow.sklearn
import numpy as np
from mlflow.models import infer_signature

model = joblib.load(sys.argv[1])
rows = np.zeros((1, model.n_features_in_))
mlflow.sklearn.save_model(
    model,
    sys.argv[2],
    pyfunc_predict_fn="predict_proba",
    # Its reader wants to be told that the trees' own type is trusted.
    skops_trusted_types=["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"],
    signature=infer_signature(rows, model.predict_proba(rows)),
)

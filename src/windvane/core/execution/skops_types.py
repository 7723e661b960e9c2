"""Which skops files are data: those whose every type is on this list, and no other.

A skops file carries a list of types to trust inside itself, and skops adds whatever its
release deems safe. Neither decides here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

# How skops puts an object together again. What is left out imports and calls things by a
# name in the file (methods, partials, operators, reduce).
_LOADERS = frozenset(
    [
        "CachedNode",
        "DTypeNode",
        "DictNode",
        "DefaultDictNode",
        "FunctionNode",
        "JsonNode",
        "ListNode",
        "LossNode",
        "MaskedArrayNode",
        "NdArrayNode",
        "ObjectNode",
        "RandomGeneratorNode",
        "RandomStateNode",
        "SetNode",
        "SliceNode",
        "SparseMatrixNode",
        "TreeNode",
        "TupleNode",
        "TypeNode",
    ]
)
_PLAIN = (
    *(f"builtins.{n}" for n in ("bool", "bytes", "dict", "float", "int", "list", "set", "slice",
                                "str", "tuple", "NoneType")),
    *(f"numpy.{n}" for n in ("bool", "bool_", "dtype", "float32", "float64", "int8", "int16",
                             "int32", "int64", "intp", "ndarray", "uint8", "uint16", "uint32",
                             "uint64", "nan", "log", "log1p", "log2", "log10", "sqrt", "exp",
                             "expm1", "abs", "absolute", "square")),
    "numpy.random._generator.Generator", "numpy.random.mtrand.RandomState",
    "numpy.ma.MaskedArray", "collections.defaultdict",
    "scipy.sparse._csr.csr_matrix", "scipy.sparse._csr.csr_array", "scipy.sparse._csc.csc_matrix",
)  # fmt: skip
_SKLEARN = (
    "_loss._loss.CyHalfSquaredError", "_loss._loss.CyHalfPoissonLoss",
    "_loss.loss.HalfSquaredError", "_loss.loss.HalfPoissonLoss",
    "_loss.link.IdentityLink", "_loss.link.LogLink",
    "_loss._loss.CyHalfBinomialLoss", "_loss._loss.CyHalfMultinomialLoss",
    "_loss.link.Interval", "_loss.link.LogitLink", "_loss.link.MultinomialLogit",
    "_loss.loss.HalfBinomialLoss", "_loss.loss.HalfMultinomialLoss",
    "calibration.CalibratedClassifierCV", "calibration._CalibratedClassifier",
    "calibration._SigmoidCalibration", "isotonic.IsotonicRegression",
    "compose._column_transformer.ColumnTransformer",
    "compose._column_transformer._RemainderColsList",
    "discriminant_analysis.LinearDiscriminantAnalysis",
    "discriminant_analysis.QuadraticDiscriminantAnalysis",
    "dummy.DummyClassifier",
    "ensemble._bagging.BaggingClassifier", "ensemble._forest.ExtraTreesClassifier",
    "ensemble._forest.RandomForestClassifier", "ensemble._gb.GradientBoostingClassifier",
    "ensemble._gb_losses.BinomialDeviance",
    "ensemble._hist_gradient_boosting.binning._BinMapper",
    "ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
    "ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "ensemble._stacking.StackingClassifier", "ensemble._voting.VotingClassifier",
    "ensemble._weight_boosting.AdaBoostClassifier",
    "ensemble._forest.RandomForestRegressor", "ensemble._forest.ExtraTreesRegressor",
    "ensemble._gb.GradientBoostingRegressor",
    "ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingRegressor",
    "feature_extraction.text.CountVectorizer", "feature_extraction.text.HashingVectorizer",
    "feature_extraction.text.TfidfTransformer", "feature_extraction.text.TfidfVectorizer",
    "impute._base.MissingIndicator", "impute._base.SimpleImputer", "impute._knn.KNNImputer",
    "linear_model._base.LinearRegression", "linear_model._ridge.Ridge",
    "linear_model._coordinate_descent.ElasticNet", "linear_model._coordinate_descent.Lasso",
    "linear_model._logistic.LogisticRegression", "linear_model._logistic.LogisticRegressionCV",
    "linear_model._stochastic_gradient.SGDClassifier",
    "multiclass.OneVsRestClassifier", "multioutput.MultiOutputClassifier",
    "multioutput.MultiOutputRegressor",
    "naive_bayes.BernoulliNB", "naive_bayes.ComplementNB", "naive_bayes.GaussianNB",
    "naive_bayes.MultinomialNB",
    "neighbors._classification.KNeighborsClassifier", "neighbors._kd_tree.KDTree",
    "neighbors._ball_tree.BallTree", "metrics._dist_metrics.EuclideanDistance64",
    "metrics._dist_metrics.EuclideanDistance", "metrics._dist_metrics.ManhattanDistance64",
    "neural_network._multilayer_perceptron.MLPClassifier",
    "neural_network._stochastic_optimizers.AdamOptimizer",
    "neural_network._stochastic_optimizers.SGDOptimizer",
    "pipeline.FeatureUnion", "pipeline.Pipeline",
    "preprocessing._data.KernelCenterer", "preprocessing._data.MaxAbsScaler",
    "preprocessing._data.MinMaxScaler", "preprocessing._data.Normalizer",
    "preprocessing._data.PowerTransformer", "preprocessing._data.QuantileTransformer",
    "preprocessing._data.RobustScaler", "preprocessing._data.StandardScaler",
    "preprocessing._discretization.KBinsDiscretizer",
    "preprocessing._encoders.OneHotEncoder", "preprocessing._encoders.OrdinalEncoder",
    "preprocessing._function_transformer.FunctionTransformer",
    "preprocessing._label.LabelBinarizer", "preprocessing._label.LabelEncoder",
    "preprocessing._polynomial.PolynomialFeatures",
    "preprocessing._polynomial.SplineTransformer",
    "preprocessing._target_encoder.TargetEncoder",
    "decomposition._pca.PCA", "decomposition._truncated_svd.TruncatedSVD",
    "feature_selection._univariate_selection.SelectKBest",
    "feature_selection._variance_threshold.VarianceThreshold",
    "svm._classes.LinearSVC", "svm._classes.SVC",
    "tree._classes.DecisionTreeClassifier", "tree._classes.DecisionTreeRegressor",
    "tree._classes.ExtraTreeClassifier", "tree._classes.ExtraTreeRegressor",
    "tree._tree.Tree", "utils._bunch.Bunch",
)  # fmt: skip
DATA_TYPES: frozenset[str] = frozenset((*_PLAIN, *(f"sklearn.{name}" for name in _SKLEARN)))


def types_beyond(schema: object) -> list[str]:
    """What a skops file's ``schema.json`` names that is not known to be data, sorted."""
    found: set[str] = set()
    waiting: list[object] = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            keys = cast("Mapping[str, Any]", node)
            if "__loader__" in keys or "__class__" in keys or "__module__" in keys:
                loader = str(keys.get("__loader__"))
                name = f"{keys.get('__module__')}.{keys.get('__class__')}"
                if loader not in _LOADERS:
                    found.add(f"{name} by {loader}")
                elif name not in DATA_TYPES:
                    found.add(name)
            waiting.extend(keys.values())
        elif isinstance(node, Sequence) and not isinstance(node, str):
            waiting.extend(cast("Sequence[object]", node))
    return sorted(found)

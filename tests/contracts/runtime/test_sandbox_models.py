"""Well-behaved models in the sandbox, threads included; and what is required of it."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import skops.io
from contracts.runtime.hostile import ROW, TIGHT, load, model, version
from contracts.runtime.worlds import SECOND, boosted, data, of, seal
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.neural_network import MLPClassifier

from windvane.adapters.files import FileArtifacts
from windvane.adapters.sandbox import Limits, SandboxRuntime
from windvane.core.execution import RuntimeName, ServedBy
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract
from windvane.ports.runtime import CannotLoad, RuntimeFailed

PLAIN = Contract(
    tuple(
        FeatureSpec(name, "v", FeatureType.NUMBER, nullable=True)
        for name in ("real", "carrier", "whole")
    )
)
PATIENT = Limits(load_s=120.0, predict_s=60.0)


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[SandboxRuntime]:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    made = SandboxRuntime(PATIENT, tmp_path / "logs")
    yield made
    made.close()


@pytest.mark.parametrize(
    "learner",
    [
        RandomForestClassifier(20, n_jobs=2, random_state=0),
        HistGradientBoostingClassifier(max_iter=20, random_state=0),
        MLPClassifier(max_iter=5, random_state=0),
    ],
    ids=lambda learner: type(learner).__name__,
)
def test_estimators_answer_as_they_do_outside(
    tmp_path: Path, runtime: SandboxRuntime, learner: Any
) -> None:
    rows, late = np.nan_to_num(data()[0]), data()[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it does not converge, and need not
        learner.fit(rows, late)
    folder = tmp_path / "v"
    folder.mkdir()
    (folder / "model.pkl").write_bytes(pickle.dumps(learner))
    manifest = seal(folder, ServedBy(RuntimeName.SKLEARN, "model.pkl", outputs=SECOND))
    opened = FileArtifacts().open(str(folder), manifest)
    predictor = runtime.load(opened, PLAIN, trusted=True)
    [found] = predictor.predict([[row[0], row[1], row[2]] for row in rows])
    order = of(learner)(rows[:, [0, 1, 2]])
    assert np.abs(found - order).max() < 1e-9
    predictor.close()


def counts_threads(rows: Any) -> Any:
    """How many threads took part: Python's pool, joblib's, OpenMP's own."""
    from concurrent.futures import ThreadPoolExecutor

    import joblib
    from threadpoolctl import threadpool_limits

    both = threading.Barrier(2, timeout=20.0)
    with ThreadPoolExecutor(2) as pool:
        pooled = len(set(pool.map(lambda _: (both.wait(), threading.get_ident())[1], range(2))))
    again = threading.Barrier(2, timeout=20.0)
    task = joblib.delayed(lambda: (again.wait(), threading.get_ident())[1])
    through_joblib = len(set(joblib.Parallel(2, prefer="threads")(task() for _ in range(2))))
    with threadpool_limits(2):
        trees = HistGradientBoostingClassifier(max_iter=3)
        trees.fit(np.arange(6000.0).reshape(-1, 3), np.arange(2000) % 2)
        running = len(list(Path("/proc/self/task").iterdir()))
    return np.full(len(rows), 100.0 * pooled + 10.0 * through_joblib + (running > 1))


def test_threads_run_side_by_side(tmp_path: Path, runtime: SandboxRuntime) -> None:
    manifest = version(tmp_path / "v", model(counts_threads))
    predictor = load(runtime, tmp_path / "v", manifest, trusted=True)
    assert predictor.predict([ROW])[0][0] == 221.0
    predictor.close()


def uses_its_folder(rows: Any) -> Any:
    """What libraries do with files: temporary ones, copies, locks, shared memory."""
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "a"
        source.write_bytes(b"x" * 100_000)
        for copy in (shutil.copy, shutil.copy2, shutil.copyfile):
            copy(source, Path(folder) / copy.__name__)
        shutil.copytree(folder, Path(folder).parent / "tree")
        shutil.move(source, Path(folder) / "b")
        np.save(Path(folder) / "c.npy", np.arange(1000))
        mapped = np.load(Path(folder) / "c.npy", mmap_mode="r")
        assert mapped[999] == 999
    multiprocessing.Lock().acquire()
    assert Path("files/model.pkl").stat().st_size > 0
    return np.full(len(rows), 0.5)


def test_files_of_its_own_work(tmp_path: Path, runtime: SandboxRuntime) -> None:
    manifest = version(tmp_path / "v", model(uses_its_folder))
    predictor = load(runtime, tmp_path / "v", manifest, trusted=True)
    assert predictor.predict([ROW])[0][0] == 0.5
    assert predictor.memory > 30 << 20  # of the process that runs it, not of the one that waits
    predictor.close()


def test_a_python_model_of_mlflow_answers(tmp_path: Path, runtime: SandboxRuntime) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc

        class Half(mlflow.pyfunc.PythonModel):
            def load_context(self, context: Any) -> None:
                self.value = float(Path(context.artifacts["value"]).read_text())

            def predict(self, context, model_input, params=None):
                return np.full(len(model_input), self.value)

        (tmp_path / "value.txt").write_text("0.25")
        mlflow.pyfunc.save_model(
            tmp_path / "v" / "source", python_model=Half(), pip_requirements=[],
            artifacts={"value": str(tmp_path / "value.txt")},
        )  # fmt: skip
    served = ServedBy(RuntimeName.PYFUNC, "source", table=True)
    opened = FileArtifacts().open(str(tmp_path / "v"), seal(tmp_path / "v", served))
    predictor = runtime.load(opened, PLAIN, trusted=True)
    assert predictor.predict([[1.0, 1.0, 1.0]] * 3)[0].tolist() == [0.25] * 3
    predictor.close()


def test_a_required_protection_that_is_missing_stops_code_but_not_data(tmp_path: Path) -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    strict = SandboxRuntime(Limits(require=frozenset({"a virtual machine"})), tmp_path / "logs")
    manifest = version(tmp_path / "v", model(counts_threads))
    with pytest.raises(CannotLoad, match=r"`sandbox_require` asks for a virtual machine"):
        load(strict, tmp_path / "v", manifest, trusted=True)
    (tmp_path / "w").mkdir()
    skops.io.dump(boosted(), tmp_path / "w" / "model.skops")
    manifest = seal(tmp_path / "w", ServedBy(RuntimeName.SKLEARN, "model.skops", outputs=SECOND))
    opened = FileArtifacts().open(str(tmp_path / "w"), manifest)
    predictor = strict.load(opened, PLAIN, trusted=False)
    assert np.isfinite(predictor.predict([[1.0, 1.0, 1.0]])[0]).all()
    predictor.close()
    strict.close()


def test_all_sandboxes_together_stay_within_their_memory(tmp_path: Path) -> None:
    """Also those of another process of the installation; what ended counts no more."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    manifest = version(tmp_path / "v", model(lambda rows: np.full(len(rows), 0.5)))
    limits = Limits(memory=TIGHT.memory, total_memory=2 * TIGHT.memory, first_wait_s=0.001)
    one, other = (SandboxRuntime(limits, tmp_path / "logs") for _ in range(2))
    elsewhere = SandboxRuntime(limits, tmp_path / "another" / "logs")
    first = load(one, tmp_path / "v", manifest, trusted=True)
    second = load(other, tmp_path / "v", manifest, trusted=True)
    for runtime in (one, other):
        with pytest.raises(CannotLoad, match=r"2 sandboxes .* \(sandbox_total_memory\)"):
            load(runtime, tmp_path / "v", manifest, trusted=True)
    load(elsewhere, tmp_path / "v", manifest, trusted=True).close()
    first.close()
    third = load(other, tmp_path / "v", manifest, trusted=True)
    assert third.predict([ROW])[0][0] == second.predict([ROW])[0][0] == 0.5
    with pytest.raises(RuntimeFailed):
        first.predict([ROW])
    for loaded in (second, third):
        loaded.close()
    for runtime in (one, other, elsewhere):
        runtime.close()

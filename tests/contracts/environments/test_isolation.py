"""A version with packages of its own sees these and not ours; its neighbours see theirs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec
import numpy as np
import pytest
from contracts.runtime.hostile import ROW, model
from contracts.runtime.worlds import CONTRACT, seal

from windvane.adapters.files import FileArtifacts
from windvane.adapters.pip import PipEnvironments
from windvane.adapters.sandbox import SandboxRuntime
from windvane.core.execution import ENVIRONMENT_FILE, Environment, RuntimeName, ServedBy
from windvane.core.signature import InputSpec
from windvane.ports.artifacts import Artifact
from windvane.ports.library import RawRows
from windvane.ports.runtime import CannotLoad, Predictor, RuntimeFailed, Untrusted

# A pickle that any of Python's own loaders reads: the model of the package ``rate``.
RATE_MODEL = b"crate\nModel\n)\x81."


@pytest.fixture(autouse=True)
def _by_value() -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])


def version(folder: Path, body: bytes, environment: Environment) -> tuple[Artifact, ServedBy]:
    folder.mkdir()
    (folder / "model.pkl").write_bytes(body)
    (folder / ENVIRONMENT_FILE).write_bytes(msgspec.json.encode(environment))
    served = ServedBy(RuntimeName.SKLEARN, "model.pkl", environment=environment.id)
    manifest = seal(folder, served, [InputSpec("real")])
    return FileArtifacts().open(str(folder), manifest), served


def built(held: PipEnvironments, wheels: Path, *lines: str) -> Environment:
    with held.build(lines, wheels, lambda _: None) as found:
        return found


def load(runtime: SandboxRuntime, opened: Artifact) -> Predictor:
    return runtime.load(opened, CONTRACT, trusted=True)


def test_two_versions_answer_each_by_its_own_package(
    runtime: SandboxRuntime, environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    old, new = (built(environments, wheels, f"rate=={v}") for v in ("1.0", "2.0"))
    first = load(runtime, version(tmp_path / "1", RATE_MODEL, old)[0])
    second = load(runtime, version(tmp_path / "2", RATE_MODEL, new)[0])
    for _ in range(2):
        assert first.predict([ROW])[0].tolist() == [0.25]
        assert second.predict([ROW])[0].tolist() == [0.75]
    first.close()
    second.close()


def imports(*names: str) -> Callable[[Any], Any]:
    """Answers with the place of the first name that can be imported, -1 for none."""

    def does(rows: Any) -> Any:
        import importlib

        found = -1.0
        for place, name in enumerate(names):
            try:
                importlib.import_module(name)
            except ModuleNotFoundError:
                continue
            found = float(place)
            break
        return np.full(len(rows), found)

    return does


def carried(does: Callable[[Any], Any]) -> bytes:
    return cloudpickle.dumps(model(does))


def test_nothing_of_ours_can_be_imported_but_what_our_code_needs(
    runtime: SandboxRuntime, environments: PipEnvironments, tmp_path: Path
) -> None:
    import cloudpickle as ours
    from contracts.environments.wheels import make_wheel

    # The model is carried by cloudpickle, which its environment brings.
    root = Path(ours.__file__).parent
    modules = {f"cloudpickle/{p.name}": p.read_text() for p in sorted(root.glob("*.py"))}
    make_wheel(tmp_path / "w", "cloudpickle", ours.__version__, modules)
    own = built(environments, tmp_path / "w", "cloudpickle")
    hidden = ("pandas", "sklearn", "scipy", "mlflow", "onnxruntime", "yaml", "pytest", "pip")
    body = carried(imports(*hidden))
    predictor = load(runtime, version(tmp_path / "hidden", body, own)[0])
    assert predictor.predict([ROW])[0].tolist() == [-1.0]
    predictor.close()
    for lent in ("msgspec", "numpy", "windvane", "cloudpickle"):
        predictor = load(runtime, version(tmp_path / lent, carried(imports(lent)), own)[0])
        assert predictor.predict([ROW])[0].tolist() == [0.0]
        predictor.close()


def test_its_packages_can_be_read_and_not_written(
    runtime: SandboxRuntime, environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    from contracts.environments.wheels import make_wheel

    probe = (
        "import os\nimport numpy as np\nHERE = os.path.dirname(__file__)\nclass Model:\n"
        " def predict(self, rows):\n"
        "  found = [open(__file__).read(1) != '']\n"
        "  for path in (__file__, os.path.join(HERE, 'new.py')):\n"
        "   try: open(path, 'a'); found.append(True)\n"
        "   except OSError: found.append(False)\n"
        f"  for path in {[str(tmp_path / 'secret'), str(wheels), np_tests()]!r}:\n"
        "   try: (os.listdir if os.path.isdir(path) else open)(path); found.append(True)\n"
        "   except OSError: found.append(False)\n"
        "  return np.full(len(rows), sum(2 ** i for i, yes in enumerate(found) if yes))\n"
    )
    (tmp_path / "secret").write_text("s")
    make_wheel(tmp_path / "w", "rate", "1.0", {"rate.py": probe})
    own = built(environments, tmp_path / "w", "rate==1.0")
    predictor = load(runtime, version(tmp_path / "v", RATE_MODEL, own)[0])
    assert predictor.predict([ROW])[0].tolist() == [1.0]  # itself was read, and that is all
    predictor.close()


def np_tests() -> str:
    """A package of ours that lies beside what is lent."""
    import pandas as pd

    return str(Path(pd.__file__).parent)


def test_its_own_library_answers_in_the_same_environment(
    runtime: SandboxRuntime, environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    own = built(environments, wheels, "rate==2.0")
    opened, served = version(tmp_path / "v", RATE_MODEL, own)
    library = runtime.open(opened, served, trusted=True)
    found = library.answer(RawRows(["real"], ["number"], [[1.0, None]]))
    assert found[""].tolist() == [0.75, 0.75]
    with pytest.raises(RuntimeFailed, match="its environment has no pandas"):
        library.answer(RawRows(["word"], ["category"], [["a"]]))
    library.close()


def test_packages_of_its_own_are_programs_and_take_trust(
    runtime: SandboxRuntime, environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    own = built(environments, wheels, "rate==1.0")
    folder = tmp_path / "v"
    folder.mkdir()
    (folder / "model.cbm").write_bytes(b"CBM1")  # data to its loader, which may be any package
    (folder / ENVIRONMENT_FILE).write_bytes(msgspec.json.encode(own))
    served = ServedBy(RuntimeName.CATBOOST, "model.cbm", environment=own.id)
    opened = FileArtifacts().open(str(folder), seal(folder, served, [InputSpec("real")]))
    with pytest.raises(Untrusted, match="brings packages of its own"):
        runtime.load(opened, CONTRACT, trusted=False)
    assert runtime.runs_code(opened, served)
    with pytest.raises(CannotLoad, match="catboost") as caught:
        runtime.load(opened, CONTRACT, trusted=True)
    assert "add that package to the model's requirements" in caught.value.advice


def test_an_environment_that_is_gone_stops_its_version_alone(
    runtime: SandboxRuntime, environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    old, new = (built(environments, wheels, f"rate=={v}") for v in ("1.0", "2.0"))
    gone = version(tmp_path / "1", RATE_MODEL, old)[0]
    environments.remove(old.id)
    with pytest.raises(CannotLoad, match="is not on this machine") as caught:
        load(runtime, gone)
    assert f"windvane environments --rebuild {old.id[:12]}" in caught.value.advice
    predictor = load(runtime, version(tmp_path / "2", RATE_MODEL, new)[0])
    assert predictor.predict([ROW])[0].tolist() == [0.75]
    predictor.close()
    environments.rebuild(old, wheels, lambda _: None)
    predictor = load(runtime, gone)
    assert predictor.predict([ROW])[0].tolist() == [0.25]
    predictor.close()


def test_a_version_that_names_another_environment_than_its_file_is_refused(
    runtime: SandboxRuntime, environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    own = built(environments, wheels, "rate==1.0")
    folder = tmp_path / "v"
    version(folder, RATE_MODEL, own)
    served = ServedBy(RuntimeName.SKLEARN, "model.pkl", environment="f" * 64)
    (folder / "manifest.json").unlink()
    opened = FileArtifacts().open(str(folder), seal(folder, served, [InputSpec("real")]))
    with pytest.raises(CannotLoad, match=r"runtime.json names the environment ffffffffffff"):
        load(runtime, opened)


def test_modules_named_like_pythons_own_do_not_take_their_place(
    runtime: SandboxRuntime, environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    from contracts.environments.wheels import make_wheel

    taken = {"json.py": "raise SystemExit(9)\n", "windvane.py": "raise SystemExit(9)\n"}
    make_wheel(tmp_path / "w", "shadow", "1.0", taken)
    source = (wheels / "rate-1.0-py3-none-any.whl").read_bytes()
    (tmp_path / "w" / "rate-1.0-py3-none-any.whl").write_bytes(source)
    own = built(environments, tmp_path / "w", "rate==1.0", "shadow")
    predictor = load(runtime, version(tmp_path / "v", RATE_MODEL, own)[0])
    assert predictor.predict([ROW])[0].tolist() == [0.25]
    predictor.close()

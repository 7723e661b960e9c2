"""Files that mean harm: refused without trust, contained with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import skops.io
from contracts.runtime.hostile import ROW, TIGHT, Calls, load, model, version
from contracts.runtime.worlds import CONTRACT, SECOND, boosted, pyfunc, seal
from sklearn.preprocessing import FunctionTransformer

from windvane.adapters.files import FileArtifacts
from windvane.adapters.sandbox import Limits, SandboxRuntime
from windvane.core.execution import RuntimeName, ServedBy
from windvane.core.signature import InputSpec
from windvane.ports.runtime import (
    CannotLoad,
    ManifestMismatch,
    RuntimeFailed,
    Untrusted,
)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def runtime(logs: Path) -> Iterator[SandboxRuntime]:
    made = SandboxRuntime(TIGHT, logs)
    yield made
    made.close()


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "model.pickle", "model.skops.pkl"])
def test_a_malicious_pickle_is_refused_and_never_read(
    tmp_path: Path, runtime: SandboxRuntime, name: str
) -> None:
    touched = tmp_path / "touched"
    folder = tmp_path / "version"
    folder.mkdir()
    (folder / name).write_bytes(cloudpickle.dumps(Calls(os.system, f"touch {touched}")))
    manifest = seal(folder, ServedBy(RuntimeName.SKLEARN, name), [InputSpec("real")])
    with pytest.raises(Untrusted, match="RUN-104") as raised:
        load(runtime, folder, manifest, trusted=False)
    assert "windvane trust" in str(raised.value)
    assert not touched.exists()


def test_a_trusted_one_runs_but_writes_nowhere_else(
    tmp_path: Path, runtime: SandboxRuntime
) -> None:
    """Trust lets it run; the sandbox still keeps it in its own folder."""
    touched = tmp_path / "touched"
    manifest = version(tmp_path / "v", Calls(os.system, f"touch {touched}"))
    with pytest.raises(CannotLoad):  # a status is no model
        load(runtime, tmp_path / "v", manifest, trusted=True)
    assert not touched.exists()


def test_a_pickle_in_skops_clothes_is_not_unpickled(
    tmp_path: Path, runtime: SandboxRuntime
) -> None:
    touched = tmp_path / "touched"
    (tmp_path / "v").mkdir()
    hostile = cloudpickle.dumps(Calls(os.system, f"touch {touched}"))
    (tmp_path / "v" / "model.skops").write_bytes(hostile)
    served = ServedBy(RuntimeName.SKLEARN, "model.skops")
    manifest = seal(tmp_path / "v", served, [InputSpec("real")])
    for trusted in (False, True):
        with pytest.raises(CannotLoad):
            load(runtime, tmp_path / "v", manifest, trusted=trusted)
    assert not touched.exists()


def test_a_skops_file_with_a_type_of_its_own_needs_trust(
    tmp_path: Path, runtime: SandboxRuntime
) -> None:
    skops.io.dump(FunctionTransformer(os.getcwd), tmp_path / "model.skops")
    served = ServedBy(RuntimeName.SKLEARN, "model.skops")
    manifest = seal(tmp_path, served, [InputSpec("real")])
    with pytest.raises(Untrusted, match=r"not known to be data: posix.getcwd"):
        load(runtime, tmp_path, manifest, trusted=False)


def test_a_skops_file_of_data_needs_none(tmp_path: Path, runtime: SandboxRuntime) -> None:
    skops.io.dump(boosted(), tmp_path / "model.skops")
    served = ServedBy(RuntimeName.SKLEARN, "model.skops")
    opened = FileArtifacts().open(str(tmp_path), seal(tmp_path, served))
    assert not runtime.runs_code(opened, served)


def allocate() -> bytearray:
    return bytearray(10 << 30)


def spin() -> None:
    while True:
        pass


def leave() -> None:
    os._exit(3)


@pytest.mark.parametrize(
    ("harm", "said"), [(allocate, "out of memory"), (leave, "status 3"), (spin, "no answer within")]
)
def test_harm_at_load_is_contained(
    tmp_path: Path, logs: Path, harm: Callable[[], Any], said: str
) -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    quick = Limits(memory=1 << 30, load_s=8.0)
    runtime = SandboxRuntime(quick, logs)
    manifest = version(tmp_path / "v", Calls(harm))
    began = time.monotonic()
    with pytest.raises(CannotLoad, match=said):
        load(runtime, tmp_path / "v", manifest, trusted=True)
    assert time.monotonic() - began < 20.0
    runtime.close()


def says_as_c_plus_plus(rows: Any) -> Any:
    where = "/workspace/src/encoder/ordinal.h:241"
    raise ValueError(f"[17:01:59] {where}: unknown category\nStack trace:\n  [bt] (0) lib.so")


def test_what_a_library_says_is_one_sentence(tmp_path: Path, runtime: SandboxRuntime) -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    manifest = version(tmp_path / "v", model(says_as_c_plus_plus))
    predictor = load(runtime, tmp_path / "v", manifest, trusted=True)
    with pytest.raises(RuntimeFailed) as raised:
        predictor.predict([ROW])
    assert raised.value.message == "ValueError: unknown category"
    predictor.close()


def eats(rows: Any) -> Any:
    return bytearray(10 << 30)


def loops(rows: Any) -> Any:
    while True:
        pass


def exits(rows: Any) -> Any:
    os._exit(3)


def answers_too_much(rows: Any) -> Any:
    return np.zeros(1000 * len(rows))


def answers_too_little(rows: Any) -> Any:
    return np.zeros(0)


def answers_words(rows: Any) -> Any:
    return ["late"] * len(rows)


def forges(rows: Any) -> Any:
    for fd in range(3, 64):
        try:
            os.write(fd, b"\x00\x00\x00\x04junk")
        except OSError:
            continue
    return np.zeros(len(rows))


def floods(rows: Any) -> Any:
    for fd in range(3, 64):
        try:
            os.write(fd, b"\xff\xff\xff\xff" + b"x" * 1000)
        except OSError:
            continue
    return np.zeros(len(rows))


def closes(rows: Any) -> Any:
    os.closerange(3, 64)
    spin()


@pytest.mark.parametrize(
    "harm",
    [eats, loops, exits, answers_too_much, answers_too_little, answers_words, forges, floods,
     closes],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_harm_in_a_prediction_is_contained(
    tmp_path: Path, runtime: SandboxRuntime, harm: Callable[[Any], Any]
) -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    manifest = version(tmp_path / "v", model(harm))
    predictor = load(runtime, tmp_path / "v", manifest, trusted=True)
    began = time.monotonic()
    with pytest.raises(RuntimeFailed, match="RUN-106"):
        predictor.predict([ROW])
    assert time.monotonic() - began < 15.0
    predictor.close()
    with pytest.raises(RuntimeFailed):
        predictor.predict([ROW])


def prints(rows: Any) -> Any:
    print("hello from the model", flush=True)
    os.write(1, b"\x00\x00\x00\x01raw\n")
    return np.full(len(rows), 0.25)


def test_what_it_prints_goes_to_its_log(
    tmp_path: Path, runtime: SandboxRuntime, logs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    manifest = version(tmp_path / "v", model(prints))
    predictor = load(runtime, tmp_path / "v", manifest, trusted=True)
    assert predictor.predict([ROW, ROW])[0].tolist() == [0.25, 0.25]
    predictor.close()
    assert "hello" not in "".join(capfd.readouterr())
    assert "hello from the model" in (logs / f"sandbox-{manifest[:12]}.log").read_text()


SECRET_FILE = "/tmp/windvane-test-secret"


def looks_around(rows: Any) -> Any:
    """A bit for each thing it got hold of; see ``test_nothing_of_ours_can_be_read``."""
    import contextlib
    import socket

    got = 0
    if "WINDVANE_SECRET" in os.environ:
        got |= 1
    with contextlib.suppress(OSError):
        if b"WINDVANE_SECRET" in Path(f"/proc/{os.getppid()}/environ").read_bytes():
            got |= 2
    with contextlib.suppress(OSError):
        if Path("/tmp/windvane-test-secret").read_text():
            got |= 4
    with contextlib.suppress(OSError):
        socket.socket()
        got |= 8
    with contextlib.suppress(OSError):
        os.kill(os.getppid(), 0)
        got |= 16
    with contextlib.suppress(OSError):
        Path("big").write_bytes(bytes(8 << 20))
        got |= 32
    with contextlib.suppress(OSError):
        Path("/tmp/windvane-test-written").write_text("x")
        got |= 64
    return np.full(len(rows), float(got))


def test_nothing_of_ours_can_be_read(tmp_path: Path) -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    Path(SECRET_FILE).write_text("secret")
    script = """
import sys
from pathlib import Path
from windvane.adapters.files import FileArtifacts
from windvane.adapters.sandbox import SandboxRuntime, Limits
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract
CONTRACT = Contract((FeatureSpec("real", "v", FeatureType.NUMBER),))
r = SandboxRuntime(Limits(memory=1 << 30, file_bytes=1 << 20, predict_s=20.0))
p = r.load(FileArtifacts().open(sys.argv[1], sys.argv[2]), CONTRACT, trusted=True)
print(int(p.predict([[1.0]])[0][0]))
p.close()
r.close()
"""
    manifest = version(tmp_path / "v", model(looks_around))
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "v"), manifest],
        env={**os.environ, "WINDVANE_SECRET": "s3cret"}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    Path(SECRET_FILE).unlink()
    assert "does not give" not in done.stderr, "this kernel has no Landlock or seccomp"
    assert int(done.stdout) == 0, f"it got hold of {int(done.stdout):b}"


def test_a_module_in_its_folder_is_not_imported(tmp_path: Path, runtime: SandboxRuntime) -> None:
    """The working folder is not on Python's path: a file that is called like a library of
    ours would run before anything is checked."""
    skops.io.dump(boosted(), tmp_path / "model.skops")
    for name in ("numpy", "msgspec", "joblib", "skops"):
        (tmp_path / f"{name}.py").write_text("import os; os._exit(9)")
    manifest = seal(tmp_path, ServedBy(RuntimeName.SKLEARN, "model.skops", outputs=SECOND))
    slow = SandboxRuntime(Limits(predict_s=30.0))
    predictor = load(slow, tmp_path, manifest, trusted=False)
    assert np.isfinite(predictor.predict([[1.0, 1.0, 1.0]])[0]).all()
    predictor.close()
    slow.close()


def test_it_comes_back_after_a_rest(tmp_path: Path, runtime: SandboxRuntime) -> None:
    """It dies, says so, rests, and answers again; the deadline of the test is for the start."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])

    def dies_on_nine(rows: Any) -> Any:
        if rows[0][0] == 9.0:
            os._exit(1)
        return np.full(len(rows), 0.5)

    manifest = version(tmp_path / "v", model(dies_on_nine))
    slow = SandboxRuntime(Limits(first_wait_s=30.0, last_wait_s=30.0))
    predictor = load(slow, tmp_path / "v", manifest, trusted=True)
    assert predictor.predict([ROW])[0][0] == 0.5
    with pytest.raises(RuntimeFailed, match="status 1"):
        predictor.predict([[9.0]])
    with pytest.raises(RuntimeFailed, match="rests for"):
        predictor.predict([ROW])
    predictor.close()
    slow.close()
    predictor = load(runtime, tmp_path / "v", manifest, trusted=True)
    with pytest.raises(RuntimeFailed, match="status 1"):
        predictor.predict([[9.0]])
    until = time.monotonic() + 60.0
    while True:
        try:
            assert predictor.predict([ROW])[0][0] == 0.5
            break
        except RuntimeFailed:
            assert time.monotonic() < until
    predictor.close()


def test_a_killed_parent_takes_it_along(tmp_path: Path) -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    script = """
import sys
from windvane.adapters.files import FileArtifacts
from windvane.adapters.sandbox import SandboxRuntime
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract
CONTRACT = Contract((FeatureSpec("real", "v", FeatureType.NUMBER),))
r = SandboxRuntime()
p = r.load(FileArtifacts().open(sys.argv[1], sys.argv[2]), CONTRACT, trusted=True)
print(p._sandbox._process.pid, *p._sandbox._process._children(), flush=True)
p.predict([[1.0]])
"""
    manifest = version(tmp_path / "v", model(loops))
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "v"), manifest], stdout=subprocess.PIPE
    )
    try:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        assert all(_lives(child) for child in children)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.communicate(timeout=20)
    until = time.monotonic() + 20.0
    while any(_lives(child) for child in children):
        assert time.monotonic() < until


def _lives(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_folders_are_removed_also_those_of_the_dead(
    tmp_path: Path, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead = tmp_path / "windvane-sandbox-dead"
    dead.mkdir()
    (dead / ".held").touch()
    runtime = SandboxRuntime(TIGHT, logs)
    assert not dead.exists()
    manifest = version(tmp_path / "v", model(prints))
    predictor = load(runtime, tmp_path / "v", manifest, trusted=True)
    assert len(list(tmp_path.glob("windvane-sandbox-*"))) == 1
    SandboxRuntime(TIGHT, logs).close()  # another one's sweep leaves the living alone
    assert len(list(tmp_path.glob("windvane-sandbox-*"))) == 1
    predictor.close()
    assert list(tmp_path.glob("windvane-sandbox-*")) == []
    runtime.close()


def test_a_changed_loader_module_is_caught(tmp_path: Path, runtime: SandboxRuntime) -> None:
    """MLflow imports whatever module its MLmodel names: the manifest pins that file too."""
    made = pyfunc(tmp_path)
    path = tmp_path / "source" / "MLmodel"
    opened = FileArtifacts().open(str(tmp_path), made.manifest)
    changed = path.read_text().replace("mlflow.lightgbm", "os")
    assert changed != path.read_text()
    path.write_text(changed)
    with pytest.raises(ManifestMismatch, match="MLmodel"):  # swapped after it was opened
        runtime.load(opened, CONTRACT, trusted=True)
    with pytest.raises(ManifestMismatch, match="MLmodel"):
        load(runtime, tmp_path, made.manifest, trusted=True)
    assert FileArtifacts().seal(tmp_path) != made.manifest  # nor does a new manifest help
    with pytest.raises(ManifestMismatch):
        load(runtime, tmp_path, made.manifest, trusted=True)


@pytest.mark.parametrize("what", ["extra", "link", "linked folder"])
def test_a_folder_with_more_in_it_is_refused(
    tmp_path: Path, runtime: SandboxRuntime, what: str
) -> None:
    folder = tmp_path / "v"
    manifest = version(folder, model(prints))
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "helper.py").write_text("")
    if what == "extra":
        (folder / "helper.py").write_text("")
    elif what == "link":
        body = (folder / "model.pkl").read_bytes()
        (tmp_path / "same.pkl").write_bytes(body)
        (folder / "model.pkl").unlink()
        (folder / "model.pkl").symlink_to(tmp_path / "same.pkl")
    else:
        (folder / "more").symlink_to(tmp_path / "outside")
    with pytest.raises(ManifestMismatch, match=r"not in the manifest|is a link"):
        load(runtime, folder, manifest, trusted=True)


def test_a_manifest_cannot_lead_out_of_the_folder(tmp_path: Path, runtime: SandboxRuntime) -> None:
    folder = tmp_path / "v"
    version(folder, model(prints))
    (tmp_path / "outside.txt").write_text("x")
    path = folder / "manifest.json"
    import hashlib

    names = {**json.loads(path.read_text()), "../outside.txt": hashlib.sha256(b"x").hexdigest()}
    body = json.dumps(names).encode()
    path.write_bytes(body)
    with pytest.raises(ManifestMismatch, match="outside"):
        load(runtime, folder, hashlib.sha256(body).hexdigest(), trusted=True)

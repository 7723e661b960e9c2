"""Trusted code that attacks from inside the sandbox: real pickles, real processes."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from contracts.runtime import attacks
from contracts.runtime.hostile import ROW, TIGHT, load, model, version

from windvane.adapters.sandbox import SandboxRuntime
from windvane.ports.runtime import RuntimeFailed
from windvane.ports.sandbox import EXPECTED

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the attacks call the kernel by x86-64's numbers"
)
NO_RIGHTS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
SETTING = "/proc/sys/user/max_user_namespaces"
NO_NAMESPACES = ["unshare", "-Ur", "sh", "-c", f'echo 0 > {SETTING} && exec "$@"', "-", *NO_RIGHTS]
MACHINES = {"as it is": [], "user namespaces": NO_RIGHTS, "no namespaces": NO_NAMESPACES}

PARENT = """
import json, os, resource, sys
from pathlib import Path
from windvane.adapters.files import FileArtifacts
from windvane.adapters.sandbox import SandboxRuntime, Limits
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract
CONTRACT = Contract((FeatureSpec("real", "v", FeatureType.NUMBER),))
limits = Limits(memory=1 << 30, file_bytes=1 << 20, load_s=60.0, predict_s=60.0)
runtime = SandboxRuntime(limits, Path(sys.argv[3]))
made = runtime.load(FileArtifacts().open(sys.argv[1], sys.argv[2]), CONTRACT, trusted=True)
before = [resource.getrlimit(kind) for kind in range(16)]
got = made.predict([[float(os.getpid())]] * int(sys.argv[4]))[0].tolist()
after = [resource.getrlimit(kind) for kind in range(16)]
again = made.predict([[-1.0]])[0][0]
made.close()
runtime.close()
held = sorted(os.listdir("/proc/self/fd"))
print(json.dumps({"got": got, "unharmed": before == after, "again": again}))
"""


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[SandboxRuntime]:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    cloudpickle.register_pickle_by_value(attacks)
    made = SandboxRuntime(TIGHT, tmp_path / "logs")
    yield made
    made.close()


@pytest.mark.parametrize("machine", MACHINES)
def test_no_attack_gets_anything(tmp_path: Path, machine: str) -> None:
    """On this machine, without rights of root's, and without namespaces at all."""
    before = MACHINES[machine]
    if before and (
        not shutil.which(before[0])
        or subprocess.run([*before, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("this machine cannot be made weaker")
    cloudpickle.register_pickle_by_value(attacks)
    outside = tmp_path / "outside"
    outside.write_text("secret")
    outside.chmod(0o600)
    os.utime(outside, (1_000_000, 1_000_000))
    told = str(outside)

    def attacking(rows: Any) -> Any:
        if rows[0][0] < 0:
            return np.full(len(rows), 0.5)  # it still answers after all that
        found = [
            attacks.attempt(attack, int(rows[0][0]), told)
            for attack in attacks.ATTACKS
        ]  # fmt: skip
        return np.array(found, np.float64)

    manifest = version(tmp_path / "v", model(attacking))
    with socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0windvane-test-abstract")
        abstract.listen()
        count = str(len(attacks.ATTACKS))
        done = subprocess.run(
            [*before, sys.executable, "-c", PARENT, str(tmp_path / "v"), manifest,
             str(tmp_path / "logs"), count],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    message = "\n".join(path.read_text() for path in (tmp_path / "logs").glob("*.log"))
    assert done.returncode == 0, done.stderr + message
    answer = json.loads(done.stdout)
    names = [attack.__name__ for attack in attacks.ATTACKS]
    succeeded = [n for n, got in zip(names, answer["got"], strict=True) if got]
    assert succeeded == []
    assert answer["unharmed"]
    assert answer["again"] == 0.5
    state = outside.stat()
    assert (state.st_mode & 0o777, state.st_mtime) == (0o600, 1_000_000)
    assert outside.read_text() == "secret"
    for path in (tmp_path / "logs").glob("*.log"):
        assert path.stat().st_mode & 0o111 == 0
    assert "does not give" not in done.stderr


def exhausts_descriptors(rows: Any) -> Any:
    held = []
    try:
        while len(held) < 100_000:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for at in held:
        os.close(at)
    return np.full(len(rows), float(len(held)))


def exhausts_threads(rows: Any) -> Any:
    end = threading.Event()
    held = []
    threading.stack_size(64 << 10)
    try:
        while len(held) < 20_000:
            held.append(threading.Thread(target=end.wait))
            held[-1].start()
    except (RuntimeError, MemoryError):
        held.pop()
    end.set()
    for thread in held:
        thread.join()
    return np.full(len(rows), float(len(held)))


def exhausts_disk(rows: Any) -> Any:
    written = 0
    try:
        for i in range(200):
            written += Path(f"tmp/{i}").write_bytes(bytes(1 << 20))
    except OSError:
        pass
    return np.full(len(rows), float(written))


def exhausts_names(rows: Any) -> Any:
    made = 0
    try:
        while made < 100_000:
            Path(f"tmp/n{made}").touch()
            made += 1
    except OSError:
        pass
    return np.full(len(rows), float(made))


@pytest.mark.parametrize(
    ("harm", "most"),
    [(exhausts_descriptors, 1024), (exhausts_threads, 512), (exhausts_disk, 4 << 20),
     (exhausts_names, 1 << 14)],
)  # fmt: skip
def test_what_it_uses_up_is_its_own(
    tmp_path: Path, runtime: SandboxRuntime, harm: Any, most: int
) -> None:
    manifest = version(tmp_path / "v", model(harm))
    neighbour = version(tmp_path / "w", model(lambda rows: np.full(len(rows), 0.5)))
    other = load(runtime, tmp_path / "w", neighbour, trusted=True)
    assert other.predict([ROW])[0][0] == 0.5
    predictor = load(runtime, tmp_path / "v", manifest, trusted=True)
    used = predictor.predict([ROW])[0][0]
    assert 0 < used <= most
    assert predictor.predict([ROW])[0][0] <= most
    assert other.predict([ROW])[0][0] == 0.5
    later = load(runtime, tmp_path / "w", neighbour, trusted=True)
    assert later.predict([ROW])[0][0] == 0.5
    for loaded in (predictor, other, later):
        loaded.close()


def fills_memory(rows: Any) -> Any:
    held = []
    while True:
        held.append(bytearray(64 << 20))


@pytest.mark.usefixtures("runtime")
def test_a_memory_bomb_ends_at_its_limit(tmp_path: Path) -> None:
    patient = SandboxRuntime(replace(TIGHT, predict_s=60.0), tmp_path / "logs")  # memory, not time
    manifest = version(tmp_path / "v", model(fills_memory))
    predictor = load(patient, tmp_path / "v", manifest, trusted=True)
    with pytest.raises(RuntimeFailed, match="out of memory"):
        predictor.predict([ROW])
    assert predictor.memory < TIGHT.memory
    predictor.close()
    patient.close()


def test_this_kernel_gives_all_that_is_expected(
    tmp_path: Path, runtime: SandboxRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = version(tmp_path / "v", model(lambda rows: np.zeros(len(rows))))
    load(runtime, tmp_path / "v", manifest, trusted=True).close()
    assert EXPECTED
    assert caplog.messages == []

"""What a sandbox asks the kernel, where /proc may be gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from windvane.apps.sandbox import kernel

_WITHOUT_PROC = """
import os, sys
from windvane.apps.sandbox import kernel
before = kernel.may_kill()
os.chroot(sys.argv[1])  # as the child of a waiting process takes the root away from both
os.chdir("/")
kernel.drop_capabilities(keep=kernel.CAP_KILL)
print(before, kernel.may_kill())
"""


def test_the_effective_capabilities_are_those_that_proc_shows() -> None:
    shown = Path("/proc/self/status").read_text().split("CapEff:")[1].split()[0]
    assert kernel.may_kill() == bool(int(shown, 16) & kernel.CAP_KILL)


def test_capabilities_are_dropped_without_proc(tmp_path: Path) -> None:
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", sys.executable, "-c", _WITHOUT_PROC,
         str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["True", "True"], done.stderr

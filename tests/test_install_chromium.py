"""The browser's installer waits for the package system's lock, and does not call it no browser."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "tools" / "install_chromium.sh"
LOCKED = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (apt)"
NEEDED = ("bash", "id", "sleep", "tail")


def install(folder: Path, apt: str) -> subprocess.CompletedProcess[str]:
    """With an apt-get that does as ``apt`` says, and nothing else on the path."""
    tools = folder / "bin"
    tools.mkdir()
    for name in NEEDED:
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    for name, body in (("apt-get", apt), ("sudo", 'shift; exec "$@"')):
        (tools / name).write_text(f"#!{tools}/bash\n{body}\n")
        (tools / name).chmod(0o755)
    bash = str(tools / "bash")
    return subprocess.run(
        [bash, str(SCRIPT)], cwd=folder, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PATH": str(tools), "LOCK_WAIT_S": "2", "LOCK_RETRY_S": "0.3"},
    )  # fmt: skip


def test_a_lock_that_stays_is_an_error(tmp_path: Path) -> None:
    done = install(tmp_path, f"echo '{LOCKED}' >&2; echo >> tries; exit 100")
    assert done.returncode == 1
    assert "holds the package system's lock" in done.stderr
    assert len((tmp_path / "tries").read_text()) > 2


def test_a_lock_that_is_given_back_is_waited_for(tmp_path: Path) -> None:
    put = "echo > bin/chromium; /bin/chmod +x bin/chromium"
    first = f"if [ ! -e tried ]; then echo > tried; echo '{LOCKED}' >&2; exit 100; fi"
    done = install(tmp_path, f"{first}\ncase $1 in install) {put} ;; esac")
    assert done.returncode == 0, done.stderr
    assert "NO BROWSER" not in done.stderr


@pytest.mark.parametrize("said", ["E: Unable to locate package chromium"])
def test_where_there_is_none_journeys_skip(tmp_path: Path, said: str) -> None:
    done = install(tmp_path, f"echo '{said}' >&2; exit 100")
    assert done.returncode == 0
    assert "journeys will skip" in done.stderr

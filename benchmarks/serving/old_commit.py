"""The gateway of an older commit, beside this one: its own code, and a home made by it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from . import shapes
from .model import MODEL, Model
from .peers import ENVIRONMENTS
from .processes import ServerFailed
from .servers import Kind, Launch, Server, Site
from .windvane_server import copy_home

COMMIT = "6b87e4f"
OLD = f"Windvane at {COMMIT}"
_REPOSITORY = ENVIRONMENTS.parent
_TREE = ENVIRONMENTS / COMMIT
_WITHIN_S = 600.0
# Its own benchmark makes its home: with its trainer, its learner and the same rows.
_MAKE = (
    "import sys; from pathlib import Path; from serving.model import make_model; "
    "from serving.rows import read_rows; "
    "print(make_model(Path(sys.argv[1]), read_rows(), lambda _: None).key)"
)


def old_server(folder: Path, say: Callable[[str], None]) -> Server:
    """Ready to start, with the libraries of this interpreter. Raises ServerFailed where it
    cannot be made."""
    if not (_TREE / "src").exists():
        say(f"check out {COMMIT}")
        # A tree that was removed by hand is still known: hence --force.
        add = ["git", "worktree", "add", "--force", "--detach", str(_TREE), COMMIT]
        _run(add, _REPOSITORY, {})
    home = folder / f"home-{COMMIT}"
    home.mkdir(exist_ok=True)
    say(f"{OLD}: apply, train, deploy, issue a key")
    printed = _run([sys.executable, "-c", _MAKE, str(home)], _TREE / "benchmarks", _environment())
    model = Model(home / "home", printed.split()[-1], home / "model.joblib")
    return Server(OLD, Kind.VARIANT, lambda site: shapes.windvane(MODEL, site.model.key),
                  _launch, model=model)  # fmt: skip


def _launch(site: Site) -> Launch:
    home = copy_home(site)
    command = [sys.executable, "-m", "windvane.apps.cli.main", "up", "--home", str(home)]
    return Launch(command, site.folder, _environment())


def _environment() -> dict[str, str]:
    """Its packages come before the installed one."""
    return {"PYTHONPATH": os.pathsep.join([str(_TREE / "src"), str(_TREE / "benchmarks")])}


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=_WITHIN_S, check=False,
    )  # fmt: skip
    if done.returncode:
        raise ServerFailed(f"{OLD}: {' '.join(command[:3])}: {done.stderr.strip()[-800:]}")
    return done.stdout

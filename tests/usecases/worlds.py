"""Installations in the state that some steps leave, which are taken once for all tests of a run."""

from __future__ import annotations

import hashlib
import inspect
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from once import Once
from usecases.harness import Harness, ManualClock, Trained

from windvane.adapters.sql import SqlControlStore

Step = Callable[[Harness], None]
_CLOCK = "clock.json"


@dataclass(frozen=True)
class Worlds:
    """Begins with the store ``deployed``."""

    once: Once
    deployed: Path
    trained: Trained

    @contextmanager
    def after(self, *steps: Step) -> Iterator[Harness]:
        """A copy of what is there after ``steps``, each of which is a function of a module."""
        with TemporaryDirectory() as home:
            folder = Path(home) / "home"
            clock = ManualClock()
            if steps:
                shutil.copytree(self._made(steps), folder)
                clock = ManualClock(*json.loads((folder / _CLOCK).read_text()))
            else:
                folder.mkdir()
                shutil.copy(self.deployed, folder / "control.db")
            store = SqlControlStore(f"sqlite:///{folder / 'control.db'}")
            try:
                yield Harness(folder, store, self.trained, clock)
            finally:
                store.close()

    def _made(self, steps: tuple[Step, ...]) -> Path:
        names = [f"{inspect.getfile(step)}:{step.__qualname__}" for step in steps]
        if any("<" in name for name in names):
            raise ValueError(f"two functions may have one of these names: {names}")
        digest = hashlib.sha256(" ".join(names).encode()).hexdigest()[:16]
        return self.once.folder(f"world-{digest}", lambda folder: self._take(steps, folder))

    def _take(self, steps: tuple[Step, ...], folder: Path) -> None:
        with self.after(*steps[:-1]) as harness:
            steps[-1](harness)
            harness.store.close()
            shutil.copytree(harness.folder, folder, dirs_exist_ok=True)
            times = [harness.clock.at, harness.clock.wall_at]
        (folder / _CLOCK).write_text(json.dumps(times))

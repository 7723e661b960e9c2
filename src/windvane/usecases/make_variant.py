"""A registered version, and cheaper ones that are made of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from windvane.core.execution import (
    INPUTS_FILE,
    SERVED_FILE,
    Optimization,
    RuntimeName,
    Score,
    ServedBy,
    relative_loss,
    smallest_that_holds,
)
from windvane.core.task import Quality, Task, make_task
from windvane.ports.artifacts import Artifact, Artifacts
from windvane.ports.control_store import ControlStore, VersionRecord
from windvane.ports.learner import TrainingData
from windvane.ports.optimizer import CannotOptimize, Optimizer
from windvane.ports.runtime import (
    CannotLoad,
    RemotePredictor,
    Runtime,
    read_inputs,
    read_served,
)
from windvane.usecases.accept_candidate import Applied, Servable
from windvane.usecases.find_version import find_version
from windvane.usecases.load_candidate import LoadedCandidate


@dataclass(frozen=True, slots=True)
class VariantServices:
    """``runtimes`` serve versions while they are measured; ``optimizers`` by the runtime whose
    files they change."""

    artifacts: Artifacts
    runtimes: Runtime
    optimizers: Mapping[RuntimeName, Optimizer]


class Variants:
    """One version loaded (``original``), and what is made of it, in a folder of its own."""

    def __init__(
        self,
        services: VariantServices,
        about: Applied,
        record: VersionRecord,
        folder: Path,
        *,
        trusted: bool,
    ) -> None:
        self._services = services
        self._contract = about.file.contract
        self._folder = folder
        self._made = 0
        self._opened: list[LoadedCandidate] = []
        self._artifact = services.artifacts.open(record.artifact, record.manifest)
        self.record = record
        self.trusted = trusted
        self.task: Task = make_task(self._contract.task)
        self.original = self._load(Path(record.artifact), self._artifact)

    def close(self) -> None:
        for one in list(self._opened):
            self.release(one)

    def release(self, one: LoadedCandidate) -> None:
        """It answers no more; its files stay until all is closed."""
        self._opened.remove(one)
        one.predictor.close()

    def make(self, how: Optimization, rounds: int = 0) -> LoadedCandidate:
        """The version made cheaper, of ``rounds`` rounds where it is pruned. Raises
        CannotOptimize."""
        served, body, optimizer = self._parts()
        if how is Optimization.PRUNE:
            made, by = optimizer.prune(body, served, rounds)
        else:
            made, by = optimizer.cast(body, served, how), served
        self._made += 1
        folder = self._folder / str(self._made)
        folder.mkdir()
        (folder / by.file).write_bytes(made)
        (folder / INPUTS_FILE).write_bytes(msgspec.json.encode(self.original.inputs))
        (folder / SERVED_FILE).write_bytes(msgspec.json.encode(by))
        manifest = self._services.artifacts.seal(folder)
        try:
            return self._load(folder, self._services.artifacts.open(str(folder), manifest))
        except CannotLoad as error:
            raise CannotOptimize(
                f"{how.value}: what came out does not load: {error.message}"
            ) from (error)

    def rounds(self) -> int:
        """Rounds of trees that the version uses. Raises CannotOptimize where it has none."""
        served, body, optimizer = self._parts()
        return optimizer.rounds(body, served)

    def fewest_rounds(
        self, data: TrainingData, alpha: float, allowed: float, on_step: Callable[[str], None]
    ) -> int:
        """The fewest rounds from which on no more than ``allowed`` of the metric on ``data`` is
        lost. Raises CannotOptimize where that takes all of them."""
        total = self.rounds()
        on_step(f"choose how many of {total:,} rounds are enough")
        before = score_of(self.original, data, self.task, alpha)

        def lost(rounds: int) -> float:
            made = self.make(Optimization.PRUNE, rounds)
            try:
                return relative_loss(before, score_of(made, data, self.task, alpha))
            finally:
                self.release(made)

        rounds = smallest_that_holds(total, lambda k: lost(k) <= allowed)
        if rounds >= total:
            cost = f"; {total - 1:,} lose {lost(total - 1):.2%}" if total > 1 else ""
            raise CannotOptimize(
                f"prune: all {total:,} rounds are needed to lose no more than {allowed:.2%} of "
                f"{before.metric} on {data.rows:,} rows{cost}",
                hint="allow more with --loss",
            )
        return rounds

    def _parts(self) -> tuple[ServedBy, bytes, Optimizer]:
        served = self.original.served
        optimizer = self._services.optimizers.get(served.runtime)
        if optimizer is None:
            known = ", ".join(sorted(self._services.optimizers))
            raise CannotOptimize(
                f"{served.runtime.value} runs its files as they are; those of {known} can be made "
                "cheaper",
                hint="register it so that it converts to a graph: `windvane explain-runtime` says "
                "why it did not",
            )
        return served, self._artifact.read(served.file), optimizer

    def _load(self, folder: Path, artifact: Artifact) -> LoadedCandidate:
        predictor = self._services.runtimes.load(artifact, self._contract, trusted=self.trusted)
        if isinstance(predictor, RemotePredictor):
            predictor.close()
            raise CannotLoad("another server executes it: it is made cheaper there")
        served = read_served(artifact)
        inputs = read_inputs(artifact, self._contract.names)
        loaded = LoadedCandidate(
            folder, artifact.manifest, served, inputs, self._contract, predictor
        )
        self._opened.append(loaded)
        return loaded


@contextmanager
def open_variants(
    services: VariantServices, store: ControlStore, about: Applied, version: str | None
) -> Iterator[Variants]:
    """Of ``version``, else of the champion, else of the latest. Raises UnknownName, Untrusted,
    CannotLoad, ManifestMismatch."""
    with store.read() as tx:
        record = find_version(tx, about.model, version)
        trusted = record.manifest in {trust.manifest for trust in tx.trusted()}
    with tempfile.TemporaryDirectory() as folder:
        found = Variants(services, about, record, Path(folder), trusted=trusted)
        try:
            yield found
        finally:
            found.close()


def score_of(one: Servable, data: TrainingData, task: Task, alpha: float) -> Score:
    """By the task's metric. Raises CannotOptimize where the rows do not tell it."""
    return as_score(task.quality(one.predict(data.columns), data.labels, alpha))


def as_score(found: Quality) -> Score:
    """Raises CannotOptimize where its rows do not tell it."""
    if found.missing:
        raise CannotOptimize(
            f"{found.metric} cannot be told of {found.rows:,} rows: {found.missing}",
            hint="give more rows, or an earlier --holdout-from",
        )
    return Score(found.metric, found.value, found.larger_is_better, found.rows)


def halves(data: TrainingData) -> tuple[TrainingData, TrainingData]:
    """The earlier and the later half of rows by time: one to choose by, one to measure on, for
    what is chosen for its good number on some rows is worse on others."""
    order = data.times.argsort(kind="stable").argsort(kind="stable")
    early = order < data.rows // 2
    return data.take(early), data.take(~early)

"""From a candidate's files to a folder that answers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from windvane.core.acceptance import ParityReport, compare_outputs
from windvane.core.errors import WindvaneError
from windvane.core.execution import (
    DATA_ONLY,
    ENVIRONMENT_FILE,
    INPUTS_FILE,
    RUNTIMES,
    SANDBOXED,
    SERVED_FILE,
    Environment,
    Offer,
    RuntimeName,
    ServedBy,
    TensorInput,
)
from windvane.core.signature import FeatureSpec, FeatureType, InputSpec, OutputMapping, Transform
from windvane.core.task import Contract, Outputs, by_row, make_task
from windvane.inference.failures import sentence_of
from windvane.ports.artifacts import Artifact, Artifacts
from windvane.ports.learner import Columns, TrainingData
from windvane.ports.library import Converted, LibraryModel, ModelDescription, ModelLibrary
from windvane.ports.runtime import (
    CannotLoad,
    Predictor,
    Runtime,
    RuntimeFailed,
    Untrusted,
)
from windvane.ports.source import DataFile, Readers, Source, SourceCandidate
from windvane.usecases.compare_library import output_shapes, raw_rows
from windvane.usecases.load_version import answer_encoded, load_to_ask
from windvane.usecases.map_inputs import ModelInputs, map_inputs
from windvane.usecases.map_outputs import map_columns, map_outputs
from windvane.usecases.registration_options import BadInputs, RegistrationOptions

_GAPS = 50
_FIRST = 50
TRUST = "if you know where it comes from, --trust lets it run now, in a process of its own"


@dataclass(frozen=True, slots=True, eq=False)
class LoadedCandidate:
    """A candidate that answers: its folder of files, and the predictor over them. ``library`` is
    the original by its own library; ``splits`` those of its trees; ``packages`` what it says that
    it was made with."""

    folder: Path
    manifest: str
    served: ServedBy
    inputs: Sequence[InputSpec]
    contract: Contract
    predictor: Predictor
    library: LibraryModel | None = None
    splits: Sequence[tuple[int, float]] = ()
    packages: Mapping[str, str] = field(default_factory=dict[str, str])
    no_library: str = ""

    def used(self, schema: Sequence[FeatureSpec]) -> list[FeatureSpec]:
        """The features of ``schema`` that it takes."""
        names = {spec.feature for spec in self.inputs}
        return [spec for spec in schema if spec.name in names]

    def predict(self, columns: Columns) -> Outputs:
        rows = zip(*(columns[name] for name in self.contract.names), strict=True)
        return self.predict_rows(list(rows))

    def predict_rows(self, rows: Sequence[Sequence[Any]]) -> Outputs:
        """Outputs of rows in the contract's order."""
        return self.answer([self.predictor.encode(row) for row in rows])

    def answer(self, rows: Sequence[Sequence[Any]]) -> Outputs:
        """Outputs of encoded rows, some at once."""
        return answer_encoded(self.predictor, self.contract, rows)

    def write(self, folder: Path) -> None:
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)


@dataclass(slots=True)
class CandidatesFound:
    """What was seen so far: offers with what keeps them back, and the candidates that answer.
    ``converted`` compares a graph with the model that it was made from."""

    offers: list[Offer] = field(default_factory=list[Offer])
    loaded: dict[RuntimeName, LoadedCandidate] = field(
        default_factory=dict[RuntimeName, LoadedCandidate]
    )
    converted: ParityReport | None = None
    untrusted: Untrusted | None = None

    def add(self, runtime: RuntimeName, runs_code: bool, missing: str = "") -> None:
        self.offers.append(Offer(runtime, runs_code, missing))


class CandidateLoader:
    """Turns candidates into folders that answer, in a folder of its own."""

    def __init__(
        self,
        artifacts: Artifacts,
        runtimes: Runtime,
        libraries: ModelLibrary,
        readers: Readers,
        contract: Contract,
        tolerance: float,
        options: RegistrationOptions,
        folder: Path,
        environment: Environment | None = None,
    ) -> None:
        """``environment``: the packages of its own that a candidate runs with; then none is
        served by the gateway's own process."""
        self._artifacts = artifacts
        self._runtimes = runtimes
        self._libraries = libraries
        self._readers = readers
        self._contract = contract
        self._task = make_task(contract.task)
        self._tolerance = tolerance
        self._options = options
        self._folder = folder
        self._environment = environment
        self._opened: list[Predictor | LibraryModel] = []

    def close(self) -> None:
        for one in self._opened:
            one.close()

    def look(
        self,
        candidate: SourceCandidate,
        source: Source,
        sample: TrainingData,
        found: CandidatesFound,
        on_step: Callable[[str], None],
    ) -> None:
        """Add the candidate's offer, and that of its conversion."""
        runtime = candidate.runtime
        apart = runtime in SANDBOXED
        if candidate.missing:
            found.add(runtime, apart, candidate.missing)
            return
        if self._environment is not None and not apart:
            found.add(runtime, False, "the gateway's process would run it, with its own packages")
            return
        if apart and found.loaded:  # a faster one answers already: leave the code alone
            found.add(runtime, True)
            return
        try:
            if not apart:
                found.loaded[runtime] = self._data(candidate, source)
                found.add(runtime, False)
                return
            runs_code = self._apart(candidate, source, sample, found, on_step)
        except Untrusted as error:
            # The first says it best: it is of a native flavour, where there is one.
            found.untrusted = found.untrusted or Untrusted(
                error.message.replace(_own_name(candidate.path), _shown_name(candidate, source)),
                hint=TRUST,
            )
            found.add(runtime, True, error.message)
        except (CannotLoad, RuntimeFailed) as error:
            found.add(runtime, apart, error.message)
        else:
            found.add(runtime, runs_code)
            if RUNTIMES[runtime].converts and self._environment is None:
                on_step("convert to a graph, and compare")
                missing = self._convert(found, found.loaded[runtime], sample)
                found.add(RuntimeName.ONNX, False, missing)

    def _data(self, candidate: SourceCandidate, source: Source) -> LoadedCandidate:
        runtime, options = candidate.runtime, self._options
        read = self._readers[runtime](candidate.path)
        name = RUNTIMES[runtime].file
        folder = self._fresh(runtime.value)
        (folder / name).write_bytes(read.body)
        unnamed = not read.unplaced and not read.vocabularies
        codes = RUNTIMES[runtime].category_codes and unnamed
        model_inputs = ModelInputs.of(read, read.features or source.features, codes=codes)
        inputs = map_inputs(self._contract, model_inputs, options)
        shapes = read.output_shapes
        outputs = (
            map_outputs(self._task, shapes, read.classes, read.transform, options)
            if shapes
            else map_columns(
                self._task, read.outputs, read.classes, read.transform, options, options.output
            )
        )
        served = ServedBy(
            runtime, name, self._task.kind, outputs, rounds=options.rounds or read.rounds,
            tensors=_tensors(self._contract, inputs, read),
        )  # fmt: skip
        loaded = self._load(folder, served, inputs)
        library, why = self._library_of(candidate, served)
        return replace(
            loaded, library=library, no_library=why, splits=read.splits, packages=read.packages
        )

    def _library_of(
        self, candidate: SourceCandidate, served: ServedBy
    ) -> tuple[LibraryModel | None, str]:
        """The original file by its own Python library; else why there is none."""
        missing = self._options.missing
        folder = self._fresh(f"{candidate.runtime.value}-original")
        name = _own_name(candidate.path)
        shutil.copyfile(candidate.path, folder / name)
        original = ServedBy(
            candidate.runtime,
            name,
            served.task,
            rounds=self._options.rounds,
            settings={} if missing is None else {"missing": repr(missing)},
        )
        artifact = self._artifact(folder, self._artifacts.seal(folder))
        try:
            opened = self._libraries.open(artifact, original, trusted=False)
        except CannotLoad as error:
            return None, error.message
        self._opened.append(opened)
        return opened, ""

    def _apart(
        self,
        candidate: SourceCandidate,
        source: Source,
        sample: TrainingData,
        found: CandidatesFound,
        on_step: Callable[[str], None],
    ) -> bool:
        """Load it in a process of its own; whether that took trust."""
        runtime, options = candidate.runtime, self._options
        folder = self._fresh(runtime.value)
        name = _own_name(candidate.path)
        if candidate.path.is_dir():
            copy_plain(candidate.path, folder / name)
        else:
            shutil.copyfile(candidate.path, folder / name)
        own = ""
        if self._environment is not None:
            own = self._environment.id
            (folder / ENVIRONMENT_FILE).write_bytes(msgspec.json.encode(self._environment))
        served = ServedBy(runtime, name, self._task.kind, rounds=options.rounds, environment=own)
        artifact = self._artifact(folder, self._artifacts.seal(folder))
        data = runtime in DATA_ONLY and not own
        runs_code = not data and self._libraries.runs_code(artifact, served)
        if options.trust or not runs_code:  # else it is refused, and nothing is loaded
            on_step(f"load {_shown_name(candidate, source)} in a process of its own")
        library = self._libraries.open(artifact, served, trusted=options.trust)
        self._opened.append(library)
        about = library.about
        table = self._is_table(runtime, about)
        names = about.features or source.features
        codes = about.kind.startswith("CatBoost")  # it takes whole numbers as categories
        model_inputs = ModelInputs(names, _types(about, names), texts=table, codes=codes)
        inputs = map_inputs(self._contract, model_inputs, options)
        outputs = self._outputs_of(library, inputs, sample, table=table)
        served = replace(served, outputs=outputs, table=table)
        loaded = self._load(folder, served, inputs)
        found.loaded[runtime] = replace(loaded, library=library)
        return runs_code

    def _is_table(self, runtime: RuntimeName, about: ModelDescription) -> bool:
        """Whether it takes a frame: where it knows its columns' names, or where some of its
        inputs are no numbers."""
        taken = self._taken(about)
        if any(spec.type is FeatureType.VECTOR for spec in taken):
            return RUNTIMES[runtime].vector_columns
        if RUNTIMES[runtime].takes_table:
            return True
        if not RUNTIMES[runtime].may_take_table:
            return False
        words = (FeatureType.CATEGORY, FeatureType.TEXT)
        given = self._options.vocabulary
        return bool(about.categories) or any(
            spec.type in words and spec.name not in given for spec in taken
        ) or (bool(about.features) and about.kind in {"Pipeline", "ColumnTransformer"})  # fmt: skip

    def _taken(self, about: ModelDescription) -> list[FeatureSpec]:
        """The contract's features that the model takes, as far as anybody says; a contract may
        have others, for other versions."""
        features = self._contract.features
        if self._options.inputs:
            return [spec for spec in features if spec.name in self._options.inputs]
        own = self._options.names
        known = [spec for spec in features if own.get(spec.name, spec.name) in about.features]
        return known or list(features)

    def _outputs_of(
        self, library: LibraryModel, inputs: Sequence[InputSpec], sample: TrainingData, *,
        table: bool,
    ) -> tuple[OutputMapping, ...]:  # fmt: skip
        """The task's outputs among those that the model gives for a few real rows."""
        names = self._contract.names
        columns = [sample.columns[name][:_FIRST] for name in names]
        rows = list(zip(*columns, strict=True))
        whole = [row for row in rows if None not in row] or rows
        raw = raw_rows(
            self._contract, inputs, whole, table=table, coded=frozenset(self._options.vocabulary)
        )
        shapes = output_shapes(library.answer(raw))
        return map_outputs(self._task, shapes, library.about.classes, Transform.NONE, self._options)

    def _convert(
        self, found: CandidatesFound, native: LoadedCandidate, sample: TrainingData
    ) -> str:
        """Load the native candidate's graph if it gives the same answers; else why not."""
        if not self._options.convert:
            return "not wanted (--no-convert)"
        texts = self._texts(native.inputs)
        if texts:
            return f"{', '.join(texts)} come as words, a graph takes numbers (--vocabulary)"
        rows_ = zip(*(sample.columns[name] for name in self._contract.names), strict=True)
        encoded = [_flat(native.predictor.encode(row)) for row in rows_]
        rows = np.array(encoded, np.float64).reshape(len(encoded), -1)
        assert native.library is not None
        made = native.library.convert(rows)
        if made.missing:
            return made.missing
        folder = self._fresh(RuntimeName.ONNX.value)
        name = RUNTIMES[RuntimeName.ONNX].file
        (folder / name).write_bytes(made.graph)
        try:
            served = replace(native.served, runtime=RuntimeName.ONNX, file=name, table=False)
            graph = self._load(folder, served, native.inputs)
            parity = self._compare(native, graph, rows, made)
        except WindvaneError as error:
            return f"its graph does not answer: {error.message}"
        except Exception as error:  # whatever ONNX Runtime finds wrong as it runs
            return f"its graph does not run: {sentence_of(error)}"
        if parity.moved:
            changed = parity.changed_labels
            return (
                f"its graph differs by {parity.max_difference:.2g} on {parity.rows:,} real rows "
                f"and by {parity.probe_max_difference:.2g} on {parity.probes:,} probes around "
                f"splits and gaps: {parity.moved:,} beyond {self._tolerance:.2g}"
                f"{' of their spread' if parity.of_spread else ''}"
                f"{f', {changed:,} with another label' if changed else ''}"
            )
        found.loaded[RuntimeName.ONNX] = replace(graph, library=native.library)
        found.converted = parity
        return ""

    def _compare(
        self,
        native: LoadedCandidate,
        graph: LoadedCandidate,
        rows: NDArray[np.float64],
        made: Converted,
    ) -> ParityReport:
        gaps = self._with_gaps(native, rows)
        probes = np.concatenate([made.probes, gaps])
        return compare_outputs(
            (_one(native.answer(rows.tolist())), _one(graph.answer(rows.tolist()))),
            (_one(native.answer(probes.tolist())), _one(graph.answer(probes.tolist()))),
            self._tolerance,
            has_unit=self._task.loss_is_relative,
        )

    def _texts(self, inputs: Sequence[InputSpec]) -> list[str]:
        kinds = {one.name: one.type for one in self._contract.features}
        words = (FeatureType.CATEGORY, FeatureType.TEXT, FeatureType.IMAGE)
        return [s.feature for s in inputs if s.vocabulary is None and kinds[s.feature] in words]

    def _with_gaps(self, native: LoadedCandidate, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Real rows with one value missing, for each input that may be, as long as the model
        itself takes them."""
        nullable = {spec.name for spec in self._contract.features if spec.nullable}
        gaps = [np.empty((0, rows.shape[1]))]
        if rows.shape[1] == len(native.inputs):
            for i, spec in enumerate(native.inputs):
                if spec.feature in nullable:
                    some = rows[:_GAPS].copy()
                    some[:, i] = np.nan
                    gaps.append(some)
        found = np.concatenate(gaps)
        try:
            native.answer(found.tolist())
        except RuntimeFailed:
            return gaps[0]
        return found

    def _load(self, folder: Path, served: ServedBy, inputs: Sequence[InputSpec]) -> LoadedCandidate:
        (folder / INPUTS_FILE).write_bytes(msgspec.json.encode(inputs))
        (folder / SERVED_FILE).write_bytes(msgspec.json.encode(served))
        manifest = self._artifacts.seal(folder)
        artifact = self._artifact(folder, manifest)
        predictor = load_to_ask(
            self._runtimes, artifact, self._contract, trusted=self._options.trust
        )
        self._opened.append(predictor)
        return LoadedCandidate(folder, manifest, served, inputs, self._contract, predictor)

    def _artifact(self, folder: Path, manifest: str) -> Artifact:
        return self._artifacts.open(str(folder), manifest)

    def _fresh(self, name: str) -> Path:
        folder = self._folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder


def _types(about: ModelDescription, names: Sequence[str]) -> dict[int, str]:
    """What a model says of each column; nothing where it names no categories at all, for a
    pipeline may well take texts."""
    if not about.categories:
        return {}
    return {i: "category" if name in about.categories else "number" for i, name in enumerate(names)}


def _tensors(
    contract: Contract, inputs: Sequence[InputSpec], read: DataFile
) -> tuple[TensorInput, ...]:
    """The features that make the columns of each of a graph's inputs, in their order. Raises
    BadInputs."""
    if not read.tensors:
        return ()
    lengths = {spec.name: max(1, spec.length) for spec in contract.features}
    waiting = list(range(len(inputs)))
    out: list[TensorInput] = []
    for name, kind, width in read.tensors:
        places: list[int] = []
        held = 0
        while waiting and (held < width or (width == 0 and not places)):
            held += lengths[inputs[waiting[0]].feature]
            places.append(waiting.pop(0))
        if not places or (width and held != width):
            raise BadInputs(
                f"the graph's input {name!r} has {width or 'some'} columns, the features given "
                f"for it have {held}",
                hint="name the features of all inputs in the graph's order: --inputs NAME,NAME,…",
            )
        out.append(TensorInput(name, kind, tuple(places)))
    if waiting:
        rest = ", ".join(inputs[i].feature for i in waiting)
        raise BadInputs(f"no input of the graph is left for {rest}")
    return tuple(out)


def _shown_name(candidate: SourceCandidate, source: Source) -> str:
    """What the user calls it: a folder may lie where it was downloaded to."""
    return source.name or candidate.path.name


def _own_name(path: Path) -> str:
    """What a file is called in a version's folder: all of its endings are kept."""
    if path.is_dir():
        return "source"
    packed = path.suffix in {".gz", ".bz2", ".xz"}
    return "model" + "".join(path.suffixes[-2:] if packed else path.suffixes[-1:])


def _one(outputs: Outputs) -> NDArray[np.float64]:
    """Every output of a row side by side."""
    if len(outputs) == 1:
        return outputs[0]
    return np.concatenate([by_row(o) for o in outputs], axis=1)


def _flat(row: Sequence[Any]) -> list[Any]:
    flat: list[Any] = []
    for value in row:
        flat += value if isinstance(value, list) else [value]
    return flat


def copy_plain(source: Path, target: Path) -> None:
    """Files only: a link could bring in what lies outside of the folder."""
    for path in sorted(source.rglob("*")):
        if path.is_symlink():
            raise CannotLoad(f"{path.relative_to(source)} is a link", hint="put the file itself")
        to = target / path.relative_to(source)
        if path.is_dir():
            to.mkdir(parents=True, exist_ok=True)
        else:
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to)

"""From a model that was made elsewhere to a registered version.

Look into it, choose the runtime, measure it on real rows, judge it, register it. A model that
may be a program is only ever run in a process of its own, and only if it is trusted or known
to be data.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from windvane.core.acceptance import CandidateFacts, ParityReport, compare_outputs
from windvane.core.errors import WindvaneError, did_you_mean
from windvane.core.execution import (
    INPUTS_FILE,
    SANDBOXED,
    SERVED_FILE,
    Offer,
    RuntimeChoice,
    RuntimeName,
    ServedBy,
    choose_runtime,
)
from windvane.core.signature import FeatureSpec, FeatureType, InputSpec
from windvane.core.task import (
    BadOutputs,
    Contract,
    ModelOutputs,
    Outputs,
    Task,
    make_task,
)
from windvane.ports.artifacts import Artifacts
from windvane.ports.converter import Converter, Described
from windvane.ports.learner import Columns, TrainingData
from windvane.ports.runtime import (
    CannotLoad,
    Predictor,
    RemotePredictor,
    Runtime,
    RuntimeFailed,
    Untrusted,
)
from windvane.ports.source import DataFile, Readers, Source, SourceCandidate
from windvane.usecases.accept_candidate import (
    Applied,
    Evaluation,
    Proposal,
    Stores,
    Trained,
    accept,
    applied,
    check_data,
    duplicates,
    evaluate,
    some_rows,
    split_by_time,
)

_PARITY_ROWS = 2_000
_AT_ONCE = 1_000
_GAPS = 50
_TRUST = "if you know where it comes from, --trust lets it run now, in a process of its own"
_DATA_FILES = {
    RuntimeName.ONNX: "model.onnx",
    RuntimeName.XGBOOST: "model.ubj",
    RuntimeName.LIGHTGBM: "model.txt",
}


class BadInputs(WindvaneError):
    """The model's inputs cannot be told from the features of the model's file."""

    code: ClassVar[str] = "REG-101"
    hint = "name them in the model's order: --inputs NAME,NAME,…"


@dataclass(frozen=True, slots=True)
class RegistrationServices:
    """What registering needs beside the stores: ``runtimes`` serves the candidate while it is
    measured, ``converter`` looks into programs, ``readers`` into files that are data."""

    stores: Stores
    artifacts: Artifacts
    runtimes: Runtime
    converter: Converter
    readers: Readers


@dataclass(frozen=True, slots=True)
class RegistrationOptions:
    """What a person adds to the files. ``trust``: they may run code, in their own process.

    ``inputs``: features in the model's order, where the model does not name them itself.
    ``vocabulary``: a category's place in its list is what the model was trained on.
    ``output`` names one of several outputs, ``positive`` the column of the positive label,
    ``classes`` the model's labels in their order; ``logits``: its outputs are log-odds.
    ``missing``: a number that stands for none. ``rounds``: of boosted trees, those that are used.
    ``convert``: an ONNX graph is tried.
    """

    trust: bool = False
    inputs: tuple[str, ...] = ()
    vocabulary: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    unknown: str = "null"
    output: str = ""
    positive: int | None = None
    logits: bool = False
    classes: tuple[str, ...] = ()
    missing: float | None = None
    rounds: int = 0
    convert: bool = True
    holdout_from: float | None = None
    lineage: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, eq=False)
class _Loaded:
    """A candidate that answers: its folder of files, and the predictor over them."""

    folder: Path
    manifest: str
    served: ServedBy
    inputs: Sequence[InputSpec]
    contract: Contract
    predictor: Predictor

    def predict(self, columns: Columns) -> Outputs:
        rows = zip(*(columns[name] for name in self.contract.names), strict=True)
        return self.answer([self.predictor.encode(row) for row in rows])

    def answer(self, rows: Sequence[Sequence[Any]]) -> Outputs:
        """Outputs of encoded rows, some at once."""
        parts = [
            self.predictor.predict(rows[i : i + _AT_ONCE]) for i in range(0, len(rows), _AT_ONCE)
        ]
        if not parts:
            return [np.empty((0, *s.shape)) for s in make_task(self.contract.task).outputs]
        return [np.concatenate(found) for found in zip(*parts, strict=True)]

    def write(self, folder: Path) -> None:
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)


@dataclass(slots=True)
class _Found:
    """What was seen so far: offers with what keeps them back, and the candidates that answer."""

    offers: list[Offer] = field(default_factory=list[Offer])
    loaded: dict[RuntimeName, _Loaded] = field(default_factory=dict[RuntimeName, _Loaded])
    parity: ParityReport | None = None
    untrusted: Untrusted | None = None

    def add(self, runtime: RuntimeName, runs_code: bool, missing: str = "") -> None:
        self.offers.append(Offer(runtime, runs_code, missing))


def register_version(
    services: RegistrationServices,
    model: str,
    source: Source,
    data: TrainingData,
    options: RegistrationOptions,
    on_step: Callable[[str], None] = lambda _: None,
) -> Trained:
    """The registered version and the verdict that let it in.

    Raises BadTrainingData, BadInputs, BadOutputs, CandidateRefused, Untrusted, CannotLoad.
    """
    about = applied(services.stores.store, model)
    on_step("check the data")
    check_data(about.file, data)
    task = make_task(about.file.contract.task)
    past, holdout = split_by_time(data, options.holdout_from, task)
    del past  # the model has learned from rows of its own
    with _open_loader(services, about, options) as loader:
        on_step("look into the files")
        found = _Found()
        for candidate in source.candidates:
            loader.look(candidate, source, some_rows(holdout, _PARITY_ROWS), found, on_step)
        choice = choose_runtime(found.offers)
        if choice is None:
            raise found.untrusted or _nothing(found.offers)
        chosen = found.loaded[choice.runtime]
        on_step(f"evaluate {choice.runtime.value} on {holdout.rows:,} later rows")
        _check_outputs(task, chosen.predict(some_rows(holdout, _PARITY_ROWS).columns))
        evaluation = evaluate(chosen, holdout, task, about.policy.alpha)
        parity = found.parity if choice.runtime is RuntimeName.ONNX else None
        offered = _proposal(about, chosen, choice, data, parity, evaluation, options)
        return accept(services.stores, about, data, offered, on_step)


def _proposal(
    about: Applied,
    chosen: _Loaded,
    choice: RuntimeChoice,
    data: TrainingData,
    parity: ParityReport | None,
    evaluation: Evaluation,
    options: RegistrationOptions,
) -> Proposal:
    names = {spec.feature for spec in chosen.inputs}
    return Proposal(
        candidate=chosen,
        used=[spec for spec in about.file.schema if spec.name in names],
        facts=CandidateFacts(
            data.rows, duplicates(data), evaluation.quality, evaluation.naive, parity
        ),
        metrics=evaluation.metrics,
        params={"registered": "from files", "runtime": choice.runtime.value},
        tags=options.lineage,
        told={"runtime": msgspec.to_builtins(choice)},
    )


def _nothing(offers: Sequence[Offer]) -> CannotLoad:
    told = "; ".join(f"{offer.runtime.value}: {offer.missing}" for offer in offers)
    return CannotLoad(f"nothing here can serve it: {told}", hint="mend one of these")


def _check_outputs(task: Task, outputs: Outputs) -> None:
    rows = task.rows(outputs)
    wrong = [i for i, row in enumerate(rows) if row is None]
    if wrong:
        said = task.wrong(outputs, wrong[0])
        raise BadOutputs(f"{len(wrong):,} of {len(rows):,} rows are not what it promises: {said}")
    said = task.suspicious(outputs)
    if said:
        raise BadOutputs(f"{len(rows):,} rows: {said}")


@contextmanager
def _open_loader(
    services: RegistrationServices, about: Applied, options: RegistrationOptions
) -> Iterator[_Loader]:
    with tempfile.TemporaryDirectory() as folder:
        loader = _Loader(services, about, options, Path(folder))
        try:
            yield loader
        finally:
            loader.close()


class _Loader:
    """Turns candidates into folders that answer, in a folder of its own."""

    def __init__(
        self,
        services: RegistrationServices,
        about: Applied,
        options: RegistrationOptions,
        folder: Path,
    ) -> None:
        self._services = services
        self._contract = about.file.contract
        self._task = make_task(self._contract.task)
        self._schema = about.file.schema
        self._names = list(self._contract.names)
        self._tolerance = about.policy.parity_tolerance
        self._options = options
        self._folder = folder
        self._opened: list[Predictor] = []

    def close(self) -> None:
        for predictor in self._opened:
            predictor.close()

    def look(
        self, candidate: SourceCandidate, source: Source, sample: TrainingData, found: _Found,
        on_step: Callable[[str], None],
    ) -> None:  # fmt: skip
        """Add the candidate's offer, and that of its conversion."""
        runtime = candidate.runtime
        program = runtime in SANDBOXED
        if candidate.missing:
            found.add(runtime, program, candidate.missing)
            return
        if program and found.loaded:  # a faster one answers already: leave the code alone
            found.add(runtime, True)
            return
        try:
            if not program:
                found.loaded[runtime] = self._data(candidate, source)
                found.add(runtime, False)
                return
            runs_code = self._program(candidate, source, found)
        except Untrusted as error:
            found.untrusted = Untrusted(error.message, hint=_TRUST)
            found.add(runtime, True, error.message)
        except (CannotLoad, RuntimeFailed) as error:
            found.add(runtime, program, error.message)
        else:
            found.add(runtime, runs_code)
            if runtime is RuntimeName.SKLEARN:
                on_step("convert and check parity")
                missing = self._convert(found, sample)
                found.add(RuntimeName.ONNX, False, missing)

    def _data(self, candidate: SourceCandidate, source: Source) -> _Loaded:
        read = self._services.readers[candidate.runtime](candidate.path)
        name = _DATA_FILES[candidate.runtime]
        folder = self._fresh(candidate.runtime.value)
        (folder / name).write_bytes(read.body)
        inputs = self._inputs(read.features or source.features, read)
        served = self._served(candidate.runtime, name, read)
        return self._load(folder, served, inputs)

    def _program(self, candidate: SourceCandidate, source: Source, found: _Found) -> bool:
        """Load it apart; whether that took trust."""
        trust, converter = self._options.trust, self._services.converter
        folder = self._fresh(candidate.runtime.value)
        name = "source" if candidate.path.is_dir() else f"model{candidate.path.suffix}"
        if candidate.path.is_dir():
            _copy_plain(candidate.path, folder / name)
        else:
            shutil.copyfile(candidate.path, folder / name)
        served = self._served(candidate.runtime, name, DataFile(b""))
        artifact = self._services.artifacts.open(str(folder), self._services.artifacts.seal(folder))
        runs_code = converter.runs_code(artifact, served)
        said = converter.describe(artifact, served, trusted=trust)
        features = said.features or source.features
        inputs = self._inputs(features, DataFile(b""), words=True)
        served = replace(served, table=self._as_table(served, said, inputs))
        if not served.table:
            inputs = self._inputs(features, DataFile(b""))
        about = DataFile(b"", classes=said.classes)
        served = replace(self._served(candidate.runtime, name, about), table=served.table)
        found.loaded[candidate.runtime] = self._load(folder, served, inputs)
        return runs_code

    def _as_table(self, served: ServedBy, said: Described, inputs: Sequence[InputSpec]) -> bool:
        if served.runtime is RuntimeName.PYFUNC:
            return True
        if served.runtime is not RuntimeName.SKLEARN or not said.features:
            return False
        words = any(self._is_word(spec) for spec in inputs)
        return words or said.kind in {"Pipeline", "ColumnTransformer"}

    def _is_word(self, spec: InputSpec) -> bool:
        kinds = {one.name: one.type for one in self._schema}
        return spec.vocabulary is None and kinds[spec.feature] is FeatureType.CATEGORY

    def _convert(self, found: _Found, sample: TrainingData) -> str:
        """Load the native candidate's graph if it gives the same answers; else why not."""
        native = found.loaded[RuntimeName.SKLEARN]
        if not self._options.convert:
            return "not wanted (--no-convert)"
        words = [spec.feature for spec in native.inputs if self._is_word(spec)]
        if words:
            return f"{', '.join(words)} come as words, a graph takes numbers (--vocabulary)"
        encoded = [
            native.predictor.encode(row)
            for row in zip(*(sample.columns[name] for name in self._names), strict=True)
        ]
        rows = np.array(encoded, np.float64).reshape(len(encoded), len(native.inputs))
        artifact = self._services.artifacts.open(str(native.folder), native.manifest)
        made = self._services.converter.convert(
            artifact, native.served, rows, trusted=self._options.trust
        )
        if made.missing:
            return made.missing
        folder = self._fresh(RuntimeName.ONNX.value)
        name = _DATA_FILES[RuntimeName.ONNX]
        (folder / name).write_bytes(made.graph)
        try:
            served = replace(native.served, runtime=RuntimeName.ONNX, file=name, table=False)
            graph = self._load(folder, served, native.inputs)
            probes = np.concatenate([made.probes, self._with_gaps(native, rows)])
            parity = compare_outputs(
                (native.answer(rows.tolist())[0], graph.answer(rows.tolist())[0]),
                (native.answer(probes.tolist())[0], graph.answer(probes.tolist())[0]),
                self._tolerance,
            )
        except WindvaneError as error:
            return f"its graph does not answer: {error.message}"
        except Exception as error:  # whatever ONNX Runtime finds wrong as it runs
            return f"its graph does not run: {str(error)[:200]}"
        if parity.moved:
            return (
                f"its graph differs by {parity.max_difference:.2g} on {parity.rows:,} real rows "
                f"and by {parity.probe_max_difference:.2g} on {parity.probes:,} probes around "
                f"splits and gaps: {parity.moved:,} beyond {self._tolerance:.2g}, "
                f"{parity.changed_labels:,} with another label"
            )
        found.loaded[RuntimeName.ONNX], found.parity = graph, parity
        return ""

    def _with_gaps(self, native: _Loaded, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Real rows with one value missing, for each input that may be, as long as the model
        itself takes them."""
        nullable = {spec.name for spec in self._schema if spec.nullable}
        gaps = [np.empty((0, rows.shape[1]))]
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

    def _load(self, folder: Path, served: ServedBy, inputs: Sequence[InputSpec]) -> _Loaded:
        (folder / INPUTS_FILE).write_bytes(msgspec.json.encode(inputs))
        (folder / SERVED_FILE).write_bytes(msgspec.json.encode(served))
        manifest = self._services.artifacts.seal(folder)
        artifact = self._services.artifacts.open(str(folder), manifest)
        predictor = self._services.runtimes.load(
            artifact, self._contract, trusted=self._options.trust
        )
        assert not isinstance(predictor, RemotePredictor)  # its files are here
        self._opened.append(predictor)
        return _Loaded(folder, manifest, served, inputs, self._contract, predictor)

    def _fresh(self, name: str) -> Path:
        folder = self._folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def _served(self, runtime: RuntimeName, file: str, read: DataFile) -> ServedBy:
        options = self._options
        said = ModelOutputs(
            columns=read.outputs,
            classes=options.classes or read.classes,
            source=options.output,
            transform=self._task.logits if options.logits else read.transform,
            positive=options.positive,
        )
        outputs = self._task.mappings(said)
        return ServedBy(
            runtime, file, self._task.kind, outputs, rounds=options.rounds or read.rounds
        )

    def _inputs(
        self, features: Sequence[str], read: DataFile, *, words: bool = False
    ) -> list[InputSpec]:
        """The model's inputs by the names that a person, the file or its metadata give."""
        options = self._options
        names = options.inputs or tuple(features)
        known: dict[str, FeatureSpec] = {spec.name: spec for spec in self._schema}
        if not names:
            raise BadInputs("the model does not name its inputs")
        for name in names:
            if name not in known:
                raise BadInputs(
                    f"the model's input {name!r} is no feature of the model's file",
                    hint=f"{did_you_mean(name, known)} {BadInputs.hint}",
                )
        if len(set(names)) != len(names):
            raise BadInputs("an input is named twice")
        for name in options.vocabulary:
            if name not in names:
                raise BadInputs(f"the vocabulary of {name!r} is of no input", hint="leave it out")
        inputs: list[InputSpec] = []
        for place, name in enumerate(names):
            missing = None if known[name].type is FeatureType.CATEGORY else options.missing
            own = read.vocabularies.get(place)
            if known[name].type is not FeatureType.CATEGORY:
                if own is not None:
                    raise BadInputs(
                        f"{name} is a {known[name].type} in the model's file, and a category "
                        f"with {len(own)} names in the model: {', '.join(own[:5])}",
                        hint="declare it as {type: category}",
                    )
                inputs.append(InputSpec(name, missing=missing))
                continue
            given = options.vocabulary.get(name) or own
            if given is None and not words:
                raise BadInputs(
                    f"{name} is a category, and the model takes numbers",
                    hint="give its categories in order: --vocabulary FILE.json",
                )
            vocabulary = None if given is None else tuple(given)
            inputs.append(InputSpec(name, vocabulary, options.unknown))
        return inputs


def _copy_plain(source: Path, target: Path) -> None:
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

"""From a model that was made elsewhere to a registered version.

Look into it, choose the runtime, compare what is served with what the model's own library
answers, measure it on real rows, judge it, register it. A model that may be a program is only
ever run in a process of its own, and only if it is trusted or known to be data.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from windvane.core.acceptance import CandidateFacts, ParityReport, RowGroup
from windvane.core.errors import WindvaneError
from windvane.core.execution import (
    RUNTIMES,
    SANDBOXED,
    Environment,
    Offer,
    Place,
    RuntimeChoice,
    RuntimeName,
    choose_runtime,
    package_name,
)
from windvane.core.signature import show
from windvane.core.task import BadOutputs, Outputs, Task, make_task
from windvane.inference.model_cache import plain_row, warm_up
from windvane.ports.artifacts import Artifacts
from windvane.ports.environments import EnvironmentStore
from windvane.ports.learner import TrainingData
from windvane.ports.library import ModelLibrary
from windvane.ports.runtime import CannotLoad, Runtime, Untrusted
from windvane.ports.source import Readers, Source
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
from windvane.usecases.compare_champion import ChampionLoader
from windvane.usecases.compare_library import AROUND_SPLITS, Asked, compare_library
from windvane.usecases.load_candidate import (
    TRUST,
    CandidateLoader,
    CandidatesFound,
    LoadedCandidate,
)
from windvane.usecases.map_outputs import map_outputs
from windvane.usecases.registration_options import (
    BadInputs,
    NoEnvironment,
    RegistrationOptions,
)

__all__ = [
    "BadInputs",
    "BadOutputs",
    "RegistrationOptions",
    "RegistrationServices",
    "register_version",
]

_SHOWN = 5
_ON_A_SERVER = "it runs on another server, which is asked for no rows that nobody sent"
_PARITY_ROWS = 1_000  # at least so many, where the holdout has them


@dataclass(frozen=True, slots=True)
class RegistrationServices:
    """What registering needs beside the stores: ``runtimes`` serves the candidate while it is
    measured, ``libraries`` asks models' own libraries, ``champions`` whoever answers now,
    ``readers`` look into files that are data, ``installed`` says the version of a package that
    is here ("" for none), ``environments`` keeps packages of models' own."""

    stores: Stores
    artifacts: Artifacts
    runtimes: Runtime
    libraries: ModelLibrary
    readers: Readers
    champions: ChampionLoader
    installed: Callable[[str], str] = lambda _: ""
    environments: EnvironmentStore | None = None


def register_version(
    services: RegistrationServices,
    model: str,
    source: Source,
    data: TrainingData,
    options: RegistrationOptions,
    on_step: Callable[[str], None] = lambda _: None,
) -> Trained:
    """The registered version and the verdict that let it in.

    Raises BadTrainingData, BadInputs, BadOutputs, CandidateRefused, Untrusted, CannotLoad,
    NoEnvironment, EnvironmentNotBuilt.
    """
    about = applied(services.stores.store, model)
    on_step("check the data")
    check_data(about.file, data)
    task = make_task(about.file.contract.task)
    _, holdout = split_by_time(data, options.holdout_from, task)  # it learned from rows of its own
    # What two programs answer may be compared on rows that one of them learned from.
    sample = some_rows(holdout if holdout.rows >= _PARITY_ROWS else data, _PARITY_ROWS)
    with (
        _open_environment(services, source, options, on_step) as environment,
        _open_loader(services, about, options, environment) as loader,
    ):
        on_step("look into the files")
        found = CandidatesFound()
        for candidate in source.candidates:
            loader.look(candidate, source, sample, found, on_step)
        choice = choose_runtime(found.offers)
        if choice is None:
            raise found.untrusted or _nothing(source, found.offers, services.installed)
        chosen = found.loaded[choice.runtime]
        parity = _parity(about, chosen, found, choice, sample, options, on_step)
        on_step(f"evaluate {choice.runtime.value} on {holdout.rows:,} later rows")
        _check_outputs(task, chosen.predict(sample.columns))
        _check_warm_up(task, chosen)
        evaluation = evaluate(chosen, holdout, task, about.policy.alpha)
        facts = CandidateFacts(
            data.rows,
            duplicates(data),
            evaluation.quality,
            evaluation.naive,
            parity,
            accepted=options.accept,
            over_naive=evaluation.over_naive,
        )
        if about.champion:
            on_step(f"compare with version {about.champion} on the same rows")
            facts = services.champions.compare(about, evaluation.outputs, holdout, facts)
        lineage = _lineage(services, source, chosen, environment)
        offered = _proposal(about, chosen, choice, facts, parity, evaluation, options, lineage)
        return accept(services.stores, about, data, offered, on_step)


def _parity(
    about: Applied,
    chosen: LoadedCandidate,
    found: CandidatesFound,
    choice: RuntimeChoice,
    sample: TrainingData,
    options: RegistrationOptions,
    on_step: Callable[[str], None],
) -> ParityReport:
    """What is served against the model's own library. A graph that was made here was compared
    around its splits as it was made."""
    library = chosen.library
    if library is None:
        return ParityReport(0, 0.0, 0, 0.0, 0, not_compared=chosen.no_library)
    contract = about.file.contract
    task = make_task(contract.task)
    transform = chosen.served.outputs[0].transform
    classes = library.about.classes
    answers = [name for name in found.loaded if name is choice.runtime or RUNTIMES[name].converts]
    asked = Asked(
        contract=contract,
        inputs=chosen.inputs,
        served=chosen.predict_rows,
        library=library,
        mapped=lambda shapes: map_outputs(task, shapes, classes, transform, options),
        table=any(found.loaded[name].served.table for name in answers),
        coded=frozenset(options.vocabulary),
        tolerance=about.policy.parity_tolerance,
    )
    report = compare_library(asked, sample.columns, chosen.splits, on_step)
    made = found.converted
    if made is not None and choice.runtime is RuntimeName.ONNX:
        around = RowGroup(AROUND_SPLITS, made.probes, made.probe_max_difference, made.moved)
        report = replace(
            report,
            probes=report.probes + made.probes,
            probe_max_difference=max(report.probe_max_difference, made.probe_max_difference),
            groups=(*report.groups, around),
        )
    return report.signed(options.accept, options.accepted_by)


def _lineage(
    services: RegistrationServices,
    source: Source,
    chosen: LoadedCandidate,
    environment: Environment | None,
) -> dict[str, Any]:
    """What the model says that it was made with, beside what it runs with."""
    recorded = {**chosen.packages, **source.packages}
    own = None if environment is None else environment.versions
    packages = {
        name: {
            "recorded": version,
            "installed": services.installed(name)
            if own is None
            else own.get(package_name(name), ""),
        }
        for name, version in sorted(recorded.items())
    }
    if environment is None:
        return {"packages": packages}
    return {"packages": packages, "environment": msgspec.to_builtins(environment)}


def _proposal(
    about: Applied,
    chosen: LoadedCandidate,
    choice: RuntimeChoice,
    facts: CandidateFacts,
    parity: ParityReport,
    evaluation: Evaluation,
    options: RegistrationOptions,
    more: Mapping[str, Any],
) -> Proposal:
    lineage: dict[str, Any] = {"runtime": msgspec.to_builtins(choice), **more}
    if parity.accepted:
        lineage["accepted"] = {"reason": parity.accepted, "by": parity.accepted_by}
    return Proposal(
        candidate=chosen,
        used=chosen.used(about.file.schema),
        facts=facts,
        evaluation=evaluation,
        params={"registered": "from files", "runtime": choice.runtime.value},
        tags=options.lineage,
        lineage=lineage,
        not_asked=_ON_A_SERVER if RUNTIMES[choice.runtime].place is Place.SERVER else "",
    )


def _nothing(
    source: Source, offers: Sequence[Offer], installed: Callable[[str], str]
) -> CannotLoad:
    reasons = "; ".join(f"{offer.runtime.value}: {offer.missing}" for offer in offers)
    name = source.name or "it"
    others = [
        f"{package} {recorded}, here is {installed(package) or 'none'}"
        for package, recorded in sorted(source.packages.items())
        if recorded != installed(package)
    ]
    if others:
        reasons += f"; it was made with {', '.join(others)}"
    hint = (
        "give it the packages that it was made with: --requirements FILE, or --own-environment"
        if others
        else "mend one of these; if other packages are needed: --requirements FILE"
    )
    return CannotLoad(f"nothing here can serve {name}: {reasons}", hint=hint)


def _check_outputs(task: Task, outputs: Outputs) -> None:
    rows = task.rows(outputs)
    wrong = [i for i, row in enumerate(rows) if row is None]
    if wrong:
        message = task.wrong(outputs, wrong[0])
        raise BadOutputs(
            f"{len(wrong):,} of {len(rows):,} rows are not what it promises: {message}"
        )
    message = task.suspicious(outputs)
    if message:
        raise BadOutputs(f"{len(rows):,} rows: {message}")


def _check_warm_up(task: Task, chosen: LoadedCandidate) -> None:
    """A gateway loads no version that fails on a plain row: better told now than when it is
    live."""
    try:
        warm_up(chosen.predictor, task, chosen.contract)
    except Exception as error:  # a model's own code may raise anything
        row = dict(zip(chosen.contract.names, plain_row(chosen.contract), strict=True))
        raised = error.message if isinstance(error, WindvaneError) else repr(error)
        shown = ", ".join(f"{name} {show(value)}" for name, value in [*row.items()][:_SHOWN])
        raise CannotLoad(
            f"it fails on the plain row that warms it up ({shown}): {raised[:300]}",
            hint="let the model answer such a row with any value that its task allows",
        ) from error


@contextmanager
def _open_environment(
    services: RegistrationServices,
    source: Source,
    options: RegistrationOptions,
    on_step: Callable[[str], None],
) -> Iterator[Environment | None]:
    """The packages of its own that were asked for, built unless they are there."""
    asked = options.environment
    if asked is None:
        yield None
        return
    runtimes = [one.runtime for one in source.candidates]
    if not any(one in SANDBOXED for one in runtimes):
        names = ", ".join(one.value for one in runtimes)
        raise NoEnvironment(
            f"{source.name or 'it'} is for {names}, which reads it as data with the gateway's own "
            "packages; requirements are for models that run in a sandbox"
        )
    if not options.trust:
        raise Untrusted(
            f"{source.name or 'it'} brings packages of its own, which are programs", hint=TRUST
        )
    if services.environments is None:
        raise NoEnvironment("nothing here keeps environments of models", hint="")
    wheels = Path(asked.wheels) if asked.wheels else None
    with services.environments.build(asked.requirements, wheels, on_step) as found:
        yield found


@contextmanager
def _open_loader(
    services: RegistrationServices,
    about: Applied,
    options: RegistrationOptions,
    environment: Environment | None,
) -> Iterator[CandidateLoader]:
    with tempfile.TemporaryDirectory() as folder:
        loader = CandidateLoader(
            services.artifacts, services.runtimes, services.libraries, services.readers,
            about.file.contract, about.policy.parity_tolerance, options, Path(folder),
            environment,
        )  # fmt: skip
        try:
            yield loader
        finally:
            loader.close()

"""Versions with packages of their own, from registration to their removal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from contracts.environments.wheels import make_wheel
from usecases.registration import FILE, Registration, matrix, opened_registration, table

from windvane.adapters.mlflow import MlflowRegistry
from windvane.adapters.mlflow.source import read_mlmodel
from windvane.adapters.pip import PipEnvironments
from windvane.adapters.sandbox import Limits, SandboxRuntime
from windvane.core.execution import RuntimeName
from windvane.ports.control_store import UnknownName
from windvane.ports.runtime import CannotLoad, Untrusted
from windvane.usecases.explain_runtime import explain_runtime
from windvane.usecases.list_environments import (
    Pruned,
    list_environments,
    prune_environments,
    rebuild_environment,
)
from windvane.usecases.read_source import candidate_of
from windvane.usecases.registration_options import (
    EnvironmentRequest,
    NoEnvironment,
    RegistrationOptions,
)

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

# The model is the package's: a pickle of nothing but its name.
PICKLE = b"ctariff\nModel\n)\x81."
TARIFF = """
SCALE = {scale}


class Model:
    classes_ = (0, 1)

    def predict_proba(self, rows):
        import numpy as np

        z = SCALE * (rows[:, 0] / 900.0 - np.nan_to_num(rows[:, 1], nan=60.0) / 20.0 + 2.0)
        late = 1.0 / (1.0 + np.exp(-z))
        return np.stack([1.0 - late, late], axis=1)
"""
SCALES = {"1.0": 1.0, "2.0": 3.0}
OPTIONS = RegistrationOptions(trust=True, inputs=("distance", "temp"))


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    for version, scale in SCALES.items():
        make_wheel(folder, "tariff", version, {"tariff.py": TARIFF.format(scale=scale)})
    return folder


@pytest.fixture
def environments(tmp_path: Path) -> PipEnvironments:
    return PipEnvironments(tmp_path / "environments")


@pytest.fixture
def registration(
    tmp_path: Path, migrated_file: Path, mlflow_registry: MlflowRegistry,
    environments: PipEnvironments,
) -> Iterator[Registration]:  # fmt: skip
    apart = SandboxRuntime(Limits(predict_s=60.0), tmp_path / "logs", environments=environments)
    with opened_registration(
        tmp_path, migrated_file, mlflow_registry, apart, environments
    ) as found:
        found.apply(FILE)
        yield found
    apart.close()


def with_tariff(version: str, wheels: Path) -> RegistrationOptions:
    request = EnvironmentRequest((f"tariff=={version}",), str(wheels))
    return replace(OPTIONS, environment=request)


def pickled(folder: Path) -> Path:
    path = folder / "model.pkl"
    path.write_bytes(PICKLE)
    return path


def expected(version: str) -> Any:
    columns = table().columns
    distance = np.array(columns["distance"])
    temp = np.array([60.0 if t is None else t for t in columns["temp"]])
    return 1.0 / (1.0 + np.exp(-SCALES[version] * (distance / 900.0 - temp / 20.0 + 2.0)))


def test_two_versions_are_served_each_as_its_own_package_says(
    registration: Registration, environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    path = pickled(tmp_path)
    done = {
        version: registration.register(
            path, replace(with_tariff(version, wheels), accept="another scale")
        )
        for version in SCALES
    }
    predictors = {version: registration.load(one, trusted=True) for version, one in done.items()}
    rows = list(zip(*(table().columns[n] for n in ("distance", "carrier", "temp")), strict=True))
    for version, predictor in predictors.items():
        [found] = predictor.predict([predictor.encode(row) for row in rows])
        assert np.abs(found - expected(version)).max() < 1e-9
    for predictor in predictors.values():
        predictor.close()
    for version, one in done.items():
        lineage: Any = one.version.lineage
        assert lineage["environment"]["packages"][0]["version"] == version
        assert len(lineage["environment"]["packages"][0]["sha256"][0]) == 64
        assert lineage["parity"]["rows"] > 0
        assert lineage["runtime"]["passed_over"] == {}
        explained = explain_runtime(registration.store, "delay", one.version.version)
        assert explained.environment is not None
        assert explained.environment.versions == {"tariff": version}
        assert explained.needs_trust
    used = list_environments(registration.store, environments)
    versions = {one.version.version for one in done.values()}
    assert {one.versions for one in used} == {(f"delay:{v}",) for v in versions}
    assert [one.damage for one in used] == ["", ""]


def test_versions_that_ask_for_the_same_share_it_until_nobody_does(
    registration: Registration, environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    path = pickled(tmp_path)
    first = registration.register(path, with_tariff("1.0", wheels)).version
    second = registration.register(path, with_tariff("1.0", wheels)).version
    with environments.build(["tariff==2.0"], wheels, lambda _: None) as unused:
        # Somebody is at it.
        assert prune_environments(registration.store, environments) == Pruned({}, 0)
    [shared, _] = sorted(
        list_environments(registration.store, environments), key=lambda one: not one.versions
    )
    assert shared.versions == (f"delay:{first.version}", f"delay:{second.version}")
    half = tmp_path / "environments" / ".building-0badcafe"
    shutil.copytree(tmp_path / "environments" / shared.id, half)
    freed = prune_environments(registration.store, environments)
    assert list(freed.removed) == [unused.id]
    assert freed.leftovers > 0
    assert not half.exists()
    assert [one.id for one in environments.states()] == [shared.id]


def test_one_that_is_gone_is_told_and_built_again(
    registration: Registration, environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    done = registration.register(pickled(tmp_path), with_tariff("1.0", wheels))
    [held] = list_environments(registration.store, environments)
    shutil.rmtree(tmp_path / "environments" / held.id)
    [gone] = list_environments(registration.store, environments)
    assert (gone.id, gone.damage) == (held.id, "not on this machine")
    with pytest.raises(CannotLoad, match="is not on this machine") as caught:
        registration.load(done, trusted=True)
    message = f"windvane environments --rebuild {held.id[:12]}"
    assert message in caught.value.advice
    for name in (f"delay:{done.version.version}", held.id[:12]):
        rebuild_environment(registration.store, environments, name, wheels, lambda _: None)
        found = registration.served(done, table().columns)
        assert np.abs(found - expected("1.0")).max() < 1e-9
    with pytest.raises(UnknownName, match="no version runs with the environment 0000"):
        rebuild_environment(registration.store, environments, "0000", wheels, lambda _: None)


def test_versions_of_the_same_unpinned_requirements_run_each_with_its_own(
    registration: Registration, environments: PipEnvironments, tmp_path: Path, wheels: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    options = replace(
        OPTIONS, environment=EnvironmentRequest(("tariff",), ""), accept="another scale"
    )
    path, done = pickled(tmp_path), {}
    for version in SCALES:
        shutil.copy(wheels / f"tariff-{version}-py3-none-any.whl", index)
        for held in environments.states():
            shutil.rmtree(tmp_path / "environments" / held.id)
        done[version] = registration.register(path, options)
    first = done["1.0"].version.version
    assert [one.damage for one in list_environments(registration.store, environments)].count(
        "not on this machine"
    ) == 1
    rebuild_environment(registration.store, environments, f"delay:{first}", None, lambda _: None)
    rows = list(zip(*(table().columns[n] for n in ("distance", "carrier", "temp")), strict=True))
    opened = {version: registration.load(one, trusted=True) for version, one in done.items()}
    for version, predictor in opened.items():
        [found] = predictor.predict([predictor.encode(row) for row in rows])
        assert np.abs(found - expected(version)).max() < 1e-9
    for predictor in opened.values():
        predictor.close()
    used = list_environments(registration.store, environments)
    assert [(len(one.versions), one.damage) for one in used] == [(1, ""), (1, "")]
    assert prune_environments(registration.store, environments) == Pruned({}, 0)


def test_a_format_that_is_data_takes_no_packages(
    registration: Registration, environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    rows, labels = matrix()
    model = xgboost.XGBClassifier(n_estimators=3, max_depth=2).fit(rows, labels)
    model.save_model(tmp_path / "model.ubj")
    with pytest.raises(NoEnvironment, match=r"model\.ubj is for xgboost, which reads it as data"):
        registration.register(tmp_path / "model.ubj", with_tariff("1.0", wheels))
    assert environments.states() == []


def test_nothing_is_built_without_trust(
    registration: Registration, environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    options = replace(with_tariff("1.0", wheels), trust=False)
    with pytest.raises(Untrusted, match="brings packages of its own") as caught:
        registration.register(pickled(tmp_path), options)
    assert "--trust" in caught.value.advice
    assert environments.states() == []


def test_a_package_that_is_missing_is_named(
    registration: Registration, tmp_path: Path, wheels: Path
) -> None:
    make_wheel(tmp_path / "w", "other", "1.0", {"other.py": ""})
    request = EnvironmentRequest(("other==1.0",), str(tmp_path / "w"))
    with pytest.raises(CannotLoad, match="No module named 'tariff'"):
        registration.register(pickled(tmp_path), replace(OPTIONS, environment=request))


def test_an_mlflow_folder_records_its_requirements(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text("flavors: {python_function: {loader_module: x}}\n")
    (tmp_path / "requirements.txt").write_text("tariff==1.0\nnumpy\n")
    source = read_mlmodel(tmp_path, candidate_of)
    assert source.requirements == ("tariff==1.0", "numpy")
    assert source.packages == {"tariff": "1.0"}
    assert [one.runtime for one in source.candidates] == [RuntimeName.PYFUNC]

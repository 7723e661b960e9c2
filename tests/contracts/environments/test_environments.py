"""Environments that pip builds from wheels, offline: once, whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from contracts.environments.wheels import make_wheel

from windvane.adapters.pip import BuildLimits, PipEnvironments
from windvane.core.execution import Environment, Package
from windvane.ports.environments import EnvironmentNotBuilt, EnvironmentStore
from windvane.ports.runtime import CannotLoad


def build(
    held: EnvironmentStore, wheels: Path | None, *lines: str, steps: list[str] | None = None
) -> Environment:
    message: list[str] = [] if steps is None else steps
    with held.build(lines, wheels, message.append) as found:
        return found


def test_what_is_built_is_known_and_can_be_opened(
    environments: PipEnvironments, wheels: Path
) -> None:
    steps: list[str] = []
    found = build(environments, wheels, "needy==1.0", steps=steps)
    assert found.versions == {"needy": "1.0", "rate": "2.0"}
    assert all(len(one.sha256) == 1 and len(one.sha256[0]) == 64 for one in found.packages)
    packages = environments.open(found)
    assert (packages / "rate.py").is_file()
    assert found.id == found.id_of_content
    assert steps == [
        "resolve needy==1.0",
        f"build the environment {found.id[:12]}: needy==1.0, rate==2.0",
        "install its packages",
    ]


def test_the_same_is_built_once_and_shared(environments: PipEnvironments, wheels: Path) -> None:
    steps: list[str] = []
    first = build(environments, wheels, "rate==1.0")
    again = build(environments, wheels, "rate==1.0", steps=steps)
    assert again == first
    assert steps == [f"the environment {first.id[:12]} is there already"]
    other = build(environments, wheels, "rate==2.0")
    assert [one.id for one in environments.states()] == sorted([first.id, other.id])


def test_other_wheels_make_another_environment(
    tmp_path: Path, environments: PipEnvironments, wheels: Path
) -> None:
    first = build(environments, wheels, "rate==1.0")
    make_wheel(tmp_path / "wheels", "rate", "1.0", {"rate.py": "VALUE = 0.9\n"})
    other = build(environments, tmp_path / "wheels", "rate==1.0")
    assert other.id != first.id
    assert (environments.open(other) / "rate.py").read_text() == "VALUE = 0.9\n"


def test_requests_that_come_to_the_same_packages_share_one(
    environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    steps: list[str] = []
    first = build(environments, wheels, "rate==1.0")
    other = build(environments, wheels, "rate<2", steps=steps)
    assert (other.id, other.packages) == (first.id, first.packages)
    assert (first.requirements, other.requirements) == (("rate==1.0",), ("rate<2",))
    assert steps == ["resolve rate<2", f"the environment {first.id[:12]} is there already"]
    assert [one.id for one in environments.states()] == [first.id]
    assert environments.open(other) == environments.open(first)
    assert leftovers(tmp_path) == []
    steps.clear()
    build(environments, wheels, "rate<2", steps=steps)
    assert steps == [f"the environment {first.id[:12]} is there already"]


@pytest.mark.parametrize("gone", [True, False])
def test_what_is_resolved_anew_takes_no_other_ones_folder(
    environments: PipEnvironments, tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch,
    *, gone: bool,
) -> None:  # fmt: skip
    index = configured(tmp_path / "index", wheels, monkeypatch, "rate-1.0")
    first = build(environments, None, "rate")
    configured(index, wheels, monkeypatch, "rate-2.0")
    assert build(environments, None, "rate") == first  # nothing is resolved while it is whole
    if gone:
        shutil.rmtree(tmp_path / "environments" / first.id)
    else:
        (environments.open(first) / "rate.py").write_text("")
    second = build(environments, None, "rate")
    assert (first.versions, second.versions) == ({"rate": "1.0"}, {"rate": "2.0"})
    environments.rebuild(first, None, lambda _: None)
    for found, value in ((first, "0.25"), (second, "0.75")):
        assert f"VALUE = {value}" in (environments.open(found) / "rate.py").read_text()
    assert [one.damage for one in environments.states()] == ["", ""]
    assert leftovers(tmp_path) == []
    assert build(environments, None, "rate") == second


def configured(index: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> Path:
    """A folder that pip's own configuration names, with these wheels added."""
    index.mkdir(exist_ok=True)
    for name in names:
        [path] = wheels.glob(f"{name}-*.whl")
        shutil.copy(path, index)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return index


def leftovers(folder: Path) -> list[Path]:
    return list((folder / "environments").glob(".building-*"))


def test_two_at_once_build_it_once(tmp_path: Path, wheels: Path) -> None:
    steps: list[str] = []
    both = threading.Barrier(2, timeout=20.0)

    def one(_: int) -> Environment:
        held = PipEnvironments(tmp_path / "environments", BuildLimits(within_s=120.0))
        both.wait()
        return build(held, wheels, "rate==1.0", steps=steps)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(one, range(2))
    assert first == second
    assert sum(step.startswith("build the environment") for step in steps) == 1


def cut_off(folder: Path, environment: Environment) -> Path:
    """As a build leaves it whose process is killed before the end."""
    half = folder / ".building-0badcafe"
    shutil.copytree(folder / environment.id, half)
    (half / "environment.json").unlink()
    return half


def test_a_build_that_was_cut_off_is_not_taken_for_one(
    environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    found = build(environments, wheels, "rate==1.0")
    half = cut_off(tmp_path / "environments", found)
    shutil.rmtree(tmp_path / "environments" / found.id)
    assert environments.states() == []
    with pytest.raises(CannotLoad, match="is not on this machine"):
        environments.open(found)
    assert build(environments, wheels, "rate==1.0") == found
    assert not half.exists()


def test_what_was_cut_off_is_removed_by_whatever_is_built_next(
    environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    found = build(environments, wheels, "rate==1.0")
    half = cut_off(tmp_path / "environments", found)
    assert environments.remove_leftovers() >= (found_size(tmp_path, found) // 2)
    assert not half.exists()
    half = cut_off(tmp_path / "environments", found)
    build(environments, wheels, "rate==2.0")
    assert not half.exists()
    half = cut_off(tmp_path / "environments", found)
    (tmp_path / "environments" / ".building-file").write_text("no folder")
    environments.rebuild(found, wheels, lambda _: None)
    assert leftovers(tmp_path) == []
    assert environments.open(found).is_dir()


def found_size(folder: Path, environment: Environment) -> int:
    files = (folder / "environments" / environment.id / "packages").rglob("*.py")
    return sum(path.stat().st_size for path in files)


def test_a_build_under_way_is_no_leftover(
    environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    other = PipEnvironments(tmp_path / "environments")
    seen: list[int] = []

    def look(_: str) -> None:
        assert other.remove_leftovers() == 0
        seen.append(len(leftovers(tmp_path)))

    with environments.build(["rate==1.0"], wheels, look) as found:
        assert environments.open(found).is_dir()
    assert seen == [1, 1, 1]
    assert leftovers(tmp_path) == []


def test_an_entry_that_cannot_be_read_is_resolved_again(
    environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    found = build(environments, wheels, "rate==1.0")
    [entry] = (tmp_path / "environments").glob(".request-*")
    for text in ("", "../../etc", "f" * 64, found.id * 2):
        entry.write_text(text)
        assert build(environments, wheels, "rate==1.0") == found
        assert entry.read_text() == found.id
    assert environments.remove(found.id) > 0
    assert not entry.exists()


def change(path: Path) -> None:
    """As long as before, and as old."""
    told = path.stat()
    path.write_text(path.read_text().replace("0.25", "0.95"))
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))


@pytest.mark.parametrize(
    ("harm", "says", "opened_before"),
    [
        (lambda packages: change(packages / "rate.py"), "rate.py hashes to", True),
        (lambda packages: change(packages / "rate.py"), "rate.py hashes to", False),
        (lambda packages: (packages / "rate.py").unlink(), "rate.py is missing", True),
        (lambda packages: (packages / "more.py").write_text(""), "more.py was not installed", True),
        (lambda packages: (packages / "l").symlink_to("/etc"), "l is no plain file", True),
        (
            lambda packages: (packages.parent / "files.json").write_text("[]"),
            "record cannot be",
            True,
        ),
        (
            lambda packages: (packages.parent / "files.json").unlink(),
            "is not on this machine",
            True,
        ),
    ],
)
def test_damage_is_told_with_the_command_that_mends_it(
    environments: PipEnvironments, tmp_path: Path, wheels: Path, harm: Callable[[Path], object],
    says: str, opened_before: bool,
) -> None:  # fmt: skip
    found = build(environments, wheels, "rate==1.0")
    packages = environments.open(found)
    harm(packages)
    asked = environments if opened_before else PipEnvironments(tmp_path / "environments")
    with pytest.raises(CannotLoad, match=says) as caught:
        asked.open(found)
    assert f"windvane environments --rebuild {found.id[:12]}" in caught.value.advice
    asked.rebuild(found, wheels, lambda _: None)
    assert (asked.open(found) / "rate.py").read_text().startswith("\nVALUE = 0.25")


def test_a_rebuild_installs_the_very_wheels_that_were_recorded(
    environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    found = build(environments, wheels, "rate==1.0")
    make_wheel(tmp_path / "wheels", "rate", "1.0", {"rate.py": "VALUE = 0.9\n"})
    with pytest.raises(EnvironmentNotBuilt, match=r"HASHES|hash"):
        environments.rebuild(found, tmp_path / "wheels", lambda _: None)
    assert environments.open(found).is_dir()


def test_a_record_whose_name_is_not_that_of_its_packages_is_refused(
    environments: PipEnvironments, wheels: Path
) -> None:
    found = build(environments, wheels, "rate==1.0")
    other = replace(found, packages=(Package("rate", "2.0", found.packages[0].sha256),))
    says = f"names the environment {found.id[:12]}.* those of {other.id_of_content[:12]}"
    with pytest.raises(CannotLoad, match=says) as caught:
        environments.open(other)
    assert "register the model again" in caught.value.advice
    with pytest.raises(EnvironmentNotBuilt, match=says):
        environments.rebuild(other, wheels, lambda _: None)
    assert "VALUE = 0.25" in (environments.open(found) / "rate.py").read_text()


def test_a_folder_under_another_ones_name_is_damaged(
    environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    first, second = (build(environments, wheels, f"rate=={v}") for v in ("1.0", "2.0"))
    folder = tmp_path / "environments"
    shutil.rmtree(folder / first.id)
    (folder / second.id).rename(folder / first.id)
    with pytest.raises(CannotLoad, match=f"its own record is that of {second.id[:12]}"):
        environments.open(first)
    record = folder / first.id / "environment.json"
    record.write_bytes(msgspec.json.encode(replace(second, id=first.id)))
    with pytest.raises(CannotLoad, match=f"its own record is that of {second.id[:12]}"):
        environments.open(first)


def test_one_for_another_python_is_told(
    environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    found = build(environments, wheels, "rate==1.0")
    other = replace(found, python="3.4")
    other = replace(other, id=other.id_of_content)
    folder = tmp_path / "environments"
    (folder / found.id).rename(folder / other.id)
    (folder / other.id / "environment.json").write_bytes(msgspec.json.encode(other))
    with pytest.raises(CannotLoad, match=r"built for Python 3\.4"):
        environments.open(other)


def test_pip_is_told_by_its_last_words(
    environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    with pytest.raises(EnvironmentNotBuilt, match=r"No matching distribution found for rate==3\.0"):
        build(environments, wheels, "rate==3.0")
    assert environments.states() == []
    assert leftovers(tmp_path) == []


def test_a_source_archive_is_not_built(
    environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    import tarfile

    proof = tmp_path / "it-ran"
    (tmp_path / "setup.py").write_text(f"open({str(proof)!r}, 'w')\n")
    folder = tmp_path / "wheels"
    make_wheel(folder, "rate", "1.0", {"rate.py": ""})
    with tarfile.open(folder / "evil-1.0.tar.gz", "w:gz") as held:
        held.add(tmp_path / "setup.py", "evil-1.0/setup.py")
    with pytest.raises(EnvironmentNotBuilt, match="No matching distribution found for evil"):
        build(environments, folder, "evil==1.0")
    assert not proof.exists()


def test_it_is_bounded(tmp_path: Path, wheels: Path) -> None:
    small = PipEnvironments(tmp_path / "small", BuildLimits(most_bytes=100))
    with pytest.raises(EnvironmentNotBuilt, match=r"bytes > 100 allowed"):
        build(small, wheels, "rate==1.0")
    quick = PipEnvironments(tmp_path / "quick", BuildLimits(within_s=0.01))
    with pytest.raises(EnvironmentNotBuilt, match=r"longer than the 0\.01 s"):
        build(quick, wheels, "rate==1.0")
    for held in (small, quick):
        assert held.states() == []
    assert not list(tmp_path.glob("*/.building-*"))


def test_who_waits_for_another_build_waits_no_longer_than_allowed(
    tmp_path: Path, environments: PipEnvironments, wheels: Path
) -> None:
    found = build(environments, wheels, "rate==1.0")
    hasty = PipEnvironments(tmp_path / "environments", BuildLimits(within_s=0.05))
    with open(tmp_path / "environments" / f".{found.id}.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(EnvironmentNotBuilt, match=r"other processes use the environment"):
            build(hasty, wheels, "rate==1.0")


def test_nobody_removes_what_is_registered_with(
    environments: PipEnvironments, tmp_path: Path, wheels: Path
) -> None:
    other = PipEnvironments(tmp_path / "environments")
    with environments.build(["rate==1.0"], wheels, lambda _: None) as found:
        assert other.remove(found.id) == 0
        assert environments.open(found).is_dir()
    assert other.remove(found.id) > 0
    assert other.states() == []


@pytest.mark.parametrize(("folder", "says"), [("none", "is no folder"), (".", "holds 0 wheels")])
def test_a_folder_without_wheels_is_refused(
    environments: PipEnvironments, tmp_path: Path, folder: str, says: str
) -> None:
    with pytest.raises(EnvironmentNotBuilt, match=says):
        build(environments, tmp_path / folder, "rate==1.0")

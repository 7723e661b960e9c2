"""A version's files: each the one that was registered, whoever changes the folder and when."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.adapters.files import FileArtifacts
from windvane.ports.artifacts import ManifestMismatch

ARTIFACTS = FileArtifacts()
FILES = {"model.onnx": b"graph", "inputs.json": b"{}", "extra/deep/weights.bin": b"\x00\xff" * 9}
Act = Callable[[Path], object]


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "artifact"
    made.mkdir()
    write(made, FILES)
    return made


def seal_with(folder: Path, pinned: dict[str, str]) -> str:
    """A manifest of one's own; its hash."""
    body = json.dumps(pinned).encode()
    (folder / "manifest.json").write_bytes(body)
    return hashlib.sha256(body).hexdigest()


def hash_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def test_what_was_sealed_opens_and_reads(folder: Path) -> None:
    manifest = ARTIFACTS.seal(folder)
    opened = ARTIFACTS.open(str(folder), manifest)
    assert opened.manifest == manifest
    assert list(opened.names) == sorted(FILES)
    assert {name: opened.read(name) for name in opened.names} == FILES


def test_a_copy_has_every_file(folder: Path, tmp_path: Path) -> None:
    opened = ARTIFACTS.open(str(folder), ARTIFACTS.seal(folder))
    target = tmp_path / "copy"
    target.mkdir()
    opened.copy_to(target)
    found = {p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()}
    assert found == set(FILES)
    assert all((target / name).read_bytes() == body for name, body in FILES.items())


def test_a_seal_is_of_names_and_bytes_only(folder: Path, tmp_path: Path) -> None:
    """The same files elsewhere, sealed later or twice, are the same version."""
    manifest = ARTIFACTS.seal(folder)
    assert ARTIFACTS.seal(folder) == manifest
    other = tmp_path / "other"
    write(other, dict(reversed(FILES.items())))
    os.utime(other / "model.onnx", (0, 0))
    assert ARTIFACTS.seal(other) == manifest
    (other / "model.onnx").rename(other / "renamed.onnx")
    assert ARTIFACTS.seal(other) != manifest


TAMPERINGS: dict[str, Act] = {
    "a changed byte": lambda f: (f / "model.onnx").write_bytes(b"grapf"),
    "a longer file": lambda f: (f / "model.onnx").write_bytes(b"graph "),
    "an empty file": lambda f: (f / "model.onnx").write_bytes(b""),
    "a missing file": lambda f: (f / "inputs.json").unlink(),
    "a missing file below": lambda f: (f / "extra/deep/weights.bin").unlink(),
    "an extra file": lambda f: (f / "sitecustomize.py").write_bytes(b"print(1)"),
    "an extra file below": lambda f: (f / "extra/__init__.py").write_bytes(b""),
    "a hidden file": lambda f: (f / ".pth").write_bytes(b""),
    "two swapped files": lambda f: write(
        f, {"model.onnx": FILES["inputs.json"], "inputs.json": FILES["model.onnx"]}
    ),
    "a folder for a file": lambda f: ((f / "inputs.json").unlink(), (f / "inputs.json").mkdir()),
    "a pipe, which nobody writes to": lambda f: (
        (f / "inputs.json").unlink(),
        os.mkfifo(f / "inputs.json"),
    ),
    "another manifest": lambda f: seal_with(f, {n: hash_of(b) for n, b in FILES.items()}),
    "no manifest": lambda f: (f / "manifest.json").unlink(),
    "a manifest that allows more": lambda f: (
        (f / "more").write_bytes(b"x"),
        seal_with(f, {n: hash_of(b) for n, b in {**FILES, "more": b"x"}.items()}),
    ),
    "nothing at all": lambda f: [p.unlink() for p in f.rglob("*") if p.is_file()],
}


@pytest.mark.parametrize("tamper", TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_a_folder_that_was_changed_does_not_open(folder: Path, tamper: Act) -> None:
    manifest = ARTIFACTS.seal(folder)
    tamper(folder)
    with pytest.raises(ManifestMismatch, match="RUN-101"):
        ARTIFACTS.open(str(folder), manifest)


LINKS: dict[str, Act] = {
    "a file that is a link": lambda f: (
        (f / "model.onnx").rename(f.parent / "outside"),
        (f / "model.onnx").symlink_to(f.parent / "outside"),
    ),
    "a link beside the files": lambda f: (f / "more").symlink_to("/etc/hostname"),
    "a link within the folder": lambda f: (f / "more").symlink_to("model.onnx"),
    "a folder that is a link": lambda f: (
        (f / "extra").rename(f.parent / "elsewhere"),
        (f / "extra").symlink_to(f.parent / "elsewhere"),
    ),
    "a link to nowhere": lambda f: (f / "more").symlink_to("nowhere"),
}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS.keys())
def test_links_are_neither_sealed_nor_opened(folder: Path, link: Act) -> None:
    """Even to the very same bytes: they could be others a moment later."""
    manifest = ARTIFACTS.seal(folder)
    link(folder)
    with pytest.raises(ManifestMismatch, match="is a link"):
        ARTIFACTS.open(str(folder), manifest)
    with pytest.raises(ManifestMismatch, match="is a link"):
        ARTIFACTS.seal(folder)


@pytest.mark.parametrize("name", ["../outside", "extra/../../outside", "/etc/hostname", ".."])
def test_a_manifest_names_nothing_outside(folder: Path, name: str) -> None:
    """Even a manifest that was registered so."""
    (folder.parent / "outside").write_bytes(b"x")
    pinned = {n: hash_of(b) for n, b in FILES.items()}
    manifest = seal_with(folder, {**pinned, name: hash_of(b"x")})
    with pytest.raises(ManifestMismatch, match="outside"):
        ARTIFACTS.open(str(folder), manifest)


# Between the check and the load

SWAPS: dict[str, Act] = {
    "other bytes": lambda f: (f / "model.onnx").write_bytes(b"GRAPH"),
    "another file in its place": lambda f: (
        (f / "new").write_bytes(b"evil!"),
        (f / "new").replace(f / "model.onnx"),
    ),
    "a link in its place": lambda f: (
        (f.parent / "evil").write_bytes(b"evil!"),
        (f / "model.onnx").unlink(),
        (f / "model.onnx").symlink_to(f.parent / "evil"),
    ),
    "a link to the same bytes": lambda f: (
        (f / "model.onnx").rename(f.parent / "same"),
        (f / "model.onnx").symlink_to(f.parent / "same"),
    ),
    "a pipe in its place": lambda f: (
        (f / "model.onnx").unlink(),
        os.mkfifo(f / "model.onnx"),
    ),
    "gone": lambda f: (f / "model.onnx").unlink(),
    "another folder": lambda f: (
        f.rename(f.parent / "old"),
        write(f, {**FILES, "model.onnx": b"evil!"}),
        ARTIFACTS.seal(f),
    ),
}


@pytest.mark.parametrize("swap", SWAPS.values(), ids=SWAPS.keys())
def test_a_swap_after_the_check_is_caught_by_the_read(
    folder: Path, tmp_path: Path, swap: Act
) -> None:
    opened = ARTIFACTS.open(str(folder), ARTIFACTS.seal(folder))
    swap(folder)
    with pytest.raises(ManifestMismatch, match="RUN-101"):
        opened.read("model.onnx")
    target = tmp_path / "copy"
    target.mkdir()
    with pytest.raises(ManifestMismatch, match="RUN-101"):
        opened.copy_to(target)
    assert not (target / "model.onnx").exists()


def test_a_name_that_nobody_registered_is_not_read(folder: Path) -> None:
    opened = ARTIFACTS.open(str(folder), ARTIFACTS.seal(folder))
    (folder / "late").write_bytes(b"")
    for name in ("late", "manifest.json", "../outside", ""):
        with pytest.raises(ManifestMismatch):
            opened.read(name)


@pytest.mark.parametrize("what", ["absent", "a file"])
def test_no_folder_no_artifact(tmp_path: Path, what: str) -> None:
    path = tmp_path / "gone"
    if what == "a file":
        path.write_bytes(b"")
    with pytest.raises(ManifestMismatch):
        ARTIFACTS.open(str(path), "0" * 64)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,4}(/[a-z]{1,4})?", fullmatch=True), st.binary(max_size=20),
        min_size=1, max_size=4,
    ),
    st.data(),
)  # fmt: skip
def test_any_changed_byte_is_found(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], data: st.DataObject
) -> None:
    names = sorted(files)
    if any(b.startswith(f"{a}/") for a in names for b in names):
        return  # a file cannot be a folder too
    folder = tmp_path_factory.mktemp("any")
    write(folder, files)
    manifest = ARTIFACTS.seal(folder)
    assert ARTIFACTS.open(str(folder), manifest).read(names[0]) == files[names[0]]
    name = data.draw(st.sampled_from(names))
    other = data.draw(st.binary(max_size=20).filter(lambda body: body != files[name]))
    (folder / name).write_bytes(other)
    with pytest.raises(ManifestMismatch):
        ARTIFACTS.open(str(folder), manifest)


def test_what_is_deleted_is_gone_and_may_be_deleted_again(folder: Path) -> None:
    manifest = ARTIFACTS.seal(folder)
    beside = folder.with_name("another")
    beside.mkdir()
    ARTIFACTS.remove(str(folder), manifest)
    assert list(folder.parent.iterdir()) == [beside]
    ARTIFACTS.remove(str(folder), manifest)


def test_other_files_than_the_versions_are_not_deleted(folder: Path) -> None:
    """A folder of that name that is another version's by now."""
    manifest = ARTIFACTS.seal(folder)
    (folder / "inputs.json").write_bytes(b"{ }")
    ARTIFACTS.seal(folder)
    with pytest.raises(ManifestMismatch, match="was to be deleted"):
        ARTIFACTS.remove(str(folder), manifest)
    assert (folder / "model.onnx").exists()


def test_a_deletion_that_was_cut_off_is_ended_by_the_next(folder: Path) -> None:
    manifest = ARTIFACTS.seal(folder)
    half = folder.with_name(f".{folder.name}-{manifest[:12]}.deleted")
    folder.rename(half)
    (half / "model.onnx").unlink()
    ARTIFACTS.remove(str(folder), manifest)
    assert list(folder.parent.iterdir()) == []

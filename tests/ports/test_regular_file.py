"""A file that somebody names is read whole, or refused without waiting for anybody."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from windvane.adapters.jwt.keys import NoKeys, fetch
from windvane.apps.trainer import register
from windvane.core.execution import BadRequirements
from windvane.ports.regular_file import read_regular_file
from windvane.ports.source import Source
from windvane.usecases.read_settings import BadReference, read_secret
from windvane.usecases.registration_options import RegistrationOptions, RegistrationOrder

pytestmark = pytest.mark.timeout(20)


def test_a_regular_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"12345")
    link.symlink_to(file)  # as Kubernetes mounts secrets
    assert read_regular_file(file, 5) == read_regular_file(link, 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_regular_file(file, 4)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for path, said in (
            (fifo, "no regular file"),
            (Path("/dev/zero"), "no regular file"),
            (tmp_path / "socket", "No such device"),
            (tmp_path, "Is a directory"),
            (tmp_path / "none", "No such file"),
        ):
            with pytest.raises(OSError, match=said) as raised:
                read_regular_file(path, 5)
            assert raised.value.strerror
    with pytest.raises(ValueError, match="null"):
        read_regular_file(Path("a\x00b"), 5)
    assert len(os.listdir("/proc/self/fd")) == before


def test_secrets_and_keys_of_an_issuer_are_read_from_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(BadReference, match="no regular file"):
        read_secret("file:fifo", {}, tmp_path)
    with pytest.raises(BadReference, match="no regular file"):
        read_secret("file:/dev/zero", {}, tmp_path)
    with pytest.raises(NoKeys, match="no regular file"):
        fetch(str(tmp_path / "fifo"), 1.0)
    with pytest.raises(NoKeys, match="null"):
        fetch("a\x00b", 1.0)


def test_files_of_a_registration_are_regular_ones(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    order = RegistrationOrder("m", "", "", "", "", RegistrationOptions(), requirements=str(fifo))
    with pytest.raises(BadRequirements, match="no regular file"):
        register._environment(order, Source([]))
    with pytest.raises(register.BadVocabulary, match="no regular file"):
        register._vocabulary(str(fifo))

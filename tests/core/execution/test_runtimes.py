"""The one table of runtimes."""

from __future__ import annotations

from collections import Counter

import pytest

from windvane.core.execution import DATA_ONLY, RUNTIMES, SANDBOXED, Place, RuntimeName


def test_every_runtime_has_its_row_in_the_order_of_preference() -> None:
    assert list(RUNTIMES) == list(RuntimeName)


def test_a_files_suffix_is_of_one_runtime() -> None:
    counts = Counter(suffix for kind in RUNTIMES.values() for suffix in kind.suffixes)
    assert set(counts.values()) == {1}
    assert all(suffix.startswith(".") for suffix in counts)


@pytest.mark.parametrize("name", RuntimeName)
def test_code_runs_in_a_sandbox_only(name: RuntimeName) -> None:
    kind = RUNTIMES[name]
    assert kind.place is Place.SANDBOX or not kind.runs_code
    assert (name in SANDBOXED) == (kind.place is Place.SANDBOX)
    assert (name in DATA_ONLY) == (not kind.runs_code)


@pytest.mark.parametrize("name", sorted(DATA_ONLY - {RuntimeName.ELSEWHERE}))
def test_a_file_that_is_data_has_a_name_in_a_versions_folder(name: RuntimeName) -> None:
    assert RUNTIMES[name].file


@pytest.mark.parametrize("name", RuntimeName)
def test_what_has_to_be_installed_says_how(name: RuntimeName) -> None:
    assert bool(RUNTIMES[name].module) == bool(RUNTIMES[name].package)

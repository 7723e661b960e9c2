"""Requirements in one form, and the id that follows from them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from windvane.core.execution import (
    BadRequirements,
    Environment,
    Package,
    environment_id,
    normalise_requirements,
    request_id,
)

HASH = "--hash=sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("scikit-learn==1.5.2", ("scikit-learn==1.5.2",)),
        ("Scikit_Learn == 1.5.2  # why", ("scikit-learn==1.5.2",)),
        ("b\na\n\n# c\nb", ("a", "b")),
        ("pandas[Parquet, aws] >=2 , <3", ("pandas[aws,parquet]<3,>=2",)),
        ("numpy (>=1.26)", ("numpy>=1.26",)),
        ("a==1 ;  python_version < '3.12'", ("a==1; python_version < '3.12'",)),
        (f"a==1 \\\n    {HASH}", (f"a==1 {HASH}",)),
        ("zope.interface~=6.0", ("zope-interface~=6.0",)),
    ],
)
def test_equal_requirements_have_one_form(text: str, expected: tuple[str, ...]) -> None:
    assert normalise_requirements(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ok\n-e .", r"line 2: '-e \.' is an option of pip"),
        ("--index-url https://example.org", "is an option of pip"),
        ("-r other.txt", "is an option of pip"),
        ("a @ https://name:secret@example.org/a.whl", "line 1: 'a' is taken from a link"),
        ("git+https://name@example.org/a", "is taken from a link"),
        ("./a.whl", "names no package"),
        ("/tmp/a", "names no package"),
        ("https://example.org/a.whl", "names no package"),
        ("a==1 b==2", "names no package"),
        ("a=1", "names no package"),
        ("a==1 --global-option=x", "names no package"),
        ("a==1; x --hash=md5:00 # ", "names no package"),
        ("x" * 2_000, r"2,000 characters > 1,000"),
        ("a\n" * 1_001, r"1,001 lines > 1,000"),
        ("\n# nothing\n", "no package is named"),
    ],
)
def test_whatever_names_a_place_is_refused(text: str, says: str) -> None:
    with pytest.raises(BadRequirements, match=says):
        normalise_requirements(text)


def test_a_password_in_a_link_is_not_told() -> None:
    with pytest.raises(BadRequirements) as caught:
        normalise_requirements("a @ https://name:secret@example.org/a.whl")
    assert "secret" not in str(caught.value)


def test_the_id_is_that_of_what_is_installed() -> None:
    one, two = Package("a", "1", ("00", "01")), Package("b", "2", ("02",))
    plain = environment_id([one, two], "3.11", "linux-x86_64")
    turned = Package("a", "1", ("01", "00"))
    assert environment_id([two, turned], "3.11", "linux-x86_64") == plain
    others = {
        environment_id([one], "3.11", "linux-x86_64"),
        environment_id([one, two], "3.12", "linux-x86_64"),
        environment_id([one, two], "3.11", "linux-aarch64"),
        environment_id([one, Package("b", "2.1", ("02",))], "3.11", "linux-x86_64"),
        environment_id([one, Package("c", "2", ("02",))], "3.11", "linux-x86_64"),
        environment_id([one, Package("b", "2", ("03",))], "3.11", "linux-x86_64"),
    }
    assert len(others | {plain}) == 7
    held = Environment(plain, ("a", "b>=1"), "3.11", "linux-x86_64", (one, two))
    assert held.id_of_content == plain
    assert replace(held, requirements=("a==1", "b")).id_of_content == plain


def test_a_request_is_all_that_decides_what_it_comes_to() -> None:
    plain = request_id(["a", "b"], "3.11", "linux-x86_64", {})
    assert request_id(["b", "a"], "3.11", "linux-x86_64", {}) == plain
    others = {
        request_id(["a"], "3.11", "linux-x86_64", {}),
        request_id(["a", "b"], "3.12", "linux-x86_64", {}),
        request_id(["a", "b"], "3.11", "linux-aarch64", {}),
        request_id(["a", "b"], "3.11", "linux-x86_64", {"a.whl": "00"}),
        request_id(["a", "b"], "3.11", "linux-x86_64", {"a.whl": "01"}),
    }
    assert len(others | {plain}) == 6


@pytest.mark.parametrize(
    "marker",
    ["python_version>'${SECRET}'", "python_version>'3' \\", "x --index-url http://evil",
     "x -r other", "x --config-settings=a=b", "x\t-r other"],
)  # fmt: skip
def test_a_marker_holds_nothing_that_pip_reads_otherwise(marker: str) -> None:
    with pytest.raises(BadRequirements):
        normalise_requirements(f"a; {marker}")


def test_usual_markers_are_taken() -> None:
    line = "a==1.0; python_version >= \"3.8\" and (sys_platform == 'linux' or extra == 'x-y')"
    assert normalise_requirements(line)

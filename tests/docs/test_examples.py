"""What a reader may copy is right: YAML is read by Windvane itself, commands exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import docs.documented as d
import pytest
import yaml

from windvane.usecases.read_model_file import ModelFile, read_model_file
from windvane.usecases.read_settings import Settings, read_settings

ROOT = d.DOCS.parent
PAGES = [*sorted(d.DOCS.rglob("*.md")), *sorted(ROOT.glob("*.md"))]
FEATURES = {"v": {"f": {"type": "number"}, "items": {"type": "integer"}}}


def blocks(kind: str) -> list[tuple[str, str]]:
    """(page, text) of every fenced block of ``kind``."""
    fence = rf"^```{kind}\n(.*?)^```$"
    return [
        (str(path.relative_to(ROOT)), body)
        for path in PAGES
        for body in re.findall(fence, path.read_text(), re.MULTILINE | re.DOTALL)
    ]


def part_of_a_model_file(body: dict[str, object]) -> bool:
    return set(body) <= set(ModelFile.__struct_fields__)


@pytest.mark.parametrize(("page", "text"), blocks("yaml"))
def test_every_yaml_block_is_read(page: str, text: str) -> None:
    body = yaml.safe_load(text)
    if part_of_a_model_file(body):
        read_model_file(yaml.safe_dump({"model": "tiny", "features": FEATURES, **body}))
    else:
        with_all = dict.fromkeys(re.findall(r"env:(\w+)", text), "given")
        for path in re.findall(r"file:([\w/.-]+)", text):
            if "invocations" not in body:  # whose reference is followed later
                text = text.replace(f"file:{path}", "given")
        read_settings(text, Path("home"), with_all)
        assert set(body) <= set(Settings.__struct_fields__), page


def test_both_kinds_of_yaml_are_among_them() -> None:
    kinds = {part_of_a_model_file(yaml.safe_load(text)) for _, text in blocks("yaml")}
    assert kinds == {True, False}


@pytest.mark.parametrize(
    ("file", "model", "times"), [("model", "order-late", 3), ("arrival", "arrival-minutes", 1)]
)
def test_the_example_is_the_one_that_the_pages_show(file: str, model: str, times: int) -> None:
    whole = read_model_file((ROOT / f"examples/first-model/{file}.yaml").read_text())
    begins = re.compile(f"^model: {model}", re.MULTILINE)
    shown = [text for _, text in blocks("yaml") if begins.search(text)]
    assert len(shown) >= times
    for text in shown:
        part = read_model_file(text)
        assert (part.model, part.contract, part.owner) == (whole.model, whole.contract, whole.owner)


def test_every_command_in_a_shell_block_is_one() -> None:
    known = d.commands()
    groups = "".join(f"(?:{word} )?" for word in {n.split()[0] for n in known if " " in n})
    message = [
        (page, line)
        for page, text in blocks("sh")
        for line in text.replace("\\\n", " ").splitlines()
    ]
    found = 0
    for page, line in message:
        for name, rest in re.findall(rf"\bwindvane ({groups}[a-z][a-z-]*)([^|;&#>)]*)", line):
            assert name in known, f"{page}: {line}"
            options = set(re.findall(r"(?<=\s)--[a-z][a-z0-9-]*", rest))
            assert options <= known[name], f"{page}: {line}"
            found += 1
    assert found > 30


@pytest.mark.parametrize("share", ["5%", "0.05", "'0.05'"])
@pytest.mark.parametrize("key", ["watch: {{errors: {}}}", "rollout: {{steps: [{}, 100%]}}"])
def test_a_share_is_written_as_the_reference_says(key: str, share: str) -> None:
    assert "Shares are `5%` or `0.05`." in d.page("reference/model-file.md")
    read_model_file(f"model: tiny\nfeatures: {{v: {{f: {{type: number}}}}}}\n{key.format(share)}\n")


def test_no_page_installs_from_an_index_that_does_not_have_it() -> None:
    for path in PAGES:
        assert not re.search(r"pip install '?windvane", path.read_text()), path.name


def test_every_extra_in_a_pip_command_is_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = set(project["optional-dependencies"])
    found = 0
    for page, text in blocks("sh"):
        for extras in re.findall(r"pip install '\.\[([\w,]+)\]'", text):
            assert set(extras.split(",")) <= known, page
            found += 1
    assert found >= 3


def test_every_make_target_that_a_page_names_is_one() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for path in PAGES:
        named = set(
            re.findall(r"(?:`|^)make ([a-z-]*[a-z])\b(?!-)", path.read_text(), re.MULTILINE)
        )
        assert named <= targets, path.name


def test_the_readme_begins_with_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert lines[0].startswith("```")
    assert lines[1].startswith("make demo ")
    assert lines[2].startswith("make test ")

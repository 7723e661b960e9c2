"""Each code that people see as a problem has its section, and what the section says is so: its
example is a message of the source, its commands exist."""

from __future__ import annotations

import ast
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import docs.documented as d
import pytest
from docs.test_reference_complete import error_codes
from hatchling.build import build_wheel
from typer.testing import CliRunner

from windvane.adapters.terminal import Output, report_error
from windvane.apps.cli.code_pages import CodeSection, find_sections, pages_folder, read_sections
from windvane.apps.console.api import ErrorOut
from windvane.apps.gateway.answers import rejection_body
from windvane.apps.gateway.protocols.mlflow import MlflowProtocol
from windvane.inference.errors import NoKey

FOLDER = d.DOCS / "reference" / "errors"
# The message is the words of another library, or of a plug-in.
WORDS_OF_OTHERS = {
    "ACT-100", "CLN-101", "CSL-101", "GAT-100", "GAT-118", "REC-101", "REC-106", "REC-107",
    "REC-108",     "TLS-101", "WIN-000",
}  # fmt: skip
_LETTERS = 4  # of a message's fixed words, below which anything would fit it
_COMMAND = re.compile(r"`windvane ([^`]+)`")


def sections() -> dict[str, CodeSection]:
    pages = [read_sections(path.read_text()) for path in sorted(FOLDER.glob("*.md"))]
    return {section.code: section for page in pages for section in page}


def problem_codes() -> set[str]:
    """Every error, every problem and flag of a row, each word of health, and the verdicts that
    may be other than pass or hold."""
    text = d.page("reference/codes.md")
    health = {code for code in d.codes_in_source() if code.startswith("HLT-")}
    rows = d.rows(d.section(text, "## Problems of a row")).keys()
    flags = d.rows(d.section(text, "## Flags that are codes")).keys()
    verdicts = d.rows(d.section(text, "## Verdicts"))
    bad = {code for code, cells in verdicts.items() if re.search("fail|error", cells[1])}
    return {*error_codes(), *health, *rows, *flags, *bad} - {"code"}


@dataclass(frozen=True)
class Template:
    """A text of the source, its values left open: how many letters are fixed, the longest fixed
    part, by which most are ruled out quickly, and the whole."""

    letters: int
    longest: str
    pattern: re.Pattern[str]

    @classmethod
    def of(cls, fixed: Sequence[str | None]) -> Template:
        said = [part for part in fixed if part]
        pattern = "".join(".*?" if part is None else re.escape(part) for part in fixed)
        longest = max(said, key=len, default="")
        return cls(sum(map(letters, said)), longest, re.compile(pattern, re.DOTALL))


def letters(text: str) -> int:
    return sum(map(str.isalpha, text))


@cache
def templates() -> tuple[Template, ...]:
    """Every text of the source, without docstrings."""
    found: set[tuple[str | None, ...]] = set()
    for _, tree in d.trees():
        nodes = list(ast.walk(tree))
        parts = {id(part) for n in nodes if isinstance(n, ast.JoinedStr) for part in n.values}
        parts |= {id(n.value) for n in nodes if isinstance(n, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.JoinedStr):
                values = (p.value if isinstance(p, ast.Constant) else None for p in node.values)
                found.add(tuple(None if v is None else str(v) for v in values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= set() if id(node) in parts else {(node.value,)}
    made = (Template.of(fixed) for fixed in found)
    return tuple(template for template in made if template.letters >= _LETTERS)


def is_said(message: str) -> bool:
    """Whether the source says it: as a whole, or half of its letters where a message is put
    together of several texts."""
    wanted = letters(message)
    near = [template for template in templates() if template.longest in message]
    return any(
        (template.letters >= wanted * 0.2 and template.pattern.fullmatch(message))
        or (template.letters >= wanted * 0.45 and template.pattern.search(message))
        for template in near
    )


def wrong_commands(text: str) -> list[str]:
    """Commands in code marks that do not exist, or have other options."""
    known = d.commands()
    out: list[str] = []
    for line in _COMMAND.findall(text):
        words = line.partition(" | ")[0].split()
        name = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in known), None)
        if words[0] == "--version":
            continue
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        if name is None or not options <= known[name]:
            out.append(line)
    return out


def test_every_problem_has_its_section_with_all_four_parts() -> None:
    told = sections()
    codes = problem_codes()
    assert {"GAT-101", "CON-102", "RUN-103", "HLT-501", "SLO-203", "WIN-101"} <= codes
    assert codes - told.keys() == set()
    known = d.documented(d.page("reference/codes.md"))
    assert told.keys() - known == set(), "a section of a code that is gone"


def test_a_cause_is_more_than_the_docstring_again() -> None:
    docstrings = {c: " ".join((kind.__doc__ or "").split()) for c, kind in error_codes().items()}
    for code, section in sections().items():
        for point in section.cause:
            assert point not in section.means, code
            assert point != docstrings.get(code), code


def test_an_example_is_a_message_of_the_source() -> None:
    examples = {code: section.example.partition(" ") for code, section in sections().items()}
    assert {code for code, (name, _, _) in examples.items() if name != code} == {"ACC-100"}
    invented = {
        code: message
        for code, (_, _, message) in examples.items()
        if code not in WORDS_OF_OTHERS and not is_said(message)
    }
    assert invented == {}
    assert not is_said("nobody has seen a model of that name here")
    assert not is_said("rain_mm must be a number beyond all reason, got 'x'")


def test_every_command_of_the_pages_exists() -> None:
    places = [*FOLDER.glob("*.md"), *(d.DOCS / "runbooks").glob("*.md"), d.DOCS / "howto"]
    pages = [p for place in places for p in (place.glob("*.md") if place.is_dir() else [place])]
    wrong = {path.name: found for path in pages if (found := wrong_commands(path.read_text()))}
    assert wrong == {}
    assert wrong_commands("`windvane statsu`, `windvane status --all`") == [
        "statsu",
        "status --all",
    ]


def test_the_page_of_codes_leads_to_each_family() -> None:
    text = d.section(d.page("reference/codes.md"), "## Each code explained")
    assert {f"errors/{path.name}" for path in FOLDER.glob("*.md")} == set(d.links(text))


def test_a_part_that_is_missing_or_empty_is_found() -> None:
    page = (FOLDER / "HOM.md").read_text()
    assert [section.code for section in read_sections(page)] == ["HOM-101"]
    for broken in (page.replace("**Fix**", ""), page.split("**Example**", maxsplit=1)[0]):
        with pytest.raises(ValueError, match="HOM-101 needs Means, Cause, Fix, Example"):
            read_sections(broken)


def test_the_command_prints_a_section_without_a_home() -> None:
    shown = CliRunner().invoke(d.cli, ["explain-code", "gat-101"], env={"WINDVANE_HOME": "/none"})
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert lines[0] == "GAT-101"
    assert [line for line in lines if line and line[0].islower()][:4] == [
        "means", "cause", "fix", "example",
    ]  # fmt: skip
    assert "](" not in shown.stdout, "a link of Markdown"
    assert "keys (docs/howto/issue-keys.md)" in shown.stdout
    assert lines[-1] == "docs/reference/errors/GAT.md#gat-101"


def test_the_command_lists_a_family_and_names_the_closest_code() -> None:
    shown = CliRunner().invoke(d.cli, ["explain-code", "SPL"])
    assert [line[:7] for line in shown.stdout.splitlines()] == ["SPL-101", "SPL-102"]
    for asked, hint in (("SPL-1O1", "SPL-101"), ("GATT-101", "GAT"), ("", "known: ")):
        done = CliRunner().invoke(d.cli, ["explain-code", asked])
        assert done.exit_code == 1
        assert hint in done.exception.advice  # type: ignore[union-attr]


def test_each_error_that_is_told_leads_to_a_section(capsys: pytest.CaptureFixture[str]) -> None:
    """On the command line, in the gateway's JSON and in its words for MLflow's clients, in the
    console's JSON."""
    error = NoKey("no API key was sent")
    page, _, anchor = error.docs.partition("#")
    assert anchor in d.anchors(d.page(f"reference/{page}.md"))
    for body in (rejection_body(error, "r"), MlflowProtocol().rejection(error, "r")[1]):
        assert b'"docs":"errors/GAT#gat-101"' in body
    assert ErrorOut.of(error).docs == "errors/GAT#gat-101"
    report_error(Output(), error)
    assert capsys.readouterr().out.splitlines()[-1] == "  more: windvane explain-code GAT-101"


def test_the_wheel_has_the_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(d.DOCS.parent)
    wheel = tmp_path / build_wheel(str(tmp_path))
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path)
    shipped = tmp_path / "windvane" / "apps" / "cli" / "errors"
    assert {p.name for p in shipped.iterdir()} == {p.name for p in FOLDER.iterdir()}
    assert find_sections("GAT-101", shipped) == find_sections("GAT-101", pages_folder())

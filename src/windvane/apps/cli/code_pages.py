"""What the reference says of a code: its pages ship with the package, so that they can be read
where there is no network."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import ClassVar

import msgspec

import windvane
from windvane.core.errors import WindvaneError, did_you_mean

PARTS = ("Means", "Cause", "Fix", "Example")
_CODE = re.compile(r"## ([A-Z]{3}-\d{3})")
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
_PLACE = "reference/errors"


class UnknownCode(WindvaneError):
    """There is no such code, nor a family of codes of that name."""

    code: ClassVar[str] = "COD-101"


class CodeSection(msgspec.Struct, frozen=True):
    """The section of one code. ``means``, ``cause`` and ``fix`` hold a paragraph or point each;
    ``example`` is a message as it is printed; ``docs`` leads to the section."""

    code: str
    means: list[str]
    cause: list[str]
    fix: list[str]
    example: str
    docs: str


def pages_folder() -> Path:
    """Of an installed package, else of the checkout that an editable one leads to."""
    package = Path(windvane.__file__).parent
    shipped = package / "apps" / "cli" / "errors"
    return shipped if shipped.is_dir() else package.parents[1] / "docs" / "reference" / "errors"


def find_sections(asked: str, folder: Path) -> list[CodeSection]:
    """Of the code ``asked``, or of all codes of a family such as `GAT`, in their order. Raises
    UnknownCode, with the closest."""
    word = asked.strip().upper()
    family = word.partition("-")[0]
    families = sorted(path.stem for path in folder.glob("*.md"))
    if family not in families:
        raise UnknownCode(f"there is no code {asked[:32]!r}", hint=did_you_mean(family, families))
    sections = read_sections((folder / f"{family}.md").read_text(encoding="utf-8"))
    if word == family:
        return sections
    found = [section for section in sections if section.code == word]
    if not found:
        known = [section.code for section in sections]
        raise UnknownCode(f"there is no code {asked[:32]!r}", hint=did_you_mean(word, known))
    return found


def read_sections(page: str) -> list[CodeSection]:
    """The sections of a page. Raises ValueError where one lacks a part."""
    out: list[CodeSection] = []
    for section in page.split("\n## ")[1:]:
        code = _CODE.match(f"## {section}")
        if code is None:
            raise ValueError(f"{section.splitlines()[0]!r} is no code")
        parts = re.split(r"^\*\*(\w+)\*\*$", section, flags=re.MULTILINE)
        held = dict(zip(parts[1::2], parts[2::2], strict=True))
        if tuple(held) != PARTS or not all(text.strip() for text in held.values()):
            raise ValueError(f"{code[1]} needs {', '.join(PARTS)}")
        means, cause, fix = (_points(held[name]) for name in PARTS[:3])
        example = held["Example"].strip().removeprefix("```text\n").removesuffix("\n```")
        out.append(CodeSection(code[1], means, cause, fix, example, _docs(code[1])))
    return out


def _docs(code: str) -> str:
    return f"docs/{_PLACE}/{code[:3]}.md#{code.lower()}"


def _points(text: str) -> list[str]:
    return [_plain(point) for point in re.split(r"\n(?:- |\n)", f"\n{text.strip()}") if point]


def _plain(text: str) -> str:
    """Without Markdown: links name their page, for there is nothing to click."""

    def named(link: re.Match[str]) -> str:
        words, target = link[1], link[2].partition("#")[0]
        if words.strip("`") == words and target:
            return f"{words} ({posixpath.normpath(f'docs/{_PLACE}/{target}')})"
        return words

    words = " ".join(_LINK.sub(named, text).removeprefix("- ").split())
    return words.replace("**", "")

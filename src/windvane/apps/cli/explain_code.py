"""``windvane explain-code``."""

from __future__ import annotations

from typing import Annotated

import typer

from windvane.apps.cli.code_pages import CodeSection, find_sections, pages_folder
from windvane.apps.cli.options import AsJson
from windvane.apps.cli.output import out, print_json


def explain_code(
    code: Annotated[
        str, typer.Argument(help="A code such as GAT-101, or a family of them such as GAT.")
    ],
    as_json: AsJson = False,
) -> None:
    """What a code means, what causes it and how to fix it.

    Codes are printed with every error, and stand in verdicts, in health and in the quarantine.
    The text comes with the package: no network and no installation are needed.
    """
    found = find_sections(code, pages_folder())
    if as_json:
        print_json(found)
    elif len(found) == 1:
        _show(found[0])
    else:
        for section in found:
            out.print(f"{section.code}  {section.means[0]}")


def _show(section: CodeSection) -> None:
    out.print(section.code, style="bold")
    for title, points in (
        ("means", section.means), ("cause", section.cause), ("fix", section.fix),
    ):  # fmt: skip
        out.print(f"\n{title}", style="bold")
        for point in points:
            out.print(f"  - {point}" if len(points) > 1 else f"  {point}")
    out.print("\nexample", style="bold")
    out.print("\n".join(f"  {line}" for line in section.example.splitlines()), soft_wrap=True)
    out.print(f"\n{section.docs}", soft_wrap=True)

"""The weekly digest as a person reads it: a few sections of lines, as a mail or on a page."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

_MOST_LINES = 20


@dataclass(frozen=True, slots=True)
class DigestLine:
    """``path`` is of the console's page about it, "" for none. ``grave``: it asks for somebody."""

    text: str
    path: str = ""
    grave: bool = False


@dataclass(frozen=True, slots=True)
class DigestSection:
    """``quiet`` is said where there is no line; ``more`` lines are left out."""

    title: str
    lines: tuple[DigestLine, ...]
    quiet: str
    more: int = 0


@dataclass(frozen=True, slots=True)
class Digest:
    """Of the time from ``since`` to ``until`` (s), about models of ``team`` ("" for all)."""

    since: float
    until: float
    models: int
    team: str
    sections: tuple[DigestSection, ...]

    @property
    def grave(self) -> int:
        """How many lines ask for somebody."""
        return sum(line.grave for one in self.sections for line in one.lines)


def make_section(title: str, lines: Sequence[DigestLine], quiet: str) -> DigestSection:
    """With a bound on its lines; those that come first are kept."""
    more = max(0, len(lines) - _MOST_LINES)
    return DigestSection(title, tuple(lines[:_MOST_LINES]), quiet, more)


def digest_title(found: Digest) -> str:
    whose = f" of {found.team}" if found.team else ""
    models = "1 model" if found.models == 1 else f"{found.models:,} models"
    asks = f"{found.grave} ask for you" if found.grave else "nothing asks for you"
    return f"Weekly digest{whose}: {models}, {asks}"


def digest_text(found: Digest, console_url: str = "") -> str:
    """As plain text; ``console_url`` "" leaves the links out."""
    parts: list[str] = []
    for one in found.sections:
        parts.append(one.title.upper())
        parts += [f"- {_marked(line)}{_at(line, console_url)}" for line in one.lines]
        parts += [f"- and {one.more} more"] if one.more else []
        parts += [] if one.lines else [one.quiet]
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def digest_html(found: Digest, console_url: str = "") -> str:
    """As a mail's HTML: without scripts, pictures or anything that is fetched."""
    body = [f"<h1>{html.escape(digest_title(found))}</h1>"]
    for one in found.sections:
        body.append(f"<h2>{html.escape(one.title)}</h2>")
        if one.lines:
            items = [f"<li>{_item(line, console_url)}</li>" for line in one.lines]
            items += [f"<li>and {one.more} more</li>"] if one.more else []
            body.append(f"<ul>{''.join(items)}</ul>")
        else:
            body.append(f"<p>{html.escape(one.quiet)}</p>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"></head>'
        f'<body style="font-family:sans-serif;max-width:44em">{"".join(body)}</body></html>'
    )


def _marked(line: DigestLine) -> str:
    return f"! {line.text}" if line.grave else line.text


def _at(line: DigestLine, console_url: str) -> str:
    return f" ({_address(line, console_url)})" if console_url and line.path else ""


def _item(line: DigestLine, console_url: str) -> str:
    text = html.escape(line.text)
    if line.grave:
        text = f"<b>{text}</b>"
    if not console_url or not line.path:
        return text
    return f'<a href="{html.escape(_address(line, console_url))}">{text}</a>'


def _address(line: DigestLine, console_url: str) -> str:
    return console_url.rstrip("/") + line.path

"""Packages of a version's own: what was asked for, what came of it, and under which name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from windvane.core.errors import WindvaneError

ENVIRONMENT_FILE = "environment.json"

_MOST_LINES = 1_000
_MOST_CHARACTERS = 1_000
_SHOWN = 80
_VERSION = r"(?:===|~=|==|!=|<=|>=|<|>)[A-Za-z0-9.*+!_-]+"
# The grammar of dependency specifiers (PEP 508) without direct references.
_LINE = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
    r"(?P<extras>\[[A-Za-z0-9._,\s-]*\])?"
    rf"(?P<versions>\(?{_VERSION}(?:,{_VERSION})*\)?)?"
    # What a marker may hold: pip reads ${NAME} and a trailing backslash before it reads lines.
    r"(?P<marker>;(?:(?!\s-)[A-Za-z0-9_.()'\"<>=!~,+*\s-])+?)?"
    r"(?P<hashes>(?:\s+--hash=sha256:[0-9a-f]{64})*)"
)
_AROUND_VERSIONS = re.compile(r"\s*(===|~=|==|!=|<=|>=|<|>|,)\s*")


class BadRequirements(WindvaneError):
    """A line of a requirements file that no environment is built from."""

    code: ClassVar[str] = "REG-104"
    hint = "write one package a line, such as `scikit-learn==1.5.2`; `--wheels FOLDER` for files"


@dataclass(frozen=True, slots=True)
class Package:
    """An installed distribution. ``sha256``: of the wheels that it may come from, in hex."""

    name: str
    version: str
    sha256: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment as it was built: ``id`` is the `environment_id` of ``packages``, which are
    sorted by name; ``requirements`` are what was asked for. ``python`` is its major and minor
    version."""

    id: str
    requirements: tuple[str, ...]
    python: str
    platform: str
    packages: tuple[Package, ...] = field(default_factory=tuple[Package, ...])

    @property
    def versions(self) -> dict[str, str]:
        """By the package's name in its normal form."""
        return {one.name: one.version for one in self.packages}

    @property
    def id_of_content(self) -> str:
        """What ``id`` has to be; another one was not given by these packages."""
        return environment_id(self.packages, self.python, self.platform)


def environment_id(packages: Iterable[Package], python: str, platform: str) -> str:
    """SHA-256 in hex over what is installed: name, version and the wheels' SHA-256 of each
    package in any order, Python's major and minor version, and the platform."""
    content = sorted([one.name, one.version, sorted(one.sha256)] for one in packages)
    return _hash([content, python, platform])


def request_id(
    requirements: Sequence[str], python: str, platform: str, wheels: Mapping[str, str]
) -> str:
    """SHA-256 in hex over what is asked for: normalised requirements, Python's major and minor
    version, the platform, and the SHA-256 of each wheel by file name where only these may be
    installed. Requirements that are not pinned may come to other packages later."""
    return _hash([sorted(requirements), python, platform, sorted(wheels.items())])


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


def package_name(name: str) -> str:
    """The normal form of a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def normalise_requirements(text: str) -> tuple[str, ...]:
    """The lines of a requirements file in one form, sorted, each once.

    Options, other files, links and folders are refused: they would name places rather than
    packages, and a source archive runs its own code when it is built. Raises BadRequirements.
    """
    lines = text.replace("\\\r\n", " ").replace("\\\n", " ").splitlines()
    if len(lines) > _MOST_LINES:
        raise BadRequirements(f"{len(lines):,} lines > {_MOST_LINES:,} allowed")
    found: set[str] = set()
    for number, line in enumerate(lines, 1):
        stated = re.sub(r"(^|\s)#.*", "", line).strip()
        if stated:
            found.add(_normal(stated, number))
    if not found:
        raise BadRequirements("no package is named")
    return tuple(sorted(found))


def _normal(line: str, number: int) -> str:
    shown = line[:_SHOWN]
    if len(line) > _MOST_CHARACTERS:
        raise BadRequirements(
            f"line {number}: {len(line):,} characters > {_MOST_CHARACTERS:,} allowed: {shown}…"
        )
    if line.startswith("-"):
        raise BadRequirements(
            f"line {number}: {shown!r} is an option of pip",
            hint="an index is set in pip's own configuration; wheels by --wheels FOLDER",
        )
    head, semicolon, rest = line.partition(";")
    if "@" in head:
        # A link may hold a password: only the package is told.
        name = head.partition("@")[0].strip()
        raise BadRequirements(f"line {number}: {name[:_SHOWN]!r} is taken from a link or a folder")
    text = _AROUND_VERSIONS.sub(r"\1", head).strip() + (f";{rest.strip()}" if semicolon else "")
    text = re.sub(r"^([A-Za-z0-9._-]+)\s+([\[(])", r"\1\2", text)
    text = re.sub(r"\]\s+(?=[(<>=!~])", "]", text)
    match = _LINE.fullmatch(text)
    if match is None:
        raise BadRequirements(f"line {number}: {shown!r} names no package and its versions")
    extras = sorted(
        package_name(one.strip()) for one in (match["extras"] or "").strip("[]").split(",") if one
    )
    versions = sorted(one for one in (match["versions"] or "").strip("()").split(",") if one)
    hashes = sorted((match["hashes"] or "").split())
    return (
        package_name(match["name"])
        + (f"[{','.join(extras)}]" if extras else "")
        + ",".join(versions)
        + (f"; {' '.join(match['marker'].strip('; ').split())}" if match["marker"] else "")
        + "".join(f" {one}" for one in hashes)
    )

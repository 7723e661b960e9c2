"""What the code offers, read from the code; what a page documents, read from the page.

Both sides are sets of names, so a test is one subtraction.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import typer

import windvane
from windvane.apps.cli.main import app as cli

SOURCE = Path(windvane.__file__).parent
DOCS = Path(__file__).parents[2] / "docs"
_CODE = re.compile(r"[A-Z]{3}-\d{3}")


def page(name: str) -> str:
    return (DOCS / name).read_text()


def missing(wanted: Iterable[str], text: str) -> list[str]:
    """Names without a table row or heading of their own in ``text``."""
    return sorted(set(wanted) - documented(text))


def documented(text: str) -> set[str]:
    """Every backticked name in the first cell of a table row, or in a heading.

    A name that is only mentioned in passing does not count.
    """
    found: set[str] = set()
    for line in _outside_fences(text):
        if line.startswith("|"):
            found |= set(re.findall(r"`([^`]+)`", _cells(line)[0]))
        elif line.startswith("#"):
            found |= set(re.findall(r"`([^`]+)`", line))
    return found


def rows(text: str) -> dict[str, list[str]]:
    """The cells of each table row by the first name in its first cell."""
    out: dict[str, list[str]] = {}
    for line in _outside_fences(text):
        if line.startswith(("| `", "| [`")):
            cells = _cells(line)
            out[cells[0].split("`")[1]] = cells
    return out


def section(text: str, heading: str) -> str:
    """The part under ``heading``, up to the next one of the same depth or less."""
    depth = len(heading) - len(heading.lstrip("#"))
    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("#") and len(line) - len(line.lstrip("#")) <= depth:
            inside = line.strip() == heading
        if inside:
            kept.append(line)
    return "\n".join(kept)


def modules(below: str = "windvane") -> Iterator[ModuleType]:
    """Every module of the package, imported; ``__main__`` and migrations left out."""
    root = importlib.import_module(below)
    yield root
    for found in pkgutil.walk_packages(root.__path__, f"{below}."):
        if not found.name.endswith("__main__") and ".migrations" not in found.name:
            yield importlib.import_module(found.name)


def trees() -> Iterator[tuple[Path, ast.AST]]:
    for path in sorted(SOURCE.rglob("*.py")):
        if "migrations" not in path.parts:
            yield path, ast.parse(path.read_text())


def codes_in_source() -> set[str]:
    """Every literal that looks like a code: errors, problems, flags and verdicts."""
    return {
        node.value
        for _, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and _CODE.fullmatch(node.value)
    }


def code_suffixes(module: ModuleType) -> set[str]:
    """``-201`` and its like in f-strings such as ``f"{policy.code}-201"``."""
    return {
        part.value
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.JoinedStr)
        for part in node.values
        if isinstance(part, ast.Constant) and re.fullmatch(r"-\d{3}", str(part.value))
    }


def environment_names() -> set[str]:
    """What the source reads from the environment or puts into a child's, and each of our own."""
    found: set[str] = set()
    for _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and re.fullmatch(
                r"WINDVANE_[A-Z_]+", str(node.value)
            ):
                found.add(node.value)
            if isinstance(node, ast.Call) and "environ" in ast.unparse(node.func):
                found |= {a.value for a in node.args[:1] if isinstance(a, ast.Constant)}
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith(
                "_VARIABLE"
            ):
                found.add(ast.literal_eval(node.value))
            elif isinstance(node, ast.Dict) and any(
                key is None and "environ" in ast.unparse(value)
                for key, value in zip(node.keys, node.values, strict=True)
            ):
                found |= {key.value for key in node.keys if isinstance(key, ast.Constant)}
    return {str(name) for name in found}


def commands() -> dict[str, set[str]]:
    """Each command's options and, in capitals, its arguments."""
    out: dict[str, set[str]] = {}
    for name, command in _leaves(typer.main.get_command(cli)):
        out[name] = set()
        for given in command.params:
            if given.param_type_name == "argument":
                out[name].add(given.name.upper())
            else:
                out[name] |= {*given.opts, *given.secondary_opts}
    return out


def option_helps() -> dict[str, dict[str, str]]:
    """Each command's options by their first name and, in capitals, its arguments, with what
    ``--help`` says of them."""
    return {
        name: {
            one.name.upper() if one.param_type_name == "argument" else one.opts[0]: one.help or ""
            for one in command.params
        }
        for name, command in _leaves(typer.main.get_command(cli))
    }


def plain(text: str) -> str:
    """Without links and code marks, a capital at its beginning and a stop at its end."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("`", "")
    words = " ".join(words.split()).rstrip(".")
    return words[:1].lower() + words[1:]


def _leaves(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Commands by their words: ``up``, ``key issue``."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


def keys_of(struct: type[msgspec.Struct], prefix: str = "") -> dict[str, Any]:
    """Dotted keys of a file's structure with their defaults; NODEFAULT where required."""
    out: dict[str, Any] = {}
    hints = get_type_hints(struct)
    for field in msgspec.structs.fields(struct):
        name = prefix + field.name
        default = field.default
        if default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        out[name] = default
        inner, path = hints[field.name], name
        while get_origin(inner) is dict:  # features: {VIEW: {NAME: Feature}}
            inner = get_args(inner)[1]
            path += ".VIEW" if get_origin(inner) is dict else ".NAME"
        for kind in get_args(inner) if isinstance(inner, UnionType) else (inner,):
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                out |= keys_of(kind, path + ".")
    return out


def shown(default: Any) -> str | None:
    """A default as a page writes it; None where the page explains it in words."""
    if default is msgspec.NODEFAULT:
        return "–"
    if isinstance(default, msgspec.Struct):
        return None
    if default is None:
        return "none"
    if default == "":
        return "empty"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, list):
        return f"`[{', '.join(map(str, default))}]`"
    return f"`{default}`"


def protocols() -> set[str]:
    """Every Protocol of ``windvane.ports``."""
    return {
        name
        for module in modules("windvane.ports")
        for name, kind in vars(module).items()
        if inspect.isclass(kind)
        and kind.__module__ == module.__name__
        and getattr(kind, "_is_protocol", False)
    }


def links(text: str) -> list[str]:
    """Targets of the Markdown links outside of code."""
    prose = "\n".join(_outside_fences(text))
    prose = re.sub(r"`[^`]*`", "", prose)
    return re.findall(r"\]\(([^)\s]+)\)", prose)


def anchors(text: str) -> set[str]:
    """The ids of a page's headings, as Python-Markdown makes them."""
    out: set[str] = set()
    for line in _outside_fences(text):
        if re.match(r"#+ ", line):
            words = re.sub(r"[`*]", "", line.lstrip("# ")).strip().lower()
            out.add(re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", words)))
    return out


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _outside_fences(text: str) -> Iterator[str]:
    fenced = False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield line

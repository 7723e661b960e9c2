"""Each line that a process logs has its row on the page of logs, with its level and values."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

import docs.documented as d

PAGE = "reference/logs.md"
LEVELS = {"debug", "info", "warning", "error", "critical"}
_VALUE = re.compile(r"%(?:\.\d+)?[sdrf]")
# Folders whose lines come from one process.
_SECTIONS = {
    "apps/gateway": "## Gateway",
    "inference": "## Gateway",
    "apps/recorder": "## Recorder",
    "apps/steward": "## Steward",
    "apps/console": "## Console",
    "apps/cli": "## Supervisor",
    "apps/sandbox": "## Sandbox",
}


@dataclass(frozen=True)
class Line:
    """A call of a logger: where, the message with its values open, the level as the page writes
    it."""

    place: str
    message: str
    level: str


def level_of(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Attribute)
    given = {keyword.arg for keyword in call.keywords}
    level = call.func.attr
    trace = level == "exception" or "exc_info" in given
    parts = ["error" if level == "exception" else level]
    return ", ".join(parts + ["trace"] * trace + ["request"] * ("extra" in given))


def is_log(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    logger = ast.unparse(node.func.value)
    named = logger in ("_log", "log", "logger") or logger.startswith("logging.getLogger(")
    return named and node.func.attr in {*LEVELS, "exception"}


def messages_of(call: ast.Call, function: ast.AST, tree: ast.AST) -> set[str]:
    """What the call may say: its text, that of the variable of the function it stands in, or
    what callers of that function give for its parameter."""
    said = call.args[0]
    if isinstance(said, ast.Constant):
        return {str(said.value)}
    assert isinstance(said, ast.Name), f"no template: {ast.unparse(call)}"
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    assigned = {
        str(node.value.value)
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == said.id
        and isinstance(node.value, ast.Constant)
    }
    if assigned:
        return assigned
    names = [one.arg for one in function.args.args if one.arg != "self"]
    assert said.id in names, f"no template: {ast.unparse(call)}"
    given = {
        node.args[names.index(said.id)]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == function.name
    }
    assert given, f"nobody calls {function.name}"
    assert all(isinstance(one, ast.Constant) for one in given), f"{function.name} is given a value"
    return {ast.literal_eval(one) for one in given}


def lines(tree: ast.AST, place: str) -> Iterator[Line]:
    functions = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    inner: dict[int, ast.AST] = {}
    for function in functions:  # outer ones come first, so that the innermost stays
        inner |= {id(node): function for node in ast.walk(function)}
    for node in ast.walk(tree):
        if is_log(node):
            assert isinstance(node, ast.Call)
            for message in messages_of(node, inner.get(id(node), tree), tree):
                yield Line(place, " ".join(message.split()), level_of(node))


def all_lines() -> list[Line]:
    found = ((tree, str(path.relative_to(d.SOURCE))) for path, tree in d.trees())
    return [line for tree, place in found for line in lines(tree, place)]


def rows(text: str) -> list[tuple[str, str, str, str]]:
    found = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| (.+) \|$", text, re.MULTILINE)
    return [(m, level.strip(), values.strip(), todo.strip()) for m, level, values, todo in found]


def test_every_line_has_its_row_with_its_level() -> None:
    told = {(message, level) for message, level, _, _ in rows(d.page(PAGE))}
    said = {(line.message, line.level) for line in all_lines()}
    assert len(said) > 80
    assert said - told == set(), "lines without a row"
    assert told - said == set(), "rows of lines that are gone"


def test_every_row_names_its_values_and_says_what_to_do() -> None:
    for message, level, values, todo in rows(d.page(PAGE)):
        assert level.split(",")[0] in LEVELS, message
        named = [] if values == "–" else re.split(r", (?!or that)", values)
        assert len(named) == len(_VALUE.findall(message.replace("%%", ""))), message
        assert len(todo) >= len("nothing"), message


def test_a_row_stands_under_the_process_that_says_it() -> None:
    text = d.page(PAGE)
    for line in all_lines():
        heading = next((h for f, h in _SECTIONS.items() if line.place.startswith(f)), None)
        if heading is not None:
            under = {message for message, *_ in rows(d.section(text, heading))}
            also = {message for message, *_ in rows(d.section(text, "## Steward"))}
            assert line.message in under | (also if "console/reading" in line.place else set())


def test_a_planted_line_is_found_however_it_is_said() -> None:
    source = """
def f(self, kind, message):
    _log.warning(message, kind)

def g():
    said = "spool %s of\\n%s"
    _log.error(said, 1, 2, extra={})
    self.f("k", "told %s")
    logging.getLogger("x").exception("it fails")
"""
    found = {(line.message, line.level) for line in lines(ast.parse(source), "x")}
    assert found == {
        ("told %s", "warning"),
        ("spool %s of %s", "error, request"),
        ("it fails", "error, trace"),
    }

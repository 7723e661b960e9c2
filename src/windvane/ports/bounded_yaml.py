"""YAML of strangers, whose size is bounded before anything is made of it."""

from __future__ import annotations

from typing import Any, cast

import yaml

MOST_CHARACTERS = 1 << 20
MOST_NODES = 100_000
DEEPEST = 50


class BadYaml(ValueError):
    """The text is no YAML that can be read, and why; ``hint`` says where to look."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class BoundedLoader(yaml.SafeLoader):
    """Stops at a depth, long before Python itself would."""

    def __init__(self, text: str) -> None:
        if len(text) > MOST_CHARACTERS:
            raise BadYaml(f"{len(text):,} characters, {MOST_CHARACTERS:,} may be")
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise BadYaml(f"more than {DEEPEST} levels")
        found = super().compose_node(parent, index)
        self._depth -= 1
        return found


def load_yaml(text: str) -> Any:
    """As `yaml.safe_load`. Raises yaml.YAMLError, and ValueError: BadYaml for over a million
    characters, 100,000 values (an alias counts as often as it is used) or 50 levels, others for
    numbers and times that Python does not make."""
    loader = BoundedLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _count(root, 0, 0)
        try:
            return loader.construct_document(root)  # pyright: ignore[reportUnknownMemberType]
        except (OverflowError, TypeError, AttributeError, LookupError) as error:
            raise BadYaml(f"a value cannot be read: {type(error).__name__}") from error
    finally:
        loader.dispose()


def _count(node: yaml.Node, depth: int, nodes: int) -> int:
    nodes += 1
    if nodes > MOST_NODES:
        raise BadYaml(f"more than {MOST_NODES:,} values")
    if depth > DEEPEST:
        raise BadYaml(f"more than {DEEPEST} levels")
    if isinstance(node, yaml.MappingNode):
        for key, value in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            nodes = _count(value, depth + 1, _count(key, depth + 1, nodes))
    elif isinstance(node, yaml.SequenceNode):
        for item in cast("list[yaml.Node]", node.value):
            nodes = _count(item, depth + 1, nodes)
    return nodes

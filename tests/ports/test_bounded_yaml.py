"""What YAML of strangers may cost."""

from __future__ import annotations

import pytest
import yaml

from windvane.ports.bounded_yaml import BadYaml, load_yaml

MERGES = "\n".join(
    ["a0: &a0 {x: 1}"]
    + [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}" for i in range(1, 8)]
)


def test_it_reads_what_pyyaml_reads() -> None:
    text = "a: &a {b: [1, 2.5, yes, null, 2024-01-02]}\nc: {<<: *a, d: é}\n"
    assert load_yaml(text) == yaml.safe_load(text)
    assert load_yaml("") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 5_000, "levels"),
        ("a: &a [*a]", "levels"),
        ("a: &a {b: *a}", "levels"),
        (MERGES, "100,000 values"),
        ("a: " + "x" * (1 << 20), "characters"),
        ("? {a: 1}\n: 1", "hash"),
        ("a: !!python/object:os.system {}", "constructor"),
        ("a: [", "expected"),
    ],
    ids=lambda given: given[:16],
)
def test_what_is_too_much_is_refused(text: str, said: str) -> None:
    with pytest.raises((BadYaml, yaml.YAMLError), match=said):
        load_yaml(text)


@pytest.mark.parametrize("word", ["9" * 5_000, "2024-99-99", "!!int x", "!!timestamp x"])
def test_what_python_does_not_make_is_an_error_of_ours_or_of_yaml(word: str) -> None:
    with pytest.raises((ValueError, yaml.YAMLError)):
        load_yaml(f"a: {word}")

"""A strict reader of Prometheus' text format 0.0.4, so that what we render is what it means."""

from __future__ import annotations

import re

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? (-?[0-9.]+(?:e[+-]?\d+)?)")
_PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
Labels = tuple[tuple[str, str], ...]


def read(text: str) -> dict[str, dict[Labels, float]]:
    """Samples by name and sorted labels; raises AssertionError where the text breaks a rule."""
    out: dict[str, dict[Labels, float]] = {}
    kinds: dict[str, str] = {}
    family = ""
    assert not text or text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            assert re.fullmatch(_NAME, family)
            assert family not in kinds, f"{family} comes twice"
            kinds[family] = ""
            continue
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == family
            assert kind in ("counter", "gauge", "histogram")
            kinds[family] = kind
            continue
        found = _SAMPLE.fullmatch(line)
        assert found, f"no sample: {line!r}"
        name, labels, value = found[1], found[2] or "", float(found[3])
        suffix = name.removeprefix(family)
        allowed = ("_bucket", "_sum", "_count") if kinds[family] == "histogram" else ("",)
        assert name.startswith(family), f"{name} under {family}"
        assert suffix in allowed, f"{name} under {family}"
        pairs = _PAIR.findall(labels)
        assert len({k for k, _ in pairs}) == len(pairs)
        given = tuple(
            sorted(
                (k, re.sub(r"\\.", lambda m: _ESCAPES[m[0]], v))
                for k, v in pairs
            )
        )  # fmt: skip
        held = out.setdefault(name, {})
        assert given not in held, f"{line!r} comes twice"
        held[given] = value
    for name, kind in kinds.items():
        if kind == "histogram":
            _check_histogram(out, name)
        if kind == "counter":
            assert name.endswith("_total")
            assert all(v >= 0 for v in out.get(name, {}).values())
    return out


def _check_histogram(out: dict[str, dict[Labels, float]], name: str) -> None:
    buckets: dict[Labels, list[tuple[float, float]]] = {}
    for labels, count in out.get(f"{name}_bucket", {}).items():
        rest = tuple(pair for pair in labels if pair[0] != "le")
        le = dict(labels)["le"]
        buckets.setdefault(rest, []).append((float("inf") if le == "+Inf" else float(le), count))
    for rest, found in buckets.items():
        edges, counts = zip(*sorted(found), strict=True)
        assert edges[-1] == float("inf")
        assert list(counts) == sorted(counts), "buckets are cumulative"
        assert counts[-1] == out[f"{name}_count"][rest]
        assert rest in out[f"{name}_sum"]

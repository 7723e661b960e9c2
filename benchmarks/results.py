"""What every benchmark writes: measures with their bounds, the machine, the versions."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parent / "results"
_VERSIONS = ("windvane", "numpy", "scipy")


@dataclass(frozen=True, slots=True)
class Measure:
    """One number and the bound it is held to; NaN (not measured) never holds.

    Exactly one of ``at_least`` and ``at_most`` is given. ``measure`` names the unit.
    """

    measure: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"{self.measure}: give one of at_least and at_most")

    @property
    def ok(self) -> bool:
        if self.at_least is not None:
            return self.value >= self.at_least
        return self.at_most is not None and self.value <= self.at_most

    def to_dict(self) -> dict[str, Any]:
        name, bound = (
            ("at_least", self.at_least) if self.at_least is not None else ("at_most", self.at_most)
        )
        # JSON has no infinity or NaN: null is "never" or "not measured".
        value = self.value if abs(self.value) < float("inf") else None
        return {"measure": self.measure, "value": value, name: bound, "ok": self.ok}


def missed_by(measure: Measure) -> str:
    """How far from its bound, in per cent of the bound (in its own unit where the bound is zero);
    "" if it holds."""
    if measure.ok:
        return ""
    if not math.isfinite(measure.value):
        return "not measured" if math.isnan(measure.value) else "never"
    bound = measure.at_least if measure.at_least is not None else measure.at_most
    assert bound is not None
    off = abs(measure.value - bound)
    return f"missed by {off / abs(bound):.0%}" if bound else f"missed by {off:g}"


def ratio(value: float, baseline: float) -> float:
    """NaN, which holds no bound, where there is no baseline."""
    return value / baseline if baseline > 0 else math.nan


def mid_ratio(pairs: Iterable[tuple[float, float]]) -> float:
    """The median of the ratios of value and baseline; NaN, which holds no bound, if any is
    or there is none."""
    ratios = [ratio(value, baseline) for value, baseline in pairs]
    return statistics.median(ratios) if ratios and not any(map(math.isnan, ratios)) else math.nan


class Loaded(Protocol):
    """A load's figures; ``stolen`` is how many seconds in each the hypervisor took meanwhile."""

    @property
    def stolen(self) -> float: ...


L = TypeVar("L", bound=Loaded)


def quieter(pairs: Iterable[tuple[L, L]]) -> list[tuple[L, L]]:
    """The turns in which the hypervisor took no more than in the middle one, all of them where it
    takes nothing. A server can neither cause nor help it, but a p99 rests on little else where a
    hundredth of the time is taken in pieces of ten milliseconds."""
    turns = [(max(one.stolen, other.stolen), (one, other)) for one, other in pairs]
    most = statistics.median_low(stolen for stolen, _ in turns) if turns else 0.0
    return [pair for stolen, pair in turns if stolen <= most]


def machine() -> dict[str, Any]:
    """Processor model, cores this process may use, memory in GiB."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        model = next((s.split(":", 1)[1].strip() for s in lines if "model name" in s), model)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "memory_gib": round(memory, 1)}


def read_options(
    arguments: Sequence[str] | None, *, about: str | None, only: str, out: Path, short: str = "",
    whole: str = "",
) -> argparse.Namespace:  # fmt: skip
    """``quick``, ``short`` and ``whole`` where there is help for it, ``only`` (its help is
    ``only``), ``json`` and ``out``: the results' file, by default ``out``, but none where only a
    part is run."""
    parser = argparse.ArgumentParser(description=about, allow_abbrev=False)
    how_much = parser.add_mutually_exclusive_group()
    how_much.add_argument("--quick", action="store_true", help="one short run of each, to try it")
    if short:
        how_much.add_argument("--short", action="store_true", help=short)
    if whole:
        how_much.add_argument("--whole", action="store_true", help=whole)
        parser.add_argument("--page", action="store_true", help="also fill the page of the docs")
    parser.add_argument("--only", default="", help=only)
    parser.add_argument("--json", action="store_true", help="the results on stdout, for machines")
    parser.add_argument("--out", type=Path, help="results file; none by default with --only")
    given = parser.parse_args(arguments)
    if given.out is None and not given.only:
        given.out = out
    return given


def write_results(
    path: Path,
    measures: Sequence[Measure],
    *,
    settings: Mapping[str, Any],
    informational: Sequence[Mapping[str, Any]] = (),
    versions: Sequence[str] = _VERSIONS,
) -> bool:
    """Write the file; True if every measure holds.

    ``settings`` are what one needs to repeat the run; ``informational`` numbers have no bound.
    """
    body = {
        "machine": machine(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in versions},
        },
        "settings": dict(settings),
        "measures": [m.to_dict() for m in measures],
        "informational": [dict(entry) for entry in informational],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(body, indent=1, allow_nan=False) + "\n")
    return all(m.ok for m in measures)


def markdown_measures(measures: Sequence[Measure]) -> str:
    """The measures beside their bounds, as a table of Markdown."""
    lines = ["| measure | value | bound | |", "|---|---|---|---|"]
    for m in measures:
        bound = f">= {m.at_least:g}" if m.at_least is not None else f"<= {m.at_most:g}"
        value = f"{m.value:.3g}" if math.isfinite(m.value) else "-"
        word = "holds" if m.ok else f"**{missed_by(m)}**"
        lines.append(f"| {m.measure.replace('|', '/')} | {value} | {bound} | {word} |")
    return "\n".join(lines)


def markdown_table(title: str, lines: Sequence[Mapping[str, Any]]) -> str:
    """Lines that share their keys, as a table of Markdown under its title."""
    if not lines:
        return ""
    names = [str(name) for name in lines[0]]
    out = [f"**{title}**", "", f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    for line in lines:
        cells = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in line.values()]
        out.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(out)


def fill_page(path: Path, part: str, tables: str) -> None:
    """Put ``tables`` between the marks that a page has for ``part``. Raises ValueError where it has
    none."""
    marks = f"<!-- {part} -->", f"<!-- end of {part} -->"
    text = path.read_text()
    before, begin, rest = text.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError(f"{path} has no {marks[0]} and {marks[1]} to write between")
    path.write_text(f"{before}{begin}\n\n{tables}\n\n{end}{after}")


def show_measures(console: Console, measures: Sequence[Measure]) -> None:
    """Print the measures beside their bounds."""
    table = Table("measure", "value", "bound", "", title="Held to", title_justify="left")
    for m in measures:
        bound = f">= {m.at_least:g}" if m.at_least is not None else f"<= {m.at_most:g}"
        word = "[green]ok[/]" if m.ok else f"[bold red]{missed_by(m)}[/]"
        table.add_row(m.measure, f"{m.value:g}", bound, word)
    console.print(table)

"""Whose a change of the truth is: everyone's, some tenants' or some segments'."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from windvane.core.outcomes import (
    LEAST_UNITS,
    CellFacts,
    Cut,
    Reading,
    Shift,
    ShiftPolicy,
    judge_shift,
    read_cell,
    read_over,
    strength,
)
from windvane.core.verdict import Level, ShiftState, Verdict
from windvane.usecases.answer_cells import (
    OTHERS,
    AnswerCell,
    AnswerRows,
    Moves,
    segment_cells,
    tenant_cells,
)
from windvane.usecases.closed_window import segment_of, tenant_of

_LEAST_LEVEL = 2.0
_MOST_SHARE = 0.5
# So many standard deviations in one block, at over half of the cells, are not one cell's.
_STRONG = 3.0
# Of a segment's move the share that neither tenants nor the other segments explain, and how many
# standard deviations of a block that is, for the change to be the segment's own.
_OWN_SHARE, _OWN = 0.5, 2.0
# By so many standard deviations at over half of the other segments it is not the segment's own.
_JOINED = 1.0


@dataclass(frozen=True, slots=True)
class CellRow:
    """Of one cell and ``version``: the detectors by statistic, the level of what was said, and
    since when what was found is open, by statistic (s). ``judged``: the last block that had units
    enough, since something was found (s)."""

    version: str = ""
    kinds: Mapping[str, ShiftState] = field(default_factory=dict[str, ShiftState])
    said: Level = field(default_factory=Level)
    open: Mapping[str, float] = field(default_factory=dict[str, float])
    judged: float = 0.0

    @property
    def alarmed(self) -> bool:
        return bool(self.open)

    def of(self, version: str, *, harmed: bool = False) -> CellRow:
        """As that version begins. While something is open, of this cell or (``harmed``) of the
        model, it is held against what the one before it usually showed: else the fault would
        become the level, and be over."""
        if self.version == version:
            return self
        if harmed or self.open:
            return replace(self, version=version)
        return CellRow(version, {k: s for k, s in self.kinds.items() if k == Shift.RATE})


@dataclass(frozen=True, slots=True)
class JudgedCell:
    """``own``: by how many standard deviations of a block a segment moved alone."""

    facts: CellFacts
    policy: ShiftPolicy
    verdict: Verdict
    states: Mapping[str, ShiftState]
    own: float = 0.0

    @property
    def alarmed(self) -> bool:
        return any(state.alarmed for state in self.states.values())


@dataclass(frozen=True, slots=True, eq=False)
class JudgedBlock:
    """What is said of the model, and of each tenant and segment by the key of its cell."""

    model: JudgedCell
    cells: Mapping[str, AnswerCell]
    judged: Mapping[str, JudgedCell]
    spoiled: tuple[Mapping[str, ShiftState], ...]
    """Detectors of what may turn out to be a fault of tenants' rows: these are no new level."""


@dataclass(frozen=True, slots=True, eq=False)
class BlockJudge:
    """Judges the cells of one ``block`` (s) at ``now`` (s), by what is ``held`` of each cell and of
    the ``model``. Of a tenant or a segment alone a change is told as theirs, and taken off the
    others' values: each is told once. A tenant's comes before a segment's that it explains.
    ``cut`` is of the rows of all."""

    rows: AnswerRows
    held: Mapping[str, CellRow]
    model: CellRow
    block: float
    policy: ShiftPolicy
    now: float
    cut: Cut | None = None

    def judge(self) -> JudgedBlock:
        known = {key: row for key, row in self.held.items() if segment_of(key) and row.open}
        every = self._segments()
        rows = self.rows.without({k: _moves(c, known[k]) for k, c in every.items() if k in known})
        tenants = self._tenants(rows)
        segments = self._judge_segments(_guilty(rows, tenants, self.held), bool(self.model.open))
        new = {k: every[k] for k, one in segments.items() if one.alarmed and k not in known}
        if new:
            rows = rows.without({k: _moves(cell, self.held[k]) for k, cell in new.items()})
            tenants = self._tenants(rows)
        apart = {
            k: _moves(every[k], self.held[k])
            for k, one in segments.items()
            if one.own > _STRONG and k not in known and k not in new
        }
        if apart:
            # Segments need more evidence than tenants and the model: what they explain waits.
            without = self._tenants(rows.without(apart))
            tenants = {k: self._sooner(one, without[k], k) for k, one in tenants.items()}
        model = self._of_model(rows, tenants, apart)
        if model.alarmed and not self.model.open and new:
            # It is everyone's without them, too.
            segments = self._judge_segments({}, covered=True)
        cells = {**tenant_cells(rows, LEAST_UNITS), **every}
        strong = (segments[k].states for k in (*new, *apart))
        return JudgedBlock(model, cells, {**tenants, **segments}, (model.states, *strong))

    def _sooner(self, one: JudgedCell, without: JudgedCell, key: str) -> JudgedCell:
        """Of a new alarm, what is left without what explains it."""
        is_new = one.alarmed and not _alarmed(self.held[key].kinds)
        return without if is_new and not without.alarmed else one

    def _segments(self) -> Mapping[str, AnswerCell]:
        return {
            key: cell
            for feature in self.rows.segments
            for key, cell in segment_cells(self.rows, feature, LEAST_UNITS).items()
        }

    def _tenants(self, rows: AnswerRows) -> Mapping[str, JudgedCell]:
        cells = tenant_cells(rows, LEAST_UNITS)
        share = max(1, sum(key != OTHERS for key in cells))
        readings = {key: _readings(cell, self.held[key]) for key, cell in cells.items()}
        together = self._is_together(readings)
        out: dict[str, JudgedCell] = {}
        for key, cell in cells.items():
            covered = not self.held[key].open and (together or key == OTHERS)
            subject = "tenants with few units" if key == OTHERS else f"tenant {tenant_of(key)}"
            out[key] = self._judged(key, subject, cell, readings[key], covered, share)
        return out

    def _is_together(self, readings: Mapping[str, Sequence[Reading]]) -> bool:
        return bool(self.model.open) or len(readings) < 2 or _is_shared(readings, self.held)

    def _judge_segments(
        self, guilty: Mapping[str, Moves], covered: bool
    ) -> Mapping[str, JudgedCell]:
        """``guilty``: by how much the rows of tenants moved that are told as theirs."""
        of = {f: segment_cells(self.rows, f, LEAST_UNITS) for f in self.rows.segments}
        share = max(1, sum(map(len, of.values())))

        def judge(feature: str, off: Mapping[str, Moves]) -> Mapping[str, JudgedCell]:
            cells = of[feature]
            spared = segment_cells(self.rows.without(off), feature, LEAST_UNITS) if off else cells
            readings = {key: _readings(cell, self.held[key]) for key, cell in cells.items()}
            shared = covered or self._is_together(readings)
            out: dict[str, JudgedCell] = {}
            for key, cell in cells.items():
                own = 0.0 if shared else _own_strength(key, cell, spared, self.held)
                hidden = not self.held[key].open and (shared or own < _OWN)
                subject = f"segment {segment_of(key)}"
                out[key] = self._judged(key, subject, cell, readings[key], hidden, share, own)
            return out

        told = {
            key: (feature, _moves(cell, self.held[key]))
            for feature, cells in of.items()
            for key, cell in cells.items()
            if self.held[key].open
        }

        def others(feature: str) -> Mapping[str, Moves]:
            """What the segments by one feature explain is no other's by another feature."""
            return {key: moves for key, (f, moves) in told.items() if f != feature}

        found = {feature: dict(judge(feature, {**guilty, **others(feature)})) for feature in of}
        every = [(f, k, one) for f, judged in found.items() for k, one in judged.items()]
        fresh = [
            (f, k, one) for f, k, one in every if one.alarmed and not _alarmed(self.held[k].kinds)
        ]
        for feature, key, _ in sorted(fresh, key=lambda one: -one[2].own):
            if others(feature):
                found[feature][key] = judge(feature, {**guilty, **others(feature)})[key]
            if found[feature][key].alarmed:
                told[key] = feature, _moves(of[feature][key], self.held[key])
        return {key: one for judged in found.values() for key, one in judged.items()}

    def _judged(
        self,
        key: str,
        subject: str,
        cell: AnswerCell,
        readings: tuple[Reading, ...],
        covered: bool,
        share: int,
        own: float = 0.0,
    ) -> JudgedCell:
        facts = CellFacts(
            subject, self.block, cell.units, readings, self.held[key].kinds, covered, self.cut
        )  # fmt: skip
        policy = replace(self.policy, alarm_at=self.policy.alarm_at * share)
        return JudgedCell(facts, policy, *judge_shift(facts, policy, self.now), own)

    def _of_model(
        self, rows: AnswerRows, tenants: Mapping[str, JudgedCell], apart: Mapping[str, Moves]
    ) -> JudgedCell:
        rest = [key for key, one in tenants.items() if not one.alarmed]
        cells = tenant_cells(rows, LEAST_UNITS)
        mine = {key: cells[key] for key in rest}
        found = self._over(mine)
        if not found.alarmed or _alarmed(self.model.kinds):
            return found
        together = self._is_together({k: _readings(c, self.held[k]) for k, c in cells.items()})
        lone = _furthest(mine, self.held) if not together and len(mine) > 1 else ""
        if lone:
            again = self._over({k: c for k, c in mine.items() if k != lone})
            found = found if again.alarmed else again
        if apart and found.alarmed:
            without = tenant_cells(rows.without(apart), LEAST_UNITS)
            again = self._over({key: without[key] for key in rest})
            found = found if again.alarmed else again
        return found

    def _over(self, cells: Mapping[str, AnswerCell]) -> JudgedCell:
        units = sum(cell.units for cell in cells.values())
        readings: list[Reading] = []
        for kind in Shift:
            of = {
                key: (cell.values[kind], self.held[key].kinds[kind].level.mean)
                for key, cell in cells.items()
                if kind in cell.values
                and kind in self.held[key].kinds
                and self.held[key].kinds[kind].level.blocks >= _LEAST_LEVEL
            }
            if of:
                followed = _followed([(cells[key], self.held[key]) for key in of])
                state = self.model.kinds.get(kind, ShiftState())
                readings.append(read_over(list(of.values()), state, _MOST_SHARE, followed))
        kinds = self.model.kinds
        facts = CellFacts("", self.block, units, tuple(readings), kinds, cut=self.cut)
        return JudgedCell(facts, self.policy, *judge_shift(facts, self.policy, self.now))


def unspoiled(
    states: Mapping[str, ShiftState],
    before: Mapping[str, ShiftState],
    others: Collection[Mapping[str, ShiftState]],
) -> Mapping[str, ShiftState]:
    """A cell's detectors, with the levels of before where the evidence of ``others`` rises: what is
    too little to see in a cell would become its level, and the model is measured by these. What was
    learned meanwhile counts once that came to nothing."""
    out = dict(states)
    for kind, state in states.items():
        held = before.get(kind)
        above = [one.get(kind, ShiftState()) for one in others]
        sounding = any(one.alarmed for one in above)
        if held is None or not held.known or not (sounding or any(a.peak > 1.0 for a in above)):
            continue
        learned = held.learned if sounding else state.learned
        out[kind] = replace(state, level=held.level, learned=learned)
    return out


def _guilty(
    rows: AnswerRows, tenants: Mapping[str, JudgedCell], held: Mapping[str, CellRow]
) -> Mapping[str, Moves]:
    cells = tenant_cells(rows, LEAST_UNITS)
    return {key: _moves(cells[key], held[key]) for key, one in tenants.items() if one.alarmed}


def _moves(cell: AnswerCell, row: CellRow) -> Moves:
    """From the levels that are known."""
    return {
        kind: values.mean - row.kinds[kind].level.mean
        for kind, values in cell.values.items()
        if kind in row.kinds and row.kinds[kind].known
    }


def _own_strength(
    key: str, cell: AnswerCell, spared: Mapping[str, AnswerCell], held: Mapping[str, CellRow]
) -> float:
    """By how many standard deviations of a block a segment moved alone, by the statistic that moved
    furthest. 0 where most of its move is that of the other segments by its feature, or is not there
    in values that the moves of others who are told are taken off (``spared``), and where most
    other segments moved with it by any statistic. A loss that fell is none."""
    found = 0.0
    own_moves = _moves(spared[key], held[key])
    for kind, by in _moves(cell, held[key]).items():
        rest = [(c.units, _moves(c, held[k]).get(kind)) for k, c in spared.items() if k != key]
        known = [(units, move) for units, move in rest if move is not None]
        weight = sum(units for units, _ in known)
        shared = sum(units * move for units, move in known) / weight if weight else 0.0
        own = own_moves[kind]
        deviation = held[key].kinds[kind].level.deviation(cell.values[kind].error)
        far = abs(own) / deviation if deviation > 0.0 else 0.0
        if far > _OWN and _is_joined(kind, own, key, spared, held):
            return 0.0
        own -= min(max(shared, 0.0), own) if own > 0.0 else max(min(shared, 0.0), own)
        if abs(own) < _OWN_SHARE * abs(by) or (kind is Shift.LOSS and own < 0.0):
            continue
        found = max(found, abs(own) / deviation if deviation > 0.0 else 0.0)
    return found


def _is_joined(
    kind: Shift, move: float, key: str, cells: Mapping[str, AnswerCell], held: Mapping[str, CellRow]
) -> bool:
    """Whether over half of the other cells moved the same way, by what is too little to be far."""
    rest = [
        strength(held[k].kinds[kind], read_cell(cell.values[kind], held[k].kinds[kind]))
        for k, cell in cells.items()
        if k != key and kind in held[k].kinds and held[k].kinds[kind].known
    ]
    return 2 * sum(one * move > 0.0 and abs(one) > _JOINED for one in rest) > len(rest)


def _readings(cell: AnswerCell, row: CellRow) -> tuple[Reading, ...]:
    return tuple(
        read_cell(values, row.kinds.get(kind, ShiftState()), _followed([(cell, row)]))
        for kind, values in cell.values.items()
    )


def _followed(cells: Sequence[tuple[AnswerCell, CellRow]]) -> float:
    """By how much what was said moved, the mean over units."""
    known = [(c, r) for c, r in cells if r.said.blocks >= _LEAST_LEVEL]
    units = sum(cell.units for cell, _ in known)
    moved = sum((cell.said - row.said.mean) * cell.units for cell, row in known)
    return moved / units if units else 0.0


def _is_shared(readings: Mapping[str, Sequence[Reading]], held: Mapping[str, CellRow]) -> bool:
    """Whether over half of the cells are far from their levels, on one side, by one statistic."""
    for kind in Shift:
        far = [
            strength(held[key].kinds[kind], one)
            for key, found in readings.items()
            for one in found
            if one.kind is kind and kind in held[key].kinds and held[key].kinds[kind].known
        ]
        for sign in (1.0, -1.0):
            if 2 * sum(sign * s > _STRONG for s in far) > max(len(far), 1):
                return True
    return False


def _furthest(cells: Mapping[str, AnswerCell], held: Mapping[str, CellRow]) -> str:
    """The tenant that moves the model's statistics most; "" for none that is known."""

    def pull(key: str) -> float:
        return max(
            (
                abs(strength(held[key].kinds[kind], read_cell(values, held[key].kinds[kind])))
                for kind, values in cells[key].values.items()
                if kind in held[key].kinds
            ),
            default=0.0,
        )

    own = [key for key in cells if key != OTHERS]
    return max(own, key=pull, default="")


def _alarmed(states: Mapping[str, ShiftState]) -> bool:
    return any(state.alarmed for state in states.values())

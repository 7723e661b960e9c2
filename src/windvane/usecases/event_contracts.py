"""What the recorder has to know of an event's model, contract and layouts before it counts it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

import msgspec

from windvane.core.errors import WindvaneError
from windvane.core.rollout import Stage
from windvane.core.sketch import NO_AXES, Axis, Layout
from windvane.core.task import Contract, Task, make_task
from windvane.ports.control_store import StoreUnavailable, Tx, UnknownName
from windvane.ports.events import Compared, CountedEvent, Predicted, Refused
from windvane.usecases.check_event import (
    UncountableEvent,
    UnknownContract,
    UnknownModel,
    UnreadableModelFile,
)
from windvane.usecases.derived_axes import derived_axes
from windvane.usecases.read_model_file import parse_duration, read_model_file

# What reading a record of the store raises where the record is bad; where the store is, its driver
# raises errors of its own.
_UNREADABLE = (
    WindvaneError, msgspec.MsgspecError, ValueError, TypeError, LookupError, ArithmeticError,
    RecursionError,
)  # fmt: skip
_MOST_STEPS = 1_000_000
_MOST_ROLLOUTS = 1_000


@dataclass(frozen=True, slots=True)
class EventModel:
    """Of a model's file: its ``text``, in seconds and microseconds what counting needs, the
    features whose values are counted each by itself (``segments``), and the axes that it asks for
    ``beside`` those of a version's layout."""

    text: str
    window_s: float
    slow_us: float
    grace_s: float = 0.0
    segments: tuple[str, ...] = ()
    beside: tuple[Axis, ...] = ()


@dataclass(frozen=True, slots=True)
class RolloutStep:
    """A ``step`` of a rollout, counted from 0, with what its ``stage`` was begun as; None where
    that is not known."""

    rollout: str
    step: int
    stage: Stage | None


class EventContracts:
    """Contracts, layouts and model files of the events that were met, and what is wrong with those
    that cannot be read."""

    def __init__(self) -> None:
        self.contracts: dict[str, tuple[Contract, Task]] = {}
        self.layouts: dict[str, Layout] = {NO_AXES.id: NO_AXES}
        self.version_layouts: dict[tuple[str, str], Layout] = {}
        self.models: dict[str, EventModel] = {}
        self._stages: dict[str, tuple[Stage, ...]] = {}
        self._counted_on: dict[tuple[str, str], tuple[tuple[Layout, EventModel], Layout]] = {}
        self._bad_files: dict[str, tuple[str, WindvaneError]] = {}
        self._faults: dict[tuple[str, ...], WindvaneError] = {}

    def load(self, tx: Tx, events: Sequence[CountedEvent]) -> None:
        """Read what was not met before, and models whose file is another by now. What is wrong with
        a record is for ``fault_of``; only an outage of the store raises."""
        self._faults.clear()
        for contract_id in {event.contract for event in events} - self.contracts.keys():
            self._load_contract(tx, contract_id)
        for name in {event.model for event in events}:
            self._load_model(tx, name)
        for model, version in _versions(events) - self.version_layouts.keys():
            if model in self.models:
                self._load_layout(tx, model, version)
        self._load_stages(tx, events)

    def stage_of(self, label: str) -> RolloutStep | None:
        """The stage that an event's label of a rollout names; None for no rollout. Raises
        ValueError for what no gateway writes."""
        if not label:
            return None
        rollout, _, named = label.rpartition("#")
        step = int(named)
        if not 0 <= step <= _MOST_STEPS or "\x00" in rollout:
            raise ValueError(f"step {step} of a rollout")
        stages = self._stages.get(rollout, ())
        return RolloutStep(rollout, step, stages[step] if step < len(stages) else None)

    def _load_stages(self, tx: Tx, events: Sequence[CountedEvent]) -> None:
        if len(self._stages) > _MOST_ROLLOUTS:
            self._stages.clear()
        for label in {e.rollout for e in events if isinstance(e, Predicted | Refused)} - {""}:
            try:
                found = self.stage_of(label)
            except ValueError:
                continue  # of an event that cannot be counted
            if found is None or found.stage is not None:
                continue
            try:
                record = tx.rollout(found.rollout)
            except StoreUnavailable:
                raise
            except _UNREADABLE as error:
                message = f"the rollout {found.rollout[:80]}: {_told(error)}"
                self._faults["rollout", label] = UncountableEvent(message)
                continue
            self._stages[found.rollout] = record.stages if record is not None else ()

    def counted_on(self, model: str, version: str) -> Layout:
        """What rows of a version that was loaded are counted on: its layout, and beside that what
        the model's file asks for now. So a file may ask for more than was known when a version was
        registered, and what the version's own axes count is the same with it and without."""
        made_of = own, asking = self.version_layouts[model, version], self.models[model]
        held = self._counted_on.get((model, version))
        if held is None or held[0] != made_of:
            layout = Layout((*own.axes, *asking.beside)) if own.axes and asking.beside else own
            held = self._counted_on[model, version] = (made_of, layout)
        return held[1]

    def unstored(self, used: Container[str]) -> list[Layout]:
        """Of the layouts ``used`` by their ids, those that no version was registered with."""
        mine = [NO_AXES, *(layout for _, layout in self._counted_on.values())]
        return list({layout.id: layout for layout in mine if layout.id in used}.values())

    def fault_of(self, event: CountedEvent) -> WindvaneError | None:
        """Why the event can be neither logged nor counted; None if it can."""
        if not self._faults:
            return None
        found = self._faults.get(("model", event.model))
        found = found or self._faults.get(("contract", event.contract))
        if isinstance(event, Predicted | Refused):
            found = found or self._faults.get(("rollout", event.rollout))
        for pair in _versions((event,)) if found is None else ():
            found = found or self._faults.get(("version", *pair))
        return found

    def _load_contract(self, tx: Tx, contract_id: str) -> None:
        try:
            contract = tx.contract(contract_id)
            self.contracts[contract_id] = (contract, make_task(contract.task))
        except StoreUnavailable:
            raise
        except _UNREADABLE as error:
            message = f"contract {contract_id[:80]!r}: {_told(error)}"
            self._faults["contract", contract_id] = UnknownContract(message)

    def _load_model(self, tx: Tx, name: str) -> None:
        try:
            text = tx.model(name).text
        except UnknownName as error:
            self.models.pop(name, None)
            self._faults["model", name] = UnknownModel(error.message)
            return
        bad_text, fault = self._bad_files.get(name, ("", None))
        if fault is not None and bad_text == text:
            self._faults["model", name] = fault
            return
        if name in self.models and self.models[name].text == text:
            return
        self._bad_files.pop(name, None)
        try:
            file = read_model_file(text)
            watch = file.watch
            window_s, slow_us = parse_duration(watch.window), parse_duration(watch.latency) * 1e6
            grace_s = parse_duration(watch.grace)
            beside = derived_axes(file)
        except _UNREADABLE as error:
            fault = UnreadableModelFile(f"the file of model {name}: {_told(error)}")
            self.models.pop(name, None)
            self._bad_files[name] = (text, fault)
            self._faults["model", name] = fault
            return
        self.models[name] = EventModel(text, window_s, slow_us, grace_s, file.segments, beside)

    def _load_layout(self, tx: Tx, model: str, version: str) -> None:
        try:
            layout_id = tx.version_layouts(model).get(version)
            if layout_id is None:  # a version that is gone: its rows are traffic and no more
                self.version_layouts[model, version] = NO_AXES
                return
            if layout_id not in self.layouts:
                self.layouts[layout_id] = tx.layout(layout_id)
            self.version_layouts[model, version] = self.layouts[layout_id]
        except StoreUnavailable:
            raise
        except _UNREADABLE as error:
            message = f"the layout of {model} version {version[:80]}: {_told(error)}"
            self._faults["version", model, version] = UncountableEvent(message)


def _told(error: Exception) -> str:
    return error.message if isinstance(error, WindvaneError) else f"{type(error).__name__}: {error}"


def _versions(events: Iterable[CountedEvent]) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for event in events:
        if isinstance(event, Predicted):
            found |= {(event.model, route.routed) for route in event.routes}
        elif isinstance(event, Refused | Compared) and event.routed:
            found.add((event.model, event.routed))
    return found

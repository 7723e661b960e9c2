"""PyTorch's models, which `write_torch.py` makes with PyTorch's own packages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zoo.animals import CLASSES, NUMBERS, Animal

from windvane.usecases.registration_options import RegistrationOptions


def no_maker(*_: Any) -> Any:
    raise AssertionError("PyTorch is not in this process")


PLAIN = RegistrationOptions(inputs=NUMBERS, trust=True)


@dataclass(frozen=True)
class Module:
    """One linear layer and what follows it; ``file`` says how it is saved."""

    name: str
    task: str
    file: str
    last: str = ""
    options: RegistrationOptions = PLAIN

    @property
    def animal(self) -> Animal:
        return Animal(self.name, self.task, NUMBERS, no_maker, self.options, 1e-5, full=True)


LABELLED = RegistrationOptions(inputs=NUMBERS, trust=True, classes=CLASSES)
LOGITS = RegistrationOptions(inputs=NUMBERS, trust=True, logits=True)
MODULES = [
    Module("torch: TorchScript, sigmoid", "binary", "model.pt", "sigmoid"),
    Module("torch: TorchScript, log-odds", "binary", "model.pt", "", LOGITS),
    Module("torch: TorchScript, softmax", "multiclass", "model.pt", "softmax", LABELLED),
    Module("torch: TorchScript", "regression", "model.pt"),
    Module("torch: torch.export, sigmoid", "binary", "model.pt2", "sigmoid"),
    Module("torch: torch.export, softmax", "multiclass", "model.pt2", "softmax", LABELLED),
    Module("torch: torch.export", "two values", "model.pt2"),
]

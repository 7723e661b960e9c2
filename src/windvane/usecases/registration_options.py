"""What a person adds to a model's files when it is registered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import msgspec

from windvane.core.errors import WindvaneError


class BadInputs(WindvaneError):
    """The model's inputs cannot be told from the features of the model's file, or contradict
    them."""

    code: ClassVar[str] = "REG-101"
    hint = "name them in the model's order: --inputs NAME,NAME,…"


class NoEnvironment(WindvaneError):
    """Packages of its own were asked for a model that cannot have them, or that records none."""

    code: ClassVar[str] = "REG-105"
    hint = "leave --requirements and --own-environment out, or register the model's pickle"


@dataclass(frozen=True, slots=True)
class EnvironmentRequest:
    """Packages of a model's own: normalised ``requirements``, and the folder whose ``wheels``
    alone may be installed ("": pip's own configuration says where they are from)."""

    requirements: tuple[str, ...]
    wheels: str = ""


@dataclass(frozen=True, slots=True)
class RegistrationOptions:
    """``trust``: the files may run code, in their own process.

    ``inputs``: features in the model's order, where the model does not name them itself.
    ``names``: what the model calls a feature, by feature, where it calls it otherwise.
    ``vocabulary``: a category's place in its list is what the model was trained on.
    ``unknown``: what an unseen category does, "null" or "error".
    ``output`` names one of several outputs, ``positive`` the column of the positive label,
    ``classes`` the model's labels in their order; ``logits``: its outputs are log-odds.
    ``missing``: a number that stands for none. ``rounds``: of boosted trees, those that are used.
    ``convert``: an ONNX graph is tried. ``accept`` is the reason for which a version that answers
    otherwise than its library is registered all the same, ``accepted_by`` who says so.
    ``environment``: the packages that it runs with in place of ours.
    """

    trust: bool = False
    inputs: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    vocabulary: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    unknown: str = "null"
    output: str = ""
    positive: int | None = None
    logits: bool = False
    classes: tuple[str, ...] = ()
    missing: float | None = None
    rounds: int = 0
    convert: bool = True
    accept: str = ""
    accepted_by: str = ""
    holdout_from: float | None = None
    environment: EnvironmentRequest | None = None
    lineage: Mapping[str, str] = field(default_factory=dict[str, str])


class RegistrationOrder(msgspec.Struct, frozen=True):
    """What the command line hands to the process that registers. ``source``, ``data`` and
    ``vocabulary`` are paths as they were given; ``without`` names views that the model does not
    use; ``tracking`` is where references are looked up; ``authorization`` refers to what a remote
    server wants to see, ``remote_rows`` is how many rows it takes at once; ``outputs`` are the
    columns of ``data`` that a model served elsewhere filled, by the output's name;
    ``requirements`` and ``wheels`` are paths, ``own_environment`` takes the requirements that the
    source records; ``options`` lacks what those files say."""

    model: str
    source: str
    data: str
    label: str
    time: str
    options: RegistrationOptions
    vocabulary: str = ""
    without: tuple[str, ...] = ()
    tracking: str = ""
    authorization: str = ""
    remote_rows: int = 1_000
    outputs: dict[str, str] = {}
    requirements: str = ""
    wheels: str = ""
    own_environment: bool = False
    as_json: bool = False

"""Which features of a contract are a model's inputs, and how each one reaches it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from windvane.core.errors import did_you_mean
from windvane.core.signature import FeatureSpec, FeatureType, InputSpec
from windvane.core.task import Contract
from windvane.ports.source import DataFile
from windvane.usecases.registration_options import BadInputs, RegistrationOptions

_SHOWN_UNKNOWN = 50
_SHOWN = 5
_CODES = {FeatureType.INTEGER, FeatureType.NUMBER, FeatureType.BOOLEAN}


@dataclass(frozen=True, slots=True)
class ModelInputs:
    """What a model says of its inputs: their names in order; by column what it is ("category"
    or "number") and the names of its categories; lists of categories whose columns it does not
    name, with how many codes each column may have. ``texts``: it takes categories as texts.
    ``codes``: a column of categories that has no list takes its codes as they are."""

    names: tuple[str, ...] = ()
    types: Mapping[int, str] = field(default_factory=dict[int, str])
    vocabularies: Mapping[int, tuple[str, ...]] = field(default_factory=dict[int, tuple[str, ...]])
    unplaced: tuple[tuple[str, ...], ...] = ()
    sizes: tuple[int, ...] = ()
    texts: bool = False
    codes: bool = False

    @classmethod
    def of(cls, read: DataFile, names: tuple[str, ...], *, codes: bool) -> ModelInputs:
        return cls(
            names, read.types, read.vocabularies, read.unplaced, read.sizes, codes=codes,
            texts=any(kind == "string" for _, kind, _ in read.tensors),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Input:
    """A feature that is an input: the model's name for it, and its first column."""

    spec: FeatureSpec
    own: str
    column: int


def map_inputs(
    contract: Contract, known: ModelInputs, options: RegistrationOptions
) -> list[InputSpec]:
    """In the model's order. Raises BadInputs, naming both sides of a contradiction."""
    found = _named(contract, known, options)
    for name in options.vocabulary:
        if name not in {one.spec.name for one in found}:
            raise BadInputs(f"the vocabulary of {name!r} is of no input", hint="leave it out")
    vocabularies = {**known.vocabularies, **_placed(found, known, options)}
    return [_input(one, known, vocabularies.get(one.column), options) for one in found]


def _named(contract: Contract, known: ModelInputs, options: RegistrationOptions) -> list[_Input]:
    specs = {spec.name: spec for spec in contract.features}
    for feature in options.names:
        if feature not in specs:
            hint = did_you_mean(feature, specs)
            own = options.names[feature]
            if own in specs:
                hint = f"the other way round, FEATURE=NAME: --map {own + '=' + feature!r}"
            raise BadInputs(f"--map: the model's file has no feature {feature!r}", hint=hint)
    by_own = {own: feature for feature, own in options.names.items()}
    if len(by_own) != len(options.names):
        twice = next(own for own in by_own if list(options.names.values()).count(own) > 1)
        both = " and ".join(f for f, own in options.names.items() if own == twice)
        raise BadInputs(f"--map: {both} are both called {twice!r}")
    for own in by_own:
        if known.names and own not in known.names:
            hint = did_you_mean(own, known.names)
            raise BadInputs(f"--map: the model has no input {own!r}", hint=hint)
    given = options.inputs or tuple(by_own.get(name, name) for name in known.names)
    if not given:
        raise BadInputs("the model does not name its inputs")
    _check_features(given, specs)
    found: list[_Input] = []
    column = 0
    for place, name in enumerate(given):
        own = (
            known.names[place] if len(known.names) == len(given) else options.names.get(name, name)
        )
        found.append(_Input(specs[name], own, column))
        column += max(1, specs[name].length)
    if len({one.spec.name for one in found}) != len(found):
        raise BadInputs("an input is named twice")
    _check_order(found, known, by_own)
    return found


def _check_features(given: Sequence[str], specs: Mapping[str, FeatureSpec]) -> None:
    """All that are wrong at once: a file of fifty is not mended one by one."""
    unknown = [name for name in given if name not in specs]
    if not unknown:
        return
    near = did_you_mean(unknown[0], specs)
    near += "" if near.endswith("?") else "."
    one = f"the model's input {unknown[0]!r} is no feature of the model's file"
    more = ", …" if len(unknown) > _SHOWN_UNKNOWN else ""
    listed = ", ".join(unknown[:_SHOWN_UNKNOWN]) + more
    many = f"{len(unknown):,} inputs of the model are no features of its file: {listed}"
    raise BadInputs(
        one if len(unknown) == 1 else many,
        hint=f'{near} Either --map "FEATURE={unknown[0]}", or {BadInputs.hint}',
    )


def _check_order(found: Sequence[_Input], known: ModelInputs, by_own: Mapping[str, str]) -> None:
    """What --inputs says against the model's own names: one of them is wrong."""
    for place, one in enumerate(found):
        others = [by_own.get(name, name) for name in known.names]
        if one.spec.name in others and place < len(others) and others[place] != one.spec.name:
            raise BadInputs(
                f"--inputs says that column {place} is {one.spec.name}, the model says that it "
                f"is {known.names[place]}, and {one.spec.name} is column "
                f"{others.index(one.spec.name)}",
                hint="leave --inputs out: the model names its inputs itself",
            )


def _placed(
    found: Sequence[_Input], known: ModelInputs, options: RegistrationOptions
) -> dict[int, tuple[str, ...]]:
    """Lists of categories, by the columns that the model's file declares as categories."""
    if not known.unplaced:
        return {}
    declared = [
        one
        for one in found
        if one.spec.type is FeatureType.CATEGORY and one.spec.name not in options.vocabulary
    ]
    if len(declared) != len(known.unplaced):
        lists = "; ".join(_some(names) for names in known.unplaced)
        raise BadInputs(
            f"the model was trained on {len(known.unplaced)} columns of categories ({lists}), the "
            f"model's file declares {len(declared)} of its inputs as categories: "
            f"{', '.join(one.spec.name for one in declared) or 'none'}",
            hint="declare them as {type: category}, or give every list by --vocabulary",
        )
    out: dict[int, tuple[str, ...]] = {}
    for one, names in zip(declared, known.unplaced, strict=True):
        size = known.sizes[one.column] if one.column < len(known.sizes) else 0
        if not 0 < size <= len(names) and size < 1 << 30:
            needs = f"{size:,} codes" if size else "numbers that are no codes"
            raise BadInputs(
                f"{one.spec.name} is a category in the model's file, and the model's next list "
                f"has {len(names)} names ({_some(names)}), but its trees use {needs} there",
                hint="declare as categories those features that the model was trained on as such",
            )
        out[one.column] = names
    return out


def _input(
    one: _Input,
    known: ModelInputs,
    own: tuple[str, ...] | None,
    options: RegistrationOptions,
) -> InputSpec:
    spec, kind = one.spec, known.types.get(one.column, "")
    name = "" if one.own == spec.name else one.own
    given = options.vocabulary.get(spec.name)
    if spec.type is not FeatureType.CATEGORY:
        if own is not None or (kind == "category" and not _takes_codes(spec, known)):
            names = f" with {len(own)} names: {_some(own)}" if own else ""
            raise BadInputs(
                f"{spec.name} is declared as {spec.type} in the model's file, and is a category "
                f"in the model{names}",
                hint=f"declare it as {{type: category}}: {spec.name}",
            )
        if given is not None:
            raise BadInputs(
                f"--vocabulary has a list for {spec.name}, which is declared as {spec.type}",
                hint="declare it as {type: category}, or leave the list out",
            )
        numeric = spec.type in _CODES
        return InputSpec(spec.name, name=name, missing=options.missing if numeric else None)
    if given is not None and own is not None and list(given) != list(own):
        raise BadInputs(
            f"--vocabulary says that {spec.name} is {_some(given)}, the model says that it is "
            f"{_some(own)}",
            hint="leave it out of --vocabulary: the model knows its own categories",
        )
    if given is None and own is None and known.texts and kind != "number":
        return InputSpec(spec.name, None, options.unknown, name)
    held = given if given is not None else own
    if held is None:
        raise BadInputs(
            f"{spec.name} is a category in the model's file, and the model takes numbers there",
            hint="give its categories in order: --vocabulary FILE.json",
        )
    return InputSpec(spec.name, tuple(held), options.unknown, name)


def _takes_codes(spec: FeatureSpec, known: ModelInputs) -> bool:
    """A model that hashes categories by their texts takes no number that may have a fraction."""
    whole = spec.type in (FeatureType.INTEGER, FeatureType.BOOLEAN)
    return known.codes and (whole or (not known.texts and spec.type in _CODES))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")

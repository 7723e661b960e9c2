"""Which of a model's own outputs, as it really gives them, are those that its task promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from windvane.core.signature import OutputMapping, OutputSpec, Transform
from windvane.core.task import BadOutputs, ModelOutputs, Task, is_coded
from windvane.usecases.registration_options import RegistrationOptions


def map_outputs(
    task: Task,
    shapes: Mapping[str, tuple[int, ...]],
    classes: Sequence[str],
    transform: Transform,
    options: RegistrationOptions,
) -> tuple[OutputMapping, ...]:
    """``shapes`` are those of one row, by the model's names ("" for its only output). Raises
    BadOutputs, naming both sides."""
    if options.output and options.output not in shapes:
        raise BadOutputs(
            f"--output {options.output!r}: the model gives {_names(shapes)}",
            hint="name one of these",
        )
    if len(task.outputs) > 1:
        return _several(task, shapes, options)
    source = options.output or _only(task, shapes)
    shape = shapes[source]
    spec = next(iter(task.outputs))
    if len(shape) > 1 and not spec.takes(shape):
        raise _other_shape(spec, source, shape)
    columns = 1 if not shape else shape[-1] if len(shape) == 1 else 0
    return map_columns(task, columns, classes, transform, options, source)


def map_columns(
    task: Task,
    columns: int,
    classes: Sequence[str],
    transform: Transform,
    options: RegistrationOptions,
    source: str = "",
) -> tuple[OutputMapping, ...]:
    """The same where one array is all that is known: how many numbers a row has, 0 if not even
    that. Raises BadOutputs."""
    coded = is_coded(classes) and not is_coded(task.spec.classes)
    classes = () if coded and len(task.spec.classes) > 1 else classes
    if options.classes and classes and list(options.classes) != list(classes):
        raise BadOutputs(
            f"--classes says {', '.join(options.classes)}, the model says {', '.join(classes)}",
            hint="leave it out: the model names its labels itself",
        )
    labels = tuple(options.classes or classes)
    wanted = task.spec.classes
    plain = tuple(str(i) for i in range(len(wanted)))
    if not labels and 1 < len(wanted) == columns and tuple(wanted) != plain:
        raise BadOutputs(
            f"the model gives {columns} numbers a row and "
            f"{'has codes for its labels' if coded else 'does not say of which labels'}; the "
            f"model's file names {', '.join(wanted)}",
            hint="name the labels in the order of the model's columns (scikit-learn's encoders "
            f"sort them): --classes {','.join(sorted(wanted))}",
        )
    if len(task.outputs) > 1:
        return _split(task, columns, source)
    return task.mappings(
        ModelOutputs(
            columns=columns,
            classes=labels,
            source=source,
            transform=task.logits if options.logits else transform,
            positive=options.positive,
        )
    )


def _only(task: Task, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """The output that is meant where a model gives several. Raises BadOutputs."""
    if len(shapes) == 1:
        return next(iter(shapes))
    name = task.outputs[0].name
    if name in shapes:
        return name
    hint = f"say which one it is: --output {next(iter(shapes))}"
    if len(task.spec.classes) > 1 and set(task.spec.classes) <= shapes.keys():
        hint = "give the probabilities of all classes as one array, not as a column for each"
    raise BadOutputs(
        f"the model gives {_names(shapes)}, the model's file says {task.kind}, which has one "
        f"output: {name}",
        hint=hint,
    )


def _several(
    task: Task, shapes: Mapping[str, tuple[int, ...]], options: RegistrationOptions
) -> tuple[OutputMapping, ...]:
    specs = task.outputs
    if not options.output and all(spec.name in shapes for spec in specs):
        for spec in specs:
            if len(shapes[spec.name]) > 1 and not spec.takes(shapes[spec.name]):
                raise _other_shape(spec, spec.name, shapes[spec.name])
        return tuple(OutputMapping(spec.name, spec.name) for spec in specs)
    numbered = [str(i) for i in range(len(shapes))]
    if not options.output and list(shapes) == numbered and len(shapes) == len(specs):
        return tuple(
            OutputMapping(spec.name, name) for spec, name in zip(specs, shapes, strict=True)
        )
    if len(shapes) == 1 or options.output:
        source = options.output or next(iter(shapes))
        shape = shapes[source]
        if len(shape) == 1:
            return _split(task, shape[0], source)
    wanted = ", ".join(spec.name for spec in specs)
    raise BadOutputs(f"the model gives {_names(shapes)}, the model's file names {wanted}")


def _other_shape(spec: OutputSpec, source: str, shape: Sequence[int]) -> BadOutputs:
    return BadOutputs(
        f"the model gives {source or 'one output'} {list(shape)} a row, the model's file says "
        f"{spec.name} {list(spec.shape)}",
        hint="the axes and their order must be the same",
    )


def _split(task: Task, columns: int, source: str) -> tuple[OutputMapping, ...]:
    """The columns of one array, in the order of the model's file."""
    if not columns:
        return tuple(OutputMapping(spec.name, spec.name) for spec in task.outputs)
    sizes = [spec.size for spec in task.outputs]
    if min(sizes) < 1 or sum(sizes) != columns:
        expected = ", ".join(f"{spec.name} ({spec.size})" for spec in task.outputs)
        raise BadOutputs(
            f"the model gives {columns} numbers a row, the model's file names {expected}"
        )
    out: list[OutputMapping] = []
    at = 0
    for spec, size in zip(task.outputs, sizes, strict=True):
        out.append(OutputMapping(spec.name, source, tuple(range(at, at + size))))
        at += size
    return tuple(out)


def _names(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name or 'one output'} {list(shape)}" for name, shape in shapes.items())

"""Which segments a model's file declares."""

from __future__ import annotations

from windvane.core.sketch import segmented_by
from windvane.usecases.closed_window import segment_of
from windvane.usecases.read_model_file import ModelFile


def is_declared(subject: str, file: ModelFile) -> bool:
    """Whether a subject is a segment of a feature that the file declares."""
    segment = segment_of(subject)
    return segment is not None and segmented_by(segment, file.segments) != ""


def withdrawn_line(segment: str) -> str:
    """Why something of a segment ends that the file declares no more."""
    return f"the file declares no segments of {segment.partition('=')[0]} any more"

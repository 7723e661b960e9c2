"""What goes into a model and what comes out: features, a version's inputs, named outputs."""

from windvane.core.signature.fingerprint import FINGERPRINTS, fingerprints
from windvane.core.signature.inputs import InputSpec, RowEncoder
from windvane.core.signature.kinds import (
    KINDS,
    Kind,
    kind_of,
    read_number,
    read_numbers,
    show,
    summary_name,
)
from windvane.core.signature.nested import nested_numbers
from windvane.core.signature.outputs import (
    OutputMapping,
    OutputReader,
    OutputSpec,
    Transform,
    map_output,
)
from windvane.core.signature.packing import DATATYPES, RowPacker, pack_byte_strings, pack_tensor
from windvane.core.signature.times import parse_time
from windvane.core.signature.types import (
    MAX_INTEGER,
    MAX_MAGNITUDE,
    FeatureSpec,
    FeatureType,
    Violation,
)

__all__ = [
    "DATATYPES",
    "FINGERPRINTS",
    "KINDS",
    "MAX_INTEGER",
    "MAX_MAGNITUDE",
    "FeatureSpec",
    "FeatureType",
    "InputSpec",
    "Kind",
    "OutputMapping",
    "OutputReader",
    "OutputSpec",
    "RowEncoder",
    "RowPacker",
    "Transform",
    "Violation",
    "fingerprints",
    "kind_of",
    "map_output",
    "nested_numbers",
    "pack_byte_strings",
    "pack_tensor",
    "parse_time",
    "read_number",
    "read_numbers",
    "show",
    "summary_name",
]

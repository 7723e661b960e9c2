"""``python -I -S isolated.py PACKAGES LENT ARGUMENT ...``: start the sandbox with a version's own
packages. The arguments are those of ``windvane.apps.sandbox``.

``PACKAGES``: the folder of what the version may import beside Python's own library. ``LENT``: JSON
of the folders, by name, of the packages that our own code needs. They are found by their names
alone, so that nothing that lies beside them can be imported; ``windvane`` before all others, the
rest only where the version does not bring them.

This file imports nothing but Python's library: it runs before anything else can be found.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

_OURS = "windvane"


class LentPackages(MetaPathFinder):
    """Finds packages by name, each in a folder of its own."""

    def __init__(self, folders: Mapping[str, str]) -> None:
        self._folders = folders

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        folder = self._folders.get(fullname)
        if folder is None or path is not None:  # a part of a package is found by its own path
            return None
        # Not by the finders of Python, which list the folder: it cannot be read as a whole.
        inside = Path(folder, fullname)
        return spec_from_file_location(
            fullname, inside / "__init__.py", submodule_search_locations=[str(inside)]
        )


def isolate(packages: str, lent: Mapping[str, str]) -> list[str]:
    """Let nothing else be found; what has to be readable for that."""
    sys.path.append(packages)  # behind Python's own library, as ever
    ours = {name: folder for name, folder in lent.items() if name == _OURS}
    others = {name: folder for name, folder in lent.items() if name != _OURS}
    sys.meta_path.insert(0, LentPackages(ours))
    sys.meta_path.append(LentPackages(others))
    places = [Path(folder, name) for name, folder in lent.items()]
    beside = [path.with_name(f"{path.name}.libs") for path in places]  # its shared libraries
    return [sys.base_prefix, *sys.path, *map(str, places), *map(str, beside)]


if __name__ == "__main__":
    _readable = isolate(sys.argv[1], json.loads(sys.argv[2]))
    del sys.argv[1:3]
    from windvane.apps.sandbox.__main__ import main

    main(_readable)

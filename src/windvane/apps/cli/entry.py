"""The program `windvane`. An installation of the client alone has it too, and then it says what
to install."""

from __future__ import annotations

import atexit
import gc
import sys

# Imports make many objects and no garbage: looking for it after each 700 of them takes a tenth of
# the time of a short command.
_LOOK_EACH = 50_000


def _end_at_once() -> None:
    """Else the interpreter looks for garbage once more while it ends: a tenth of a second. DuckDB
    would say on the error output that it leaks what is not collected."""
    if "duckdb" not in sys.modules:
        gc.freeze()


def main() -> None:
    gc.set_threshold(_LOOK_EACH, 20, 20)
    atexit.register(_end_at_once)
    try:
        from windvane.apps.cli.main import main as commands

        commands()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "windvane":
            raise
        print(
            f"windvane: the package {error.name} is not installed, which the commands need\n"
            "  hint: pip install 'windvane[all]'; for a gateway alone `python -m "
            "windvane.apps.gateway` with 'windvane[gateway]'",
            file=sys.stderr,
        )
        sys.exit(1)
    except KeyboardInterrupt:  # imports take a second: Ctrl-C may come before there is a command
        sys.exit(130)


if __name__ == "__main__":
    main()

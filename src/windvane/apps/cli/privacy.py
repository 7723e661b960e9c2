"""What a home holds is its owner's."""

from __future__ import annotations

import os


def keep_private() -> None:
    """What this process and its children make from now on is for their user alone: a home holds
    what people sent, and keys."""
    os.umask(0o077)

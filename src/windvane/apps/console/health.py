"""How loud a word for health is, beside its colour."""

from __future__ import annotations

from collections.abc import Mapping

from windvane.core.health import Tone

SIGNS: Mapping[Tone, str] = {
    Tone.GOOD: "✓",
    Tone.BUSY: "→",
    Tone.QUIET: "–",
    Tone.WARN: "!",
    Tone.BAD: "✕",
}


def sign_of(tone: Tone) -> str:
    return SIGNS[tone]

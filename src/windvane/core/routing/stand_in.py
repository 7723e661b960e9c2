"""Which version answers while sources are broken."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def choose_stand_in(
    champion: str,
    sources: Mapping[str, Collection[str]],
    broken: Collection[str],
    barred: Collection[str] = (),
) -> str | None:
    """The version that stands in for ``champion``, or None where it had better answer itself.

    ``sources`` are those that each version needs, oldest version first; ``broken`` ones are not
    to be trusted now, ``barred`` versions not to be used. Of the versions that need the fewest
    broken sources it is the newest; one that needs as many as the champion is no help.
    """
    bad = set(broken)
    needed = {v: len(bad & set(held)) for v, held in sources.items() if v not in barred}
    own = len(bad & set(sources.get(champion, ())))
    fewest = min(needed.values(), default=own)
    if fewest >= own:
        return None
    return next(v for v in reversed(needed) if needed[v] == fewest)

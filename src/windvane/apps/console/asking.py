"""What pages, CSV files and the control API are asked with, read the same way by all of them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query, Response

from windvane.apps.console.access import sees, sees_all
from windvane.apps.console.answering import ReadService
from windvane.apps.console.memory import Memory
from windvane.apps.console.overview import ModelsAsked, Overview, load_overview
from windvane.apps.console.reading import ModelPage, load_model_page
from windvane.apps.console.tables import LONGEST, PER_PAGE, IncidentsAsked, Paged
from windvane.apps.console.views import RANGES
from windvane.core.authorization import Principal
from windvane.ports.clock import Clock

Word = Annotated[str, Query(max_length=LONGEST)]
Number = Annotated[str, Query(max_length=9)]
Windows = Annotated[str, Query(pattern=f"^(|{'|'.join(map(str, RANGES))})$")]
"""How many windows are shown: one of those that pages offer, "" for their default."""
PER_PAGE_API = 200
PerPage = Annotated[int, Query(ge=1, le=PER_PAGE_API)]


def _models(q: Word = "", team: Word = "", state: Word = "", page: Number = "") -> ModelsAsked:
    return ModelsAsked(q, team, state, page)


def _incidents(
    model: Word = "", state: Word = "", severity: Word = "", kind: Word = "",
    acknowledged: Word = "", q: Word = "", page: Number = "",
) -> IncidentsAsked:  # fmt: skip
    return IncidentsAsked(model, state, severity, kind, acknowledged, q, page)


ModelsQuery = Annotated[ModelsAsked, Depends(_models)]
IncidentsQuery = Annotated[IncidentsAsked, Depends(_incidents)]


async def load_models(
    reads: ReadService,
    clock: Clock,
    memory: Memory,
    who: Principal,
    asked: ModelsAsked,
    per_page: int = PER_PAGE,
) -> Overview:
    """One page of the models that ``who`` may see, shared by all who may see the same."""
    now, wall = clock.now(), clock.wall()
    everything = sees_all(who)
    key = ("overview", asked, per_page, None if everything else who.grants)
    return await reads.ask_shared(
        key,
        lambda tx: load_overview(
            tx, now, wall, memory, asked, lambda f: everything or sees(who, f), per_page
        ),
    )


async def load_model(
    reads: ReadService, clock: Clock, memory: Memory, model: str, windows: int
) -> ModelPage:
    """One model over ``windows`` windows, shared by all who ask for the same."""
    now, wall = clock.now(), clock.wall()
    return await reads.ask_shared(
        ("model", model, windows),
        lambda tx: load_model_page(tx, model, now, windows, memory, wall),
    )


def note_paging(response: Response, shown: Paged[Any], per_page: int) -> None:
    """How many rows there are, and where the next of them are, as headers. The path of the rows
    is that of the API."""
    response.headers["X-Total-Count"] = str(shown.total)
    if shown.page < shown.pages:
        following = shown.link(shown.page + 1)
        if per_page != PER_PAGE_API:
            following += f"&per_page={per_page}"
        response.headers["Link"] = f'<{following}>; rel="next"'

"""Ask a gateway for predictions, send it outcomes, and tell it of predictions made elsewhere.

    from windvane.client import Client

    with Client("https://models.internal") as client:
        predictions = client.predict("flight-delay", frame, units=frame["passenger_id"])
        client.send_outcomes("flight-delay", predictions, arrived_late)

Imports httpx and msgspec only; pandas where a DataFrame is given or asked for.
"""

from windvane.client.aio import AsyncClient
from windvane.client.calls import events_of
from windvane.client.errors import ApiError, BadArgument, NoResponse, Problem
from windvane.client.messages import (
    Explanation,
    Feature,
    Model,
    Output,
    Prediction,
    Predictions,
    SentEvents,
    Unexplained,
)
from windvane.client.sync import Client

__all__ = [
    "ApiError",
    "AsyncClient",
    "BadArgument",
    "Client",
    "Explanation",
    "Feature",
    "Model",
    "NoResponse",
    "Output",
    "Prediction",
    "Predictions",
    "Problem",
    "SentEvents",
    "Unexplained",
    "events_of",
]

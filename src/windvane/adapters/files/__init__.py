"""The routing feed as one file that is replaced whole."""

from windvane.adapters.files.routing_feed import FileRoutingFeed

__all__ = ["FileRoutingFeed"]

"""What needs no server: the routing feed, versions' files and workers' metrics as files."""

from windvane.adapters.files.artifacts import FileArtifacts
from windvane.adapters.files.metrics import FileMetricsBoard
from windvane.adapters.files.routing_feed import FileRoutingFeed

__all__ = ["FileArtifacts", "FileMetricsBoard", "FileRoutingFeed"]

"""What needs no server: the routing feed, versions' files, workers' metrics and certificates
as files."""

from windvane.adapters.files.artifacts import FileArtifacts
from windvane.adapters.files.certificate import BadCertificate, FileCertificate
from windvane.adapters.files.disk import free_bytes
from windvane.adapters.files.metrics import FileMetricsBoard
from windvane.adapters.files.pending_rollbacks import FilePendingRollbacks
from windvane.adapters.files.routing_feed import FileRoutingFeed
from windvane.adapters.files.watched_file import WatchedFile

__all__ = [
    "BadCertificate",
    "FileArtifacts",
    "FileCertificate",
    "FileMetricsBoard",
    "FilePendingRollbacks",
    "FileRoutingFeed",
    "WatchedFile",
    "free_bytes",
]

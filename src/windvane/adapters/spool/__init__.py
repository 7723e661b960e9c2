"""The spool as segment files with length and checksum framing."""

from windvane.adapters.spool.copies import FileSpoolCopies
from windvane.adapters.spool.reader import FileSpoolReader
from windvane.adapters.spool.writer import FileSpoolWriter

__all__ = ["FileSpoolCopies", "FileSpoolReader", "FileSpoolWriter"]

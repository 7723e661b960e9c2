"""What a process says, as lines of text or of JSON, without secrets."""

from windvane.adapters.logs.lines import JsonLines, TextLines, start_logging

__all__ = ["JsonLines", "TextLines", "start_logging"]

"""Backups as tar archives: any tool can list what is in one."""

from windvane.adapters.tar.archives import TarArchives

__all__ = ["TarArchives"]

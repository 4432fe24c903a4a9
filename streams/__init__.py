"""Monitors the real-name registration rate of courier parcels."""

from importlib.metadata import version

__version__ = version("realname-streams")

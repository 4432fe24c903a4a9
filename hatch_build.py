"""Puts the folders beside `streams/` that a worker reads into the wheel."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDERS = {
    "schemas": "streams/_schemas",
    "deploy/config": "streams/_config",
    "deploy/access.toml": "streams/_access.toml",
}


class DataFolders(BuildHookInterface):  # type: ignore[type-arg]  # its type names the builder
    """Maps `schemas/` and `deploy/config/` to where `streams.resources` looks for them."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Leave an editable install alone: there the folders are read where they are."""
        if version != "editable":
            build_data["force_include"].update(FOLDERS)

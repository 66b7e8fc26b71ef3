"""Folders that tasks may read or write."""

import os
from collections.abc import Sequence
from pathlib import Path

from attrs import field, frozen

from workbell.domain.errors import Invalid


def _real_paths(folders: Sequence[Path]) -> tuple[Path, ...]:
    return tuple(Path(os.path.realpath(folder)) for folder in folders)


@frozen
class Folders:
    """
    The real paths of the folders that a setting allows.

    `setting` is its name. A folder is inside itself; symbolic links are resolved.
    """

    setting: str
    paths: tuple[Path, ...] = field(converter=_real_paths, default=())

    def inside(self, path: str, name: str) -> Path:
        """
        Resolve a path; a relative one in the first folder that has it.

        Raises:
            Invalid: The path is outside the folders; `name` is the parameter.
        """
        if not self.paths:
            raise Invalid.field(name, f"No folders are configured: set {self.setting}.")
        if not path or "\0" in path:
            raise Invalid.field(name, f"{name} must be a path.")
        try:
            candidates = [Path(os.path.realpath(folder / path)) for folder in self.paths]
        except (OSError, ValueError) as error:
            raise Invalid.field(name, f"{name} must be a path.") from error
        inside = [real for real in candidates if self.contains(real)]
        if not inside:
            raise Invalid.field(name, f"{name} is outside the configured folders ({self.setting}).")
        return next((real for real in inside if os.path.lexists(real)), inside[0])

    def contains(self, real: Path) -> bool:
        """Whether a real path is inside one of the folders."""
        return any(real.is_relative_to(folder) for folder in self.paths)

"""Folders that tasks may use, and the paths that lie inside them."""

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
    The configured folders of one kind, by their real paths.

    `setting` is the name under which they are configured. A folder counts as
    inside itself; a symbolic link counts as what it points to.
    """

    setting: str
    paths: tuple[Path, ...] = field(converter=_real_paths, default=())

    def inside(self, path: str, name: str) -> Path:
        """
        Return the real path of what a parameter names, which need not exist.

        A relative path is looked for in each folder, and belongs to the first
        where there is none.

        Raises:
            Invalid: It lies outside; `name` is the parameter at fault.
        """
        if not self.paths:
            raise Invalid.field(name, f"No folders are configured for this ({self.setting}).")
        if not path or "\0" in path:
            raise Invalid.field(name, f"{name} must be a path.")
        try:
            tried = [Path(os.path.realpath(folder / path)) for folder in self.paths]
        except (OSError, ValueError) as error:
            raise Invalid.field(name, f"{name} must be a path.") from error
        inside = [real for real in tried if self.covers(real)]
        if not inside:
            raise Invalid.field(
                name, f"{name} lies outside the configured folders ({self.setting})."
            )
        return next((real for real in inside if os.path.lexists(real)), inside[0])

    def covers(self, real: Path) -> bool:
        """Return whether a real path lies inside one of the folders."""
        return any(real.is_relative_to(folder) for folder in self.paths)

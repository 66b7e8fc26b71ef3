"""Context object of the commands: settings and the application."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:  # `workbell --help` stays fast: the methods import the rest
    from workbell.entrypoints.bootstrap.application import Application
    from workbell.entrypoints.config.settings import Settings


@frozen
class CliContext:
    """Context object of click; `config` is the TOML file given by `--config`."""

    config: Path | None

    def settings(self, **overrides: object) -> "Settings":
        """Load the settings; values from the command line override all sources."""
        from workbell.entrypoints.config.option import variable
        from workbell.entrypoints.config.settings import load

        given = {variable(name): str(v) for name, v in overrides.items() if v is not None}
        return load({**os.environ, **given}, config=self.config)

    @contextmanager
    def application(self) -> Generator["Application"]:
        """Open the application on a migrated store, and close it at the end."""
        from workbell.entrypoints.bootstrap.build import build, import_task_modules
        from workbell.entrypoints.library.client import DECLARED

        settings = self.settings()
        import_task_modules(settings.tasks)
        application = build(settings, tasks=DECLARED.all())
        try:
            application.migrate_and_register()
            yield application
        finally:
            application.close()

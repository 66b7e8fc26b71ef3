"""Checks: what is wrong or risky before anybody meets it."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from workbell.domain.errors import WorkbellError
from workbell.entrypoints.config.settings import Settings

if TYPE_CHECKING:  # what it imports is slow, and most commands do without
    from workbell.entrypoints.bootstrap.application import Application


@frozen
class Finding:
    """Something to mend ('error') or to know ('warning')."""

    level: str
    what: str
    detail: str


def findings(settings: Settings) -> list[Finding]:
    """Return what is wrong or risky in settings, folders, database and Redis."""
    return [*_settings(settings), *_folders(settings), *_servers(settings)]


def _settings(settings: Settings) -> Iterator[Finding]:
    if settings.self_service_tier:
        yield Finding(
            "warning",
            "SELF_SERVICE_TIER",
            "Anyone may register with the premium tier and its quotas.",
        )
    if settings.debug:
        yield Finding(
            "warning", "DEBUG", "Pages for developers will be shown once there is a console."
        )
    public = settings.public_url.startswith("https://")
    if settings.host not in ("127.0.0.1", "localhost", "::1") and not public:
        yield Finding(
            "warning", "PUBLIC_URL", "The service listens beyond this machine without https."
        )
    if settings.force_https and not settings.trusted_proxies:
        told = "Without TRUSTED_PROXIES nobody is known to have come by https: all are sent away."
        yield Finding("error", "FORCE_HTTPS", told)
    if "*" in settings.allowed_hosts:
        yield Finding("warning", "ALLOWED_HOSTS", "Requests for any host name are answered.")
    if settings.smtp_url is None:
        yield Finding("warning", "SMTP_URL", f"Mails become files in {settings.data_dir / 'mail'}.")
    if settings.admin_password is not None and len(settings.admin_password) < 8:
        yield Finding("warning", "ADMIN_PASSWORD", "It has fewer than 8 characters.")


def _folders(settings: Settings) -> Iterator[Finding]:
    for name, folders in (
        ("INPUT_DIRS", settings.input_dirs),
        ("BACKUP_DIRS", settings.backup_dirs),
    ):
        for folder in folders:
            if not folder.is_dir():
                yield Finding("error", name, f"{folder} is no folder.")
    home = _existing(settings.data_dir)
    if not os.access(home, os.W_OK):
        yield Finding("error", "DATA_DIR", f"{home} cannot be written to.")


def _existing(path: Path) -> Path:
    path = path.absolute()
    return next(p for p in (path, *path.parents) if p.exists())


def _servers(settings: Settings) -> Iterator[Finding]:
    from workbell.entrypoints.bootstrap.build import build

    try:
        application = build(settings)
    except WorkbellError as error:
        yield Finding("error", "DATABASE_URL", error.detail)
        return
    with closing(application):
        yield from _database(application)
        try:
            application.check_cache()
        except WorkbellError as error:
            told = f"{error.detail} Work goes on without it, slower."
            yield Finding("warning", "REDIS_URL", told)


def _database(application: "Application") -> Iterator[Finding]:
    try:
        application.store.ping()
        revision = application.store.schema_version()
    except WorkbellError as error:
        yield Finding("error", "DATABASE_URL", error.detail)
        return
    if not revision:
        yield Finding(
            "warning", "DATABASE_URL", "It has no tables yet; `workbell migrate` makes them."
        )

"""Checks of an installation: settings, folders, database and Redis."""

import os
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from attrs import frozen

from workbell.domain.errors import WorkbellError
from workbell.entrypoints.config.settings import Settings

if TYPE_CHECKING:  # slow to import, and most commands do not need it
    from workbell.entrypoints.bootstrap.application import Application


@frozen
class Finding:
    """A problem; `level` is "error" or "warning"."""

    subject: str
    detail: str
    level: str = "warning"


def check_installation(settings: Settings) -> list[Finding]:
    """Return errors and risks in settings, folders, database and Redis."""
    return [*_check_settings(settings), *_check_folders(settings), *_check_servers(settings)]


def _check_settings(settings: Settings) -> Iterator[Finding]:
    if settings.self_service_tier:
        yield Finding(
            "SELF_SERVICE_TIER", "Anyone can register with the premium tier and its quotas."
        )
    if settings.debug:
        yield Finding("DEBUG", "Developer pages will be public once the web console exists.")
    public = settings.public_url.startswith("https://")
    if settings.host not in ("127.0.0.1", "localhost", "::1") and not public:
        yield Finding("PUBLIC_URL", "The service listens on the network without https.")
    if settings.force_https and not settings.trusted_proxies:
        detail = "Without TRUSTED_PROXIES no request counts as https: all are redirected forever."
        yield Finding("FORCE_HTTPS", detail, "error")
    if "*" in settings.allowed_hosts:
        yield Finding("ALLOWED_HOSTS", "Requests with any Host header are accepted.")
    if settings.allow_private_destinations:
        yield Finding(
            "ALLOW_PRIVATE_DESTINATIONS", "Users can send requests into the private network."
        )
    if settings.smtp_url is None:
        yield Finding(
            "SMTP_URL", f"Emails are written to {settings.data_dir / 'mail'} and not sent."
        )
    if settings.admin_password is not None and len(settings.admin_password) < 8:
        yield Finding("ADMIN_PASSWORD", "The password has fewer than 8 characters.")


def _check_folders(settings: Settings) -> Iterator[Finding]:
    for name, folders in (
        ("INPUT_DIRS", settings.input_dirs),
        ("BACKUP_DIRS", settings.backup_dirs),
    ):
        for folder in folders:
            if not folder.is_dir():
                yield Finding(name, f"{folder} is not a folder.", "error")
    folder = settings.data_dir.absolute()
    parent = next(each for each in (folder, *folder.parents) if each.exists())
    if not os.access(parent, os.W_OK):
        yield Finding("DATA_DIR", f"{parent} is not writable.", "error")


def _check_servers(settings: Settings) -> Iterator[Finding]:
    from workbell.entrypoints.bootstrap.build import build

    try:
        application = build(settings)
    except WorkbellError as error:
        yield Finding("DATABASE_URL", error.detail, "error")
        return
    with closing(application):
        yield from _check_database(application)
        try:
            application.check_cache()
        except WorkbellError as error:
            detail = f"{error.detail} Jobs run without it, but start up to a second later."
            yield Finding("REDIS_URL", detail)


def _check_sizes(application: "Application") -> Iterator[Finding]:
    from workbell.adapters.sql.store import SqlStore
    from workbell.entrypoints.cli import sizes

    if isinstance(application.store, SqlStore):
        for table, detail in sizes.find_large_tables(application.store):
            yield Finding(table, detail)
    mail = application.folder / "mail"
    if sizes.has_many_files(mail):
        detail = f"{mail} has more than {sizes.MANY_FILES:,} emails; shorten RETENTION_MAIL_DAYS."
        yield Finding("DATA_DIR", detail)


def _check_database(application: "Application") -> Iterator[Finding]:
    try:
        application.store.ping()
        revision = application.store.schema_version()
    except WorkbellError as error:
        yield Finding("DATABASE_URL", error.detail, "error")
        return
    if not revision:
        yield Finding("DATABASE_URL", "There are no tables yet; run `workbell migrate`.")
        return
    yield from _check_sizes(application)
    for key, since in application.definitions.parked().items():
        yield Finding(
            key, f"No worker knows this task: its jobs are held since {since:%Y-%m-%d %H:%M} UTC."
        )

"""Everything that may differ between two installations."""

import os
from collections.abc import Mapping
from datetime import time
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import fields, frozen

from workbell.domain.errors import Invalid
from workbell.domain.identity.second_factor import SecondFactorPolicy
from workbell.domain.rate_limits.policy import Rate
from workbell.entrypoints.config.enums import LogFormat, LogLevel, PasswordHashing, VerifiedEmail
from workbell.entrypoints.config.option import example_of, option, reference_of, variable
from workbell.entrypoints.config.parsers import (
    comma_separated,
    in_range,
    matching,
    one_of,
    parse_bool,
    parse_clock_time,
    parse_database_url,
    parse_folder,
    parse_int,
    parse_network,
    parse_rate,
    parse_secret,
    parse_text,
    parse_time_zone,
    parse_url,
    schema_name,
)
from workbell.entrypoints.config.sources import load_sources

_DAYS: Final = in_range(1, 36_500)
_SERVED: Final = "api|users|accounts|destinations|server|admin|monitor|metrics|livez|readyz"
_HOST: Final = r"\*|\[[0-9a-fA-F:.]+\]|(\*?\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_ADDRESS: Final = r"[^@\s]+@[^@\s]+"


def _address(settings: "Settings") -> str:
    everywhere = settings.host in {"0.0.0.0", "::", "[::]"}  # noqa: S104
    host = "localhost" if everywhere else settings.host
    return f"http://{f'[{host}]' if ':' in host and host[0] != '[' else host}:{settings.port}"


def _database(settings: "Settings") -> str:
    return f"sqlite:///{settings.data_dir / 'workbell.db'}"


def _hosts(settings: "Settings") -> tuple[str, ...]:
    public = urlsplit(settings.public_url).hostname or "localhost"
    public = f"[{public}]" if ":" in public else public
    return tuple(dict.fromkeys(("localhost", "127.0.0.1", "[::1]", public)))


def _pool_size(settings: "Settings") -> int:
    return settings.worker_threads + 4


@frozen(kw_only=True)
class Settings:
    """
    Everything that may differ between two installations.

    Each field is also an environment variable: `data_dir` is
    `WORKBELL_DATA_DIR`. None means that there is none.

    Raises:
        Invalid: A value is out of its bounds.
    """

    data_dir: Path = option(
        Path(".workbell"),
        "Folder of everything that is kept in files: database, mail, artifacts, the secret key.",
        read=parse_folder,
        group="Places",
    )
    host: str = option("127.0.0.1", "Address to listen on.", read=parse_text)
    port: int = option(
        8000, "Port to listen on; 0 takes any free one.", read=parse_int, check=in_range(0, 65_535)
    )
    public_url: str = option(
        _address,
        "Where users reach the service; https also switches on secure cookies and HSTS.",
        read=parse_url("http", "https"),
        shown="http://127.0.0.1:8000",
    )
    console_prefix: str = option(
        "/console",
        "Path of the web console, which is to come.",
        read=matching(
            rf"/(?!({_SERVED})(/|$))[a-z0-9_-]+(/[a-z0-9_-]+)*",
            "must be a path such as /console that no other route uses",
        ),
    )
    database_url: str = option(
        _database,
        "Database: sqlite:///file, postgresql://, mysql://, mariadb://, or memory:// for tests.",
        read=parse_database_url,
        normal=parse_database_url,
        secret=True,
        shown="sqlite:///.workbell/workbell.db",
    )
    database_schema: str | None = option(
        None,
        "PostgreSQL schema of all tables, created if missing; without it the search path decides.",
        read=parse_text,
        check=schema_name,
    )
    redis_url: str | None = option(
        None,
        "Redis for wake-ups, rate limits and cache; without it they stay inside the process.",
        read=parse_url("redis", "rediss"),
        secret=True,
    )

    secret_key: str | None = option(
        None,
        "Signs tokens, at least 32 bytes; made and kept in DATA_DIR where there is only SQLite.",
        read=parse_text,
        check=parse_secret,
        secret=True,
        group="Security",
    )
    secret_key_previous: tuple[str, ...] = option(
        (),
        "Former secret keys whose tokens and second factors are still accepted.",
        read=comma_separated(parse_text),
        check=parse_secret,
        secret=True,
    )
    allowed_hosts: tuple[str, ...] = option(
        _hosts,
        "Host names that requests may ask for; * stands for any.",
        read=comma_separated(matching(_HOST, "must be host names without scheme and port")),
        shown="localhost,127.0.0.1,[::1] and the host of PUBLIC_URL",
    )
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = option(
        (), "Proxies whose X-Forwarded-* headers are believed.", read=comma_separated(parse_network)
    )
    cors_origins: tuple[str, ...] = option(
        (),
        "Origins whose pages may call the API, such as https://app.example.org.",
        read=comma_separated(parse_url("http", "https", bare=True)),
    )
    force_https: bool = option(False, "Redirect plain HTTP to HTTPS.", read=parse_bool)
    hsts_seconds: int = option(
        31_536_000,
        "How long browsers insist on HTTPS, where PUBLIC_URL is https; 0 sends no header.",
        read=parse_int,
        check=in_range(0),
    )
    allow_private_destinations: bool = option(
        False,
        "For webhooks, which are to come: allow private and loopback addresses.",
        read=parse_bool,
    )
    debug: bool = option(
        False, "For the console, which is to come: show its pages for developers.", read=parse_bool
    )

    admin_username: str = option(
        "admin",
        "The administrator who is created where there is none.",
        read=parse_text,
        group="Users",
    )
    admin_email: str = option(
        "admin@example.org",
        "The administrator's address.",
        read=matching(_ADDRESS, "must be an e-mail address"),
    )
    admin_password: str | None = option(
        None,
        "The administrator's password; without it one is made and printed once.",
        read=parse_text,
        secret=True,
    )
    self_service_tier: bool = option(
        True, "Let users choose their own tier when they register.", read=parse_bool
    )
    require_verified_email: VerifiedEmail = option(
        VerifiedEmail.JOBS,
        "What needs a verified address: jobs, all or none.",
        read=one_of(VerifiedEmail),
    )
    require_second_factor: SecondFactorPolicy = option(
        SecondFactorPolicy.NONE,
        "Who must have a second factor: none, superusers or everyone; anybody may.",
        read=one_of(SecondFactorPolicy),
    )
    password_hashing: PasswordHashing = option(
        PasswordHashing.OWASP,
        "Cost of a password's hash: owasp (19 MiB), rfc9106 (64 MiB) or strong (128 MiB).",
        read=one_of(PasswordHashing),
    )
    access_token_minutes: int = option(
        15, "Life of an access token.", read=parse_int, check=in_range(1, 1_440)
    )
    refresh_token_minutes: int = option(
        1_440, "Life of a refresh token.", read=parse_int, check=in_range(1)
    )
    session_token_days: int = option(
        30,
        "Life of an opaque session token, and the most that any session lasts.",
        read=parse_int,
        check=_DAYS,
    )
    otp_minutes: int = option(
        10, "Life of a mailed one-time code.", read=parse_int, check=in_range(1, 1_440)
    )
    inactive_days: int = option(
        7, "Days without progress after which a user is reminded.", read=parse_int, check=_DAYS
    )

    smtp_url: str | None = option(
        None,
        "Mail server, smtp:// or smtps://; without it mails become files in DATA_DIR/mail.",
        read=parse_url("smtp", "smtps"),
        secret=True,
        group="Mail",
    )
    mail_from: str = option(
        "Workbell <workbell@localhost>",
        "Sender of mails.",
        read=matching(rf"{_ADDRESS}|[^<>\r\n]*<{_ADDRESS}>", "must be an e-mail address"),
    )
    reminder_time: time = option(
        time(0, 0), "Time of day at which reminders are sent.", read=parse_clock_time
    )
    reminder_time_zone: str = option(
        "Asia/Kolkata", "Time zone of REMINDER_TIME.", read=parse_time_zone
    )

    rate_limit_anon: Rate | None = option(
        Rate(100, 3_600),
        "Requests without valid credentials, per address: N/second, minute, hour, day, or off.",
        read=parse_rate,
        group="Limits",
    )
    rate_limit_user: Rate | None = option(
        Rate(1_000, 3_600), "Requests with credentials, per user.", read=parse_rate
    )
    rate_limit_login: Rate | None = option(Rate(10, 60), "Logins, per address.", read=parse_rate)
    rate_limit_progress_free: Rate | None = option(
        Rate(10, 86_400), "Progress requests of the free tier.", read=parse_rate
    )
    rate_limit_progress_premium: Rate | None = option(
        Rate(1_000, 86_400), "Progress requests of the premium tier.", read=parse_rate
    )
    rate_limit_ingest: Rate | None = option(
        Rate(5, 1), "Events taken in, per user.", read=parse_rate
    )
    max_active_schedules: int = option(
        5, "Active schedules of a regular user.", read=parse_int, check=in_range(0)
    )
    max_waiting_jobs: int = option(
        10_000, "Waiting jobs of one owner.", read=parse_int, check=in_range(1)
    )
    summary_cache_seconds: int = option(
        300, "How long a summary may be served from the cache.", read=parse_int, check=in_range(0)
    )

    worker_threads: int = option(
        8,
        "Jobs that one process runs at once.",
        read=parse_int,
        check=in_range(1, 512),
        group="Work",
    )
    database_pool_size: int = option(
        _pool_size,
        "Connections of one process to the database; without it WORKER_THREADS + 4.",
        read=parse_int,
        check=in_range(1, 1_000),
        shown="12",
    )
    queues: tuple[str, ...] = option(
        (),
        "Queues that a worker serves; without it all of them.",
        read=comma_separated(
            matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", "must be names of queues")
        ),
    )
    lease_seconds: int = option(
        30,
        "How long a job stays with a worker that gives no sign of life.",
        read=parse_int,
        check=in_range(2, 3_600),
    )
    shutdown_grace_seconds: int = option(
        25, "How long running jobs may take to end at shutdown.", read=parse_int, check=in_range(0)
    )
    tasks: tuple[str, ...] = option(
        (),
        "Python modules with your own tasks.",
        read=comma_separated(
            matching(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", "must be names of Python modules")
        ),
    )
    input_dirs: tuple[Path, ...] = option(
        (), "Folders that data and backup tasks may read from.", read=comma_separated(parse_folder)
    )
    backup_dirs: tuple[Path, ...] = option(
        (), "Folders that backups may be written to.", read=comma_separated(parse_folder)
    )

    retention_succeeded_days: int = option(
        7, "Days that succeeded jobs are kept.", read=parse_int, check=_DAYS, group="Retention"
    )
    retention_skipped_days: int = option(
        7, "Days that skipped ticks are kept.", read=parse_int, check=_DAYS
    )
    retention_failed_days: int = option(
        30, "Days that failed and cancelled jobs are kept.", read=parse_int, check=_DAYS
    )
    retention_schedule_days: int = option(
        30,
        "Days that the jobs of a schedule are kept, however they ended.",
        read=parse_int,
        check=_DAYS,
    )
    retention_events_days: int = option(
        90, "Days that events, which are to come, are kept.", read=parse_int, check=_DAYS
    )

    log_format: LogFormat = option(
        LogFormat.CONSOLE, "console or json.", read=one_of(LogFormat), group="Observation"
    )
    log_level: LogLevel = option(
        LogLevel.INFO, "debug, info, warning, error or critical.", read=one_of(LogLevel)
    )
    log_file: Path | None = option(None, "File to log to; without it stderr.", read=parse_folder)
    metrics_port: int | None = option(
        None,
        "Port on which worker and scheduler serve health and metrics.",
        read=parse_int,
        check=in_range(1, 65_535),
    )
    metrics_token: str | None = option(
        None, "Bearer token that reads the metrics.", read=parse_text, secret=True
    )

    @property
    def on_server(self) -> bool:
        """Whether the database is a server, which other programs may use."""
        return not self.database_url.startswith(("sqlite", "memory"))

    @property
    def embedded(self) -> bool:
        """Whether everything runs in one process, without any server."""
        return self.redis_url is None and not self.on_server


def load(
    environ: Mapping[str, str] | None = None,
    *,
    directory: Path | None = None,
    config: Path | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Settings:
    """
    Return what environment, `.env` and TOML file say, the first one that speaks.

    Args:
        environ: The environment; that of the process if left out.
        directory: Where `.env` lies; the current folder if left out.
        config: The TOML file; the one that `WORKBELL_CONFIG` names if left out.
        arguments: Values by field, of a program that uses Workbell as a library.
            They take precedence over all of these. A program serves no HTTP,
            so it needs no secret key.

    Raises:
        Invalid: Everything that is wrong, each variable with its reason.
    """
    known = fields(Settings)
    environ = os.environ if environ is None else environ
    gathered = load_sources({field.name for field in known}, environ, directory or Path(), config)
    for name in arguments or {}:
        gathered.given.pop(variable(name), None)
    settings = Settings(**{**gathered.values_of(known), **(arguments or {})})
    if arguments is None and not settings.embedded and settings.secret_key is None:
        reason = "must be set where a database server or Redis is used"
        gathered.wrong.setdefault(variable("secret_key"), reason)
    if settings.database_schema is not None and not settings.database_url.startswith("postgresql"):
        reason = "must not be set here: only PostgreSQL has schemas"
        gathered.wrong.setdefault(variable("database_schema"), reason)
    if gathered.wrong:
        lines = [f"  {name}: {reason}" for name, reason in gathered.wrong.items()]
        raise Invalid(
            "\n".join(["Some settings are wrong:", *lines]),
            {name: [reason] for name, reason in gathered.wrong.items()},
        )
    return settings


def example() -> str:
    """Return `.env.example`: every setting, commented out, with its default."""
    return example_of(fields(Settings))


def reference() -> str:
    """Return the page of the documents that lists every setting, in Markdown."""
    return reference_of(fields(Settings))

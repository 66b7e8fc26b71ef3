"""The settings of an installation, and their defaults."""

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
from workbell.domain.jobs.task import Isolation
from workbell.domain.rate_limits.policy import Rate
from workbell.entrypoints.config.enums import LogFormat, LogLevel, PasswordHashing, VerifiedEmail
from workbell.entrypoints.config.option import (
    float_option,
    int_option,
    option,
    variable,
)
from workbell.entrypoints.config.parsers import (
    check_schema_name,
    check_secret,
    comma_separated,
    matching,
    one_of,
    parse_bool,
    parse_clock_time,
    parse_database_url,
    parse_folder,
    parse_network,
    parse_rate,
    parse_time_zone,
    parse_url,
)
from workbell.entrypoints.config.sources import load_sources

_DAYS: Final = (1, 36_500)
"""Minimum and maximum of a setting in days."""
_RESERVED_PATHS: Final = "api|users|accounts|destinations|server|admin|monitor|metrics|livez|readyz"
_HOST_NAME: Final = r"\*|\[[0-9a-fA-F:.]+\]|(\*?\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_EMAIL_ADDRESS: Final = r"[^@\s]+@[^@\s]+"


def _default_public_url(settings: "Settings") -> str:
    all_interfaces = settings.host in {"0.0.0.0", "::", "[::]"}  # noqa: S104
    host = "localhost" if all_interfaces else settings.host
    return f"http://{f'[{host}]' if ':' in host and host[0] != '[' else host}:{settings.port}"


def _default_allowed_hosts(settings: "Settings") -> tuple[str, ...]:
    public = urlsplit(settings.public_url).hostname or "localhost"
    public = f"[{public}]" if ":" in public else public
    return tuple(dict.fromkeys(("localhost", "127.0.0.1", "[::1]", public)))


@frozen(kw_only=True)
class Settings:
    """
    The settings of an installation.

    Each field is also an environment variable: `data_dir` is
    `WORKBELL_DATA_DIR`. None means "not set".

    Raises:
        Invalid: A value is out of its bounds.
    """

    data_dir: Path = option(
        Path(".workbell"),
        "Folder for all files: the SQLite database, artifacts, mail and the generated secret key.",
        read=parse_folder,
        group="Places",
    )
    host: str = option("127.0.0.1", "Address to listen on.")
    port: int = int_option(8000, "Port to listen on; 0 picks a free port.", 0, 65_535)
    public_url: str = option(
        _default_public_url,
        "URL at which users reach the service; https enables secure cookies and HSTS.",
        read=parse_url("http", "https"),
        documented="http://127.0.0.1:8000",
    )
    console_prefix: str = option(
        "/console",
        "URL path of the web console (reserved: the console is not implemented yet).",
        read=matching(
            rf"/(?!({_RESERVED_PATHS})(/|$))[a-z0-9_-]+(/[a-z0-9_-]+)*",
            "must be a path such as /console that no other route uses",
        ),
    )
    database_url: str = option(
        lambda settings: f"sqlite:///{settings.data_dir / 'workbell.db'}",
        "Database: sqlite:///file, postgresql://, mysql://, mariadb://, or memory:// for tests.",
        read=parse_database_url,
        normalise=parse_database_url,
        secret=True,
        documented="sqlite:///.workbell/workbell.db",
    )
    database_schema: str | None = option(
        None,
        "PostgreSQL schema of all tables, created if missing; default: the role's search_path.",
        check=check_schema_name,
    )
    redis_url: str | None = option(
        None,
        "Redis for job notifications, rate limits and the cache; if unset, each process has its "
        "own in memory.",
        read=parse_url("redis", "rediss"),
        secret=True,
    )

    secret_key: str | None = option(
        None,
        "Key that signs tokens and encrypts secrets in the database, at least 32 bytes. Required "
        "with a database server or Redis; on SQLite alone it is generated once and stored in "
        "DATA_DIR/secret_key.",
        check=check_secret,
        secret=True,
        group="Security",
    )
    secret_key_previous: tuple[str, ...] = option(
        (),
        "Previous secret keys, for rotation: their tokens and second factors remain valid, and "
        "the secrets of destinations and accounts remain readable.",
        read=comma_separated(str),
        check=check_secret,
        secret=True,
    )
    allowed_hosts: tuple[str, ...] = option(
        _default_allowed_hosts,
        "Accepted values of the Host header; * accepts every host.",
        read=comma_separated(matching(_HOST_NAME, "must be host names without scheme and port")),
        documented="localhost,127.0.0.1,[::1] and the host of PUBLIC_URL",
    )
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = option(
        (),
        "Addresses or networks of reverse proxies whose X-Forwarded-* headers are trusted.",
        read=comma_separated(parse_network),
    )
    cors_origins: tuple[str, ...] = option(
        (),
        "Origins whose web pages may call the API, such as https://app.example.org.",
        read=comma_separated(parse_url("http", "https", bare=True)),
    )
    force_https: bool = option(
        False, "Redirect HTTP to HTTPS; behind a proxy set TRUSTED_PROXIES.", read=parse_bool
    )
    hsts_seconds: int = int_option(
        31_536_000, "max-age of the HSTS header if PUBLIC_URL is https; 0 omits the header.", 0
    )
    allow_private_destinations: bool = option(
        False,
        "Let webhooks and HTTP requests of jobs reach private and loopback addresses.",
        read=parse_bool,
    )
    debug: bool = option(
        False,
        "Show developer pages in the web console (reserved: the console is not implemented yet).",
        read=parse_bool,
    )

    admin_username: str = option(
        "admin", "Username of the administrator that is created if there is none.", group="Users"
    )
    admin_email: str = option(
        "admin@example.org",
        "Email address of that administrator.",
        read=matching(_EMAIL_ADDRESS, "must be an e-mail address"),
    )
    admin_password: str | None = option(
        None,
        "Password of that administrator; if unset, one is generated and printed once.",
        secret=True,
    )
    self_service_tier: bool = option(
        True, "Let users choose their own tier when they register.", read=parse_bool
    )
    require_verified_email: VerifiedEmail = option(
        VerifiedEmail.JOBS,
        "Actions that require a verified email address: jobs, all or none.",
        read=one_of(VerifiedEmail),
    )
    require_second_factor: SecondFactorPolicy = option(
        SecondFactorPolicy.NONE,
        "Users that must have a second factor: none, superusers or everyone; it is optional for "
        "all others.",
        read=one_of(SecondFactorPolicy),
    )
    password_hashing: PasswordHashing = option(
        PasswordHashing.OWASP,
        "Memory cost of the Argon2id hash: owasp (19 MiB), rfc9106 (64 MiB) or strong (128 MiB).",
        read=one_of(PasswordHashing),
    )
    access_token_minutes: int = int_option(15, "Lifetime of access tokens, in minutes.", 1, 1_440)
    refresh_token_minutes: int = int_option(1_440, "Lifetime of refresh tokens, in minutes.", 1)
    session_token_days: int = int_option(
        30, "Lifetime of opaque session tokens, and the maximum of any session, in days.", *_DAYS
    )
    otp_minutes: int = int_option(10, "Lifetime of emailed one-time codes, in minutes.", 1, 1_440)
    inactive_days: int = int_option(
        7, "Days without progress on goals before a user is sent a reminder.", *_DAYS
    )

    smtp_url: str | None = option(
        None,
        "Mail server, smtp:// or smtps://; if unset, emails are written to DATA_DIR/mail.",
        read=parse_url("smtp", "smtps"),
        secret=True,
        group="Mail",
    )
    mail_from: str = option(
        "Workbell <workbell@localhost>",
        "Sender address of emails.",
        read=matching(
            rf"{_EMAIL_ADDRESS}|[^<>\r\n]*<{_EMAIL_ADDRESS}>", "must be an e-mail address"
        ),
    )
    reminder_time: time = option(
        time(0, 0),
        "Time of day at which reminders are sent, HH:MM, unless a user chose another.",
        read=parse_clock_time,
    )
    reminder_time_zone: str = option(
        "Asia/Kolkata", "Time zone of REMINDER_TIME.", read=parse_time_zone
    )

    rate_limit_anon: Rate | None = option(
        Rate(100, 3_600),
        "Requests without valid credentials, per client address: N/second, N/minute, N/hour, "
        "N/day, or off.",
        read=parse_rate,
        group="Limits",
    )
    rate_limit_user: Rate | None = option(
        Rate(1_000, 3_600), "Authenticated requests, per user.", read=parse_rate
    )
    rate_limit_login: Rate | None = option(
        Rate(10, 60), "Login attempts, per client address.", read=parse_rate
    )
    rate_limit_progress_free: Rate | None = option(
        Rate(10, 86_400), "Progress requests, per user of the free tier.", read=parse_rate
    )
    rate_limit_progress_premium: Rate | None = option(
        Rate(1_000, 86_400), "Progress requests, per user of the premium tier.", read=parse_rate
    )
    rate_limit_ingest: Rate | None = option(
        Rate(5, 1), "Ingested events, per user.", read=parse_rate
    )
    email_quota: Rate | None = option(
        Rate(200, 86_400), "Emails about tasks and goals, per recipient.", read=parse_rate
    )
    max_active_schedules: int = int_option(5, "Maximum of active schedules per regular user.", 0)
    max_waiting_jobs: int = int_option(10_000, "Maximum of waiting jobs per owner.", 1)
    summary_cache_seconds: int = int_option(
        300, "Seconds for which summaries may be served from the cache; 0 disables it.", 0
    )

    worker_threads: int = int_option(
        8, "Jobs that one worker process runs concurrently.", 1, 512, group="Work"
    )
    owner_threads: int | None = int_option(
        None,
        "Jobs of one owner that a worker process runs concurrently, except batch tasks and those "
        "of the system; default: three quarters of its threads.",
        1,
        512,
    )
    owner_running: int = int_option(
        0, "Jobs of one owner that all processes together run concurrently; 0 is unlimited.", 0
    )
    park_seconds: int = int_option(
        60,
        "Seconds for which workers exclude a task that none of them knows before its jobs are "
        "held.",
        1,
    )
    database_pool_size: int = int_option(
        lambda settings: settings.worker_threads + 4,
        "Maximum of database connections per process; default: WORKER_THREADS + 4.",
        1,
        1_000,
        documented="12",
    )
    queues: tuple[str, ...] = option(
        (),
        "Queues that a worker serves; default: all of them.",
        read=comma_separated(matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", "must be queue names")),
    )
    lease_seconds: int = int_option(
        30, "Seconds without a heartbeat after which a worker's jobs go to other workers.", 2, 3_600
    )
    max_written_off: int = int_option(
        lambda settings: settings.worker_threads,
        "Threads whose functions did not stop in time, from which on a worker claims nothing "
        "and exits with status 70; default: WORKER_THREADS.",
        1,
        512,
        documented="8",
    )
    cancel_poll_seconds: float = float_option(
        0.5,
        "Seconds after which a worker notices a cancellation that no message announced.",
        0.05,
        60,
    )
    cancel_grace_seconds: int = int_option(
        10,
        "Seconds that a cancelled function gets to stop, before its attempt ends without it.",
        1,
        3_600,
    )
    shutdown_grace_seconds: int = int_option(
        25, "Seconds that running jobs get to finish at shutdown.", 0
    )
    tasks: tuple[str, ...] = option(
        (),
        "Python modules that declare your own tasks.",
        read=comma_separated(
            matching(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", "must be names of Python modules")
        ),
    )
    task_isolation: Isolation = option(
        Isolation.THREAD,
        "Where your own tasks run that do not say it: thread or process.",
        read=one_of(Isolation),
    )
    child_memory_mib: int = int_option(
        0, "MiB of address space that a job may add to its child process; 0 is no limit.", 0
    )
    child_jobs: int = int_option(1_000, "Jobs that a child process runs before it is replaced.", 1)
    child_idle_seconds: int = int_option(
        300, "Seconds without a job after which a child process ends.", 1, 86_400
    )
    child_nice: int = int_option(10, "Niceness that is added to child processes.", 0, 19)
    kill_grace_seconds: int = int_option(
        5, "Seconds between the interruption of a child process and its kill.", 0, 3_600
    )
    input_dirs: tuple[Path, ...] = option(
        (),
        "Folders that the built-in data and backup tasks may read.",
        read=comma_separated(parse_folder),
    )
    backup_dirs: tuple[Path, ...] = option(
        (),
        "Folders that the built-in backup task may write to.",
        read=comma_separated(parse_folder),
    )

    retention_succeeded_days: int = int_option(
        7, "Days after which succeeded jobs are deleted.", *_DAYS, group="Retention"
    )
    retention_skipped_days: int = int_option(
        7, "Days after which skipped ticks are deleted.", *_DAYS
    )
    retention_failed_days: int = int_option(
        30, "Days after which failed and cancelled jobs are deleted.", *_DAYS
    )
    retention_schedule_days: int = int_option(
        30, "Days after which jobs of schedules are deleted, with any outcome.", *_DAYS
    )
    retention_audit_days: int | None = int_option(
        None,
        "Days after which sealed audit entries are deleted; the rest can still be verified. "
        "Default: never.",
        *_DAYS,
    )
    retention_mail_days: int = int_option(
        30, "Days after which emails in DATA_DIR/mail are deleted.", *_DAYS
    )
    retention_events_days: int = int_option(
        90,
        "Days after which the data of events, and ended deliveries, are deleted; the ids of events "
        "remain.",
        *_DAYS,
    )

    log_format: LogFormat = option(
        LogFormat.CONSOLE,
        "Format of log lines: console or json.",
        read=one_of(LogFormat),
        group="Observation",
    )
    log_level: LogLevel = option(
        LogLevel.INFO,
        "Minimum level that is logged: debug, info, warning, error or critical.",
        read=one_of(LogLevel),
    )
    log_file: Path | None = option(None, "Log file; default: stderr.", read=parse_folder)
    metrics_port: int | None = int_option(
        None, "Port on which worker and scheduler serve health and metrics.", 1, 65_535
    )
    metrics_token: str | None = option(None, "Bearer token required to read /metrics.", secret=True)

    @property
    def on_server(self) -> bool:
        """Whether the database is a server, which several processes may use."""
        return not self.database_url.startswith(("sqlite", "memory"))

    @property
    def embedded(self) -> bool:
        """Whether one process has all roles, without a server or Redis."""
        return self.redis_url is None and not self.on_server


def load(
    environ: Mapping[str, str] | None = None,
    *,
    directory: Path | None = None,
    config: Path | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Settings:
    """
    Load the settings: environment, then `.env`, then the TOML file.

    Args:
        environ: Defaults to the environment of the process.
        directory: Folder of `.env`; defaults to the current folder.
        config: TOML file; defaults to the file named by `WORKBELL_CONFIG`.
        arguments: Values by field, from a program that uses Workbell as a library.
            They override all other sources, and no secret key is required.

    Raises:
        Invalid: Lists every invalid variable with its reason.
    """
    known = fields(Settings)
    environ = os.environ if environ is None else environ
    loaded = load_sources({field.name for field in known}, environ, directory or Path(), config)
    for name in arguments or {}:
        loaded.values.pop(variable(name), None)
    settings = Settings(**{**loaded.parse_values(known), **(arguments or {})})
    if arguments is None and not settings.embedded and settings.secret_key is None:
        reason = "must be set if a database server or Redis is used"
        loaded.errors.setdefault(variable("secret_key"), reason)
    if settings.database_schema is not None and not settings.database_url.startswith("postgresql"):
        reason = "must not be set: only PostgreSQL has schemas"
        loaded.errors.setdefault(variable("database_schema"), reason)
    if loaded.errors:
        lines = [f"  {name}: {reason}" for name, reason in loaded.errors.items()]
        raise Invalid(
            "\n".join(["Invalid settings:", *lines]),
            {name: [reason] for name, reason in loaded.errors.items()},
        )
    return settings

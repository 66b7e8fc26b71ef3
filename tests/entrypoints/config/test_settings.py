"""Settings: sources, validation and documentation."""

from datetime import time
from ipaddress import ip_network
from pathlib import Path

import pytest
from attrs import fields

from workbell.domain.errors import Invalid
from workbell.domain.rate_limits.policy import Rate
from workbell.entrypoints.config.enums import LogFormat, LogLevel, VerifiedEmail
from workbell.entrypoints.config.option import format_default, get_option, variable
from workbell.entrypoints.config.reference import example, reference
from workbell.entrypoints.config.settings import Settings, load

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
KEY = "0123456789abcdef" * 2


def load_errors(directory: Path, **environ: str) -> dict[str, str]:
    """Return the errors of an environment: reason by variable."""
    with pytest.raises(Invalid) as caught:
        load({f"WORKBELL_{name}": text for name, text in environ.items()}, directory=directory)
    return {
        name.removeprefix("WORKBELL_"): said[0] for name, said in caught.value.field_errors.items()
    }


def load_settings(directory: Path, **environ: str) -> Settings:
    """Return the settings of an environment."""
    return load({f"WORKBELL_{name}": text for name, text in environ.items()}, directory=directory)


def test_every_setting_has_a_default(tmp_path: Path) -> None:
    """The default is one process, on SQLite, listening on localhost."""
    settings = load({}, directory=tmp_path)
    assert settings.embedded
    assert settings.database_url == "sqlite:///.workbell/workbell.db"
    assert settings.public_url == "http://127.0.0.1:8000"
    assert settings.allowed_hosts == ("localhost", "127.0.0.1", "[::1]")
    assert settings.database_pool_size == settings.worker_threads + 4
    assert settings == Settings()


def test_the_environment_of_the_process_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So is .env in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBELL_PORT", "8001")
    Path(".env").write_text("WORKBELL_HOST=::1\n")
    assert load().public_url == "http://[::1]:8001"


def test_values_of_every_type_are_parsed(tmp_path: Path) -> None:
    settings = load_settings(
        tmp_path,
        DATA_DIR="/var/lib/workbell",
        DEBUG="Yes",
        SELF_SERVICE_TIER="off",
        LEASE_SECONDS=" 2 ",
        QUEUES="mail, default,",
        TASKS="app.tasks,more",
        INPUT_DIRS="/data,/srv/in",
        TRUSTED_PROXIES="10.0.0.0/8,::1",
        CORS_ORIGINS="https://app.example.org/,http://localhost:5173",
        RATE_LIMIT_ANON="off",
        RATE_LIMIT_USER="20/minute",
        REMINDER_TIME="06:30",
        REMINDER_TIME_ZONE="Europe/Berlin",
        REQUIRE_VERIFIED_EMAIL="all",
        LOG_FORMAT="JSON",
        LOG_LEVEL="debug",
        METRICS_PORT="9100",
        SECRET_KEY=KEY,
        SECRET_KEY_PREVIOUS=f"{KEY}1,{KEY}2",
    )
    assert settings.database_url == "sqlite:////var/lib/workbell/workbell.db"
    assert settings.debug
    assert not settings.self_service_tier
    assert settings.lease_seconds == 2
    assert settings.queues == ("mail", "default")
    assert settings.tasks == ("app.tasks", "more")
    assert settings.input_dirs == (Path("/data"), Path("/srv/in"))
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert settings.cors_origins == ("https://app.example.org", "http://localhost:5173")
    assert settings.rate_limit_anon is None
    assert settings.rate_limit_user == Rate(20, 60)
    assert settings.reminder_time == time(6, 30)
    assert settings.reminder_time_zone == "Europe/Berlin"
    assert settings.require_verified_email is VerifiedEmail.ALL
    assert settings.log_format is LogFormat.JSON
    assert settings.log_level is LogLevel.DEBUG
    assert settings.metrics_port == 9100
    assert settings.secret_key_previous == (f"{KEY}1", f"{KEY}2")


# ---- Sources


def test_sources_have_a_precedence(tmp_path: Path) -> None:
    """Environment, then .env, then TOML, then the default."""
    (tmp_path / "config.toml").write_text(
        'host = "10.0.0.1"\nport = 8001\nworker_threads = 2\nqueues = ["a", "b"]\ndebug = true\n'
    )
    (tmp_path / ".env").write_text(
        "# mine\nOTHER=1\nWORKBELL_CONFIG=config.toml\nWORKBELL_HOST='10.0.0.2'\n"
        "export WORKBELL_PORT=8002\nWORKBELL_DEBUG\n"
    )
    settings = load_settings(tmp_path, HOST="10.0.0.3")
    assert settings.host == "10.0.0.3"
    assert settings.port == 8002
    assert settings.worker_threads == 2
    assert settings.queues == ("a", "b")
    assert settings.log_level is LogLevel.INFO


def test_an_empty_value_is_the_default(tmp_path: Path) -> None:
    """Compose files leave names empty; an empty value also hides other sources."""
    (tmp_path / ".env").write_text("WORKBELL_SMTP_URL=smtp://mail.example.org\n")
    assert load_settings(tmp_path).smtp_url == "smtp://mail.example.org"
    assert load_settings(tmp_path, SMTP_URL="", CONFIG="", PORT=" ").smtp_url is None


def test_the_config_option_overrides_the_environment_variable(tmp_path: Path) -> None:
    (tmp_path / "near.toml").write_text("port = 8003\n")
    environ = {"WORKBELL_CONFIG": "far.toml"}
    assert load(environ, directory=tmp_path, config=tmp_path / "near.toml").port == 8003


def test_dollar_signs_are_not_expanded(tmp_path: Path) -> None:
    """A password may contain them."""
    (tmp_path / ".env").write_text("WORKBELL_ADMIN_PASSWORD=pa$${HOME}word\n")
    assert load({"HOME": "/root"}, directory=tmp_path).admin_password == "pa$${HOME}word"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("port = ", "config.toml"),
        ("port = 1.5\n", "port must be text, a number"),
        ('queues = ["a,b"]\n', "queues must be text, a number"),
    ],
)
def test_a_broken_toml_file_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    """The reason names the file and the key."""
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(Invalid, match=reason):
        load_settings(tmp_path, CONFIG="config.toml")


def test_a_missing_toml_file_is_an_error(tmp_path: Path) -> None:
    """Without it a service with other settings would start."""
    with pytest.raises(Invalid, match=r"config\.toml: No such file"):
        load_settings(tmp_path, CONFIG="config.toml")


def test_a_broken_env_file_is_refused(tmp_path: Path) -> None:
    """The reason names the line."""
    (tmp_path / ".env").write_text("A=1\nWORKBELL_PORT='8001\n")
    with pytest.raises(Invalid, match=r"\.env, line 2"):
        load_settings(tmp_path)


def test_an_env_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A folder of that name, as containers create it, is ignored."""
    (tmp_path / ".env").write_bytes(b"WORKBELL_PORT=\xff\n")
    with pytest.raises(Invalid, match=r"\.env: .*can't decode"):
        load_settings(tmp_path)
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").symlink_to(".env")
    with pytest.raises(Invalid, match=r"/\.env: .*symbolic links"):
        load_settings(tmp_path)
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").mkdir()
    assert load_settings(tmp_path) == Settings()


# ---- Names


def test_a_misspelt_name_is_an_error(tmp_path: Path) -> None:
    """Otherwise the setting would be ignored silently."""
    (tmp_path / "config.toml").write_text("databse_url = 'memory://'\nconfig = 'x'\n")
    (tmp_path / ".env").write_text("WORKBELL_DATA_DIRS=/data\n")
    said = load_errors(tmp_path, PROT="1", ZZZZ="1", CONFIG="config.toml", workbell_="1", Port="1")
    assert said["PROT"] == "there is no such setting; did you mean WORKBELL_PORT?"
    assert said["Port"] == "there is no such setting; did you mean WORKBELL_PORT?"
    assert said["ZZZZ"] == "there is no such setting"
    assert said["DATA_DIRS"].endswith("did you mean WORKBELL_DATA_DIR? (in .env)")
    assert said["DATABSE_URL"].endswith("did you mean WORKBELL_DATABASE_URL? (in config.toml)")
    assert said["CONFIG"].startswith("there is no such setting")


def test_variables_of_other_programs_are_ignored(tmp_path: Path) -> None:
    """Kubernetes sets variables named after services."""
    settings = load_settings(
        tmp_path,
        TEST_REQUIRE="postgres",
        SERVICE_HOST="10.0.0.1",
        SERVICE_PORT="80",
        API_SERVICE_PORT_HTTP="80",
        PORT="tcp://10.0.0.1:80",
        METRICS_PORT="tcp://10.0.0.1:80",
        PORT_80_TCP="tcp://10.0.0.1:80",
        PORT_80_TCP_ADDR="10.0.0.1",
        API_PORT_8000_TCP_PROTO="tcp",
    )
    assert settings == Settings()


# ---- Values


def test_all_errors_are_reported_at_once(tmp_path: Path) -> None:
    """Each has its reason and its source."""
    (tmp_path / ".env").write_text("WORKBELL_LEASE_SECONDS=0\n")
    with pytest.raises(Invalid) as caught:
        load_settings(tmp_path, PORT="x", RATE_LIMIT_ANON="often")
    assert caught.value.detail == (
        "Invalid settings:\n"
        "  WORKBELL_PORT: must be a whole number, not 'x'\n"
        "  WORKBELL_RATE_LIMIT_ANON: must be a rate such as 10/day, 5/second, or off, not 'often'\n"
        "  WORKBELL_LEASE_SECONDS: must be from 2 to 3600, not '0' (in .env)"
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "٥"),
        ("WORKER_THREADS", "0"),
        ("HSTS_SECONDS", "-1"),
        ("DEBUG", "maybe"),
        ("RATE_LIMIT_INGEST", "0/second"),
        ("REMINDER_TIME", "24:00"),
        ("REMINDER_TIME_ZONE", "Europe/Atlantis"),
        ("REMINDER_TIME_ZONE", "../etc/passwd"),
        ("TRUSTED_PROXIES", "10.0.0.0/99"),
        ("CORS_ORIGINS", "https://app.example.org/path"),
        ("CORS_ORIGINS", "app.example.org"),
        ("PUBLIC_URL", "bell.example.org"),
        ("PUBLIC_URL", "https://bell.example.org:99999"),
        ("MAIL_FROM", "Workbell"),
        ("ADMIN_EMAIL", "root"),
        ("ALLOWED_HOSTS", "https://bell.example.org"),
        ("ALLOWED_HOSTS", "bell.example.org:80"),
        ("CONSOLE_PREFIX", "console"),
        ("CONSOLE_PREFIX", "/"),
        ("CONSOLE_PREFIX", "/api"),
        ("CONSOLE_PREFIX", "/users/console"),
        ("QUEUES", "two words"),
        ("TASKS", "app-tasks"),
        ("LOG_LEVEL", "loud"),
        ("REQUIRE_VERIFIED_EMAIL", "some"),
    ],
)
def test_an_invalid_value_is_refused(tmp_path: Path, name: str, text: str) -> None:
    """The error names the expected and the actual value."""
    reason = load_errors(tmp_path, **{name: text})[name]
    assert reason.startswith("must ")
    assert "not '" in reason


@pytest.mark.parametrize(
    ("name", "text"), [("REDIS_URL", "http://localhost"), ("SMTP_URL", "smtp://")]
)
def test_the_error_of_an_invalid_url_does_not_repeat_it(
    tmp_path: Path, name: str, text: str
) -> None:
    """It may contain a password."""
    assert load_errors(tmp_path, **{name: text})[name].startswith("must be a URL that starts with")


def test_secrets_appear_neither_in_errors_nor_in_repr(tmp_path: Path) -> None:
    said = load_errors(
        tmp_path, SECRET_KEY="hunter2", DATABASE_URL="oracle://me:hunter2@db", SMTP_URL="hunter2"
    )
    assert set(said) == {"SECRET_KEY", "DATABASE_URL", "SMTP_URL"}
    assert "hunter2" not in str(said)
    secret = {
        "ADMIN_PASSWORD": "hunter2",
        "METRICS_TOKEN": "hunter2",
        "REDIS_URL": "redis://:hunter2@localhost",
        "SMTP_URL": "smtp://me:hunter2@localhost",
        "DATABASE_URL": "postgresql://me:hunter2@db/bell",
        "SECRET_KEY": f"hunter2{KEY}",
        "SECRET_KEY_PREVIOUS": f"hunter2{KEY}",
    }
    assert "hunter2" not in repr(load_settings(tmp_path, **secret))


def test_values_from_code_are_checked_too() -> None:
    """The library and tests create settings from values, not text."""
    with pytest.raises(Invalid, match="port: must be from 0 to 65535"):
        Settings(port=65_536)
    assert Settings(database_url="postgres://db").database_url == "postgresql+psycopg://db"


# ---- Database, key, hosts


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("sqlite:///jobs.db", "sqlite:///jobs.db"),
        ("sqlite:////var/jobs.db?timeout=5", "sqlite:////var/jobs.db?timeout=5"),
        ("postgres://u:p@db/bell", "postgresql+psycopg://u:p@db/bell"),
        ("postgresql://u:p@db/bell", "postgresql+psycopg://u:p@db/bell"),
        ("postgresql+psycopg://db/bell", "postgresql+psycopg://db/bell"),
        ("mysql://u:p@db/bell", "mysql+pymysql://u:p@db/bell"),
        ("mariadb://u:p@db/bell", "mysql+pymysql://u:p@db/bell"),
        ("MySQL+pymysql://db/bell", "mysql+pymysql://db/bell"),
        ("memory://", "memory://"),
        ("memory://tests", "memory://"),
    ],
)
def test_a_database_url_is_normalised(tmp_path: Path, given: str, normal: str) -> None:
    assert load_settings(tmp_path, DATABASE_URL=given, SECRET_KEY=KEY).database_url == normal


@pytest.mark.parametrize(
    "url", ["jobs.db", "oracle://db", "postgresql+asyncpg://db", "sqlite://", "sqlite:///:memory:"]
)
def test_other_databases_are_refused(tmp_path: Path, url: str) -> None:
    """So is SQLite without a file: each connection would have its own database."""
    assert load_errors(tmp_path, DATABASE_URL=url)["DATABASE_URL"].startswith("must ")


@pytest.mark.parametrize(
    "servers", [{"DATABASE_URL": "postgresql://db/bell"}, {"REDIS_URL": "redis://localhost"}]
)
def test_servers_require_a_secret_key(tmp_path: Path, servers: dict[str, str]) -> None:
    """All processes must sign with the same key."""
    assert "must be set" in load_errors(tmp_path, **servers)["SECRET_KEY"]
    assert load_errors(tmp_path, **servers, SECRET_KEY="short")["SECRET_KEY"].startswith(
        "must have"
    )
    assert not load_settings(tmp_path, **servers, SECRET_KEY=KEY).embedded


@pytest.mark.parametrize(
    ("url", "host"),
    [("https://bell.example.org/", "bell.example.org"), ("http://[2001:db8::1]", "[2001:db8::1]")],
)
def test_the_host_of_the_public_url_is_allowed(tmp_path: Path, url: str, host: str) -> None:
    """Unless ALLOWED_HOSTS is set."""
    assert load_settings(tmp_path, PUBLIC_URL=url).allowed_hosts == (
        *Settings().allowed_hosts,
        host,
    )
    assert load_settings(tmp_path, PUBLIC_URL=url, ALLOWED_HOSTS="*").allowed_hosts == ("*",)


def test_a_service_on_all_interfaces_uses_localhost_in_links(tmp_path: Path) -> None:
    """Browsers cannot open 0.0.0.0."""
    assert load_settings(tmp_path, HOST="0.0.0.0").public_url == "http://localhost:8000"


# ---- Documents


def test_the_example_is_current() -> None:
    """`make .env.example` writes it."""
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == example()


def test_the_example_changes_nothing(tmp_path: Path) -> None:
    """Neither as it is, nor with every line uncommented."""
    (tmp_path / ".env").write_text(example())
    assert load({}, directory=tmp_path) == Settings()
    (tmp_path / ".env").write_text(example().replace("# WORKBELL_", "WORKBELL_"))
    assert load({}, directory=tmp_path) == Settings()


def test_the_reference_lists_every_setting() -> None:
    """With a sentence and its default."""
    page = reference()
    for field in fields(Settings):
        assert f"| `{variable(field.name)}` | " in page
        assert get_option(field).help.endswith(".")
    assert format_default(fields(Settings).port) == "8000"

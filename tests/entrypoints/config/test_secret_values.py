"""The values of secret settings that stored texts must not contain."""

from typing import Any

import pytest
from attrs import evolve, fields

from workbell.entrypoints.config.option import get_option
from workbell.entrypoints.config.secret_values import secret_values
from workbell.entrypoints.config.settings import Settings

pytestmark = pytest.mark.unit

KEY = "k" * 32
VALUES: dict[str, tuple[Any, list[str]]] = {
    "database_url": ("postgresql://bob:p%40ss@db/x?sslpassword=pem", ["p%40ss", "p@ss", "pem"]),
    "redis_url": ("rediss://:cachepass@cache/0", ["cachepass"]),
    "secret_key": (KEY, [KEY]),
    "secret_key_previous": (("a" * 32, "b" * 32), ["a" * 32, "b" * 32]),
    "admin_password": ("no://pass word", ["no://pass word"]),
    "smtp_url": ("smtp://mailer:mailpass@mx:25", ["mailpass"]),
    "metrics_token": ("token-of-metrics", ["token-of-metrics"]),
}


@pytest.mark.parametrize("name", [f.name for f in fields(Settings) if get_option(f).secret])
def test_every_secret_setting_has_its_values(name: str) -> None:
    value, expected = VALUES[name]
    found = secret_values(evolve(Settings(), **{name: value}))
    assert list(found) == expected


def test_settings_without_secrets_have_none() -> None:
    assert list(secret_values(Settings(database_url="sqlite:///shop.db"))) == []

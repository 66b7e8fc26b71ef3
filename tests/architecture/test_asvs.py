"""OWASP ASVS 5.0: every applicable requirement has a test."""

import ast
import csv
import inspect
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from attrs import fields

from workbell.adapters.crypto.password_hasher import PROFILES, Argon2Hasher
from workbell.adapters.http.app import make_operations
from workbell.adapters.system import MIN_DURATION_SECONDS
from workbell.domain.identity import one_time_code as otp
from workbell.domain.identity import password_policy as passwords
from workbell.domain.identity import second_factor
from workbell.domain.identity import session as sessions
from workbell.domain.identity.password_policy import common_passwords
from workbell.domain.identity.user import User
from workbell.domain.rate_limits import policy as rate_limits
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings
from workbell.services.identity import actor_cache as recent
from workbell.services.identity.login import LoginService
from workbell.services.notifications.mail import UNSUBSCRIBE

ROOT = Path(__file__).parents[2]
SECURITY = ROOT / "docs" / "security"
SOURCE = ROOT / "src"
LEVEL_2_CHAPTERS = ("6", "7", "8", "9")
"""Chapters of which level 2 is required, too."""
REQUIRED = {
    "1": """
        1.2.1-5 1.3.1-2 1.5.1-1 2.1.1-1 2.2.1-2 2.3.1-1 3.2.1-2 3.3.1-1 3.4.1-2 3.5.1-3 4.1.1-1
        4.4.1-1 5.2.1-2 5.3.1-2 6.1.1-1 6.2.1-8 6.3.1-2 6.4.1-2 7.2.1-4 7.4.1-2 8.1.1-1 8.2.1-2
        8.3.1-1 9.1.1-3 9.2.1-1 10.4.1-5 11.3.1-2 11.4.1-1 12.1.1-1 12.2.1-2 13.4.1-1 14.2.1-1
        14.3.1-1 15.1.1-1 15.2.1-1 15.3.1-1
    """,
    "2": """
        6.1.2-3 6.2.9-12 6.3.3-4 6.4.3-4 6.5.1-5 6.6.1-3 6.8.1-4 7.1.1-3 7.3.1-2 7.4.3-5 7.5.1-2
        7.6.1-2 8.1.2-2 8.2.3-3 8.4.1-1 9.2.2-4
    """,
}
"""The requirements of ASVS 5.0.0 by level: all of level 1, and of level 2 those of LEVEL_2_CHAPTERS."""
KNOWN_GAPS: set[str] = set()


def items() -> list[dict[str, str]]:
    with (SECURITY / "asvs.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def needed(item: dict[str, str]) -> bool:
    return item["level"] == "1" or (
        item["level"] == "2" and item["item"].split(".")[0] in LEVEL_2_CHAPTERS
    )


def required(level: str) -> set[str]:
    found = set()
    for span in REQUIRED[level].split():
        first, _, last = span.partition("-")
        section, _, number = first.rpartition(".")
        found |= {f"{section}.{n}" for n in range(int(number), int(last) + 1)}
    return found


def test_every_requirement_is_listed_once_and_in_order() -> None:
    numbers = [tuple(int(part) for part in item["item"].split(".")) for item in items()]
    assert numbers == sorted(set(numbers))
    by_level = {n: {item["item"] for item in items() if item["level"] == n} for n in "123"}
    assert by_level["1"] == required("1")
    assert len(by_level["1"]) == 70
    assert {one for one in by_level["2"] if one.split(".")[0] in LEVEL_2_CHAPTERS} == required("2")


def test_applicable_requirements_have_a_test_and_others_a_reason() -> None:
    for item in items():
        assert item["applies"] in {"yes", "no", "gap"}, item
        if item["applies"] != "yes":
            assert item["reason"] and not item["test"], item
        elif needed(item):
            assert item["test"], item


def test_gaps_are_listed() -> None:
    """A requirement that applies and is not met is a gap, not inapplicable."""
    gaps = {item["item"] for item in items() if item["applies"] == "gap"}
    assert gaps == KNOWN_GAPS
    page = (SECURITY / "authentication.md").read_text("utf-8")
    assert all(f"ASVS {gap}" in page for gap in gaps)
    assert not [item for item in items() if "In part" in item["reason"]]


def test_every_test_exists() -> None:
    for item in items():
        if item["test"]:
            path, _, name = item["test"].partition("::")
            assert name in names_in(path), item


def test_the_page_on_authentication_matches_the_code() -> None:
    page = " ".join((SECURITY / "authentication.md").read_text("utf-8").split())
    settings = Settings()
    profile = PROFILES[settings.password_hashing]
    timeout = inspect.signature(Argon2Hasher.from_profile).parameters["timeout"].default
    for said in (
        f"for this service only) | {settings.access_token_minutes} minutes",
        f"after {settings.refresh_token_minutes // 1440} day without use",
        f"after {settings.session_token_days} days",
        f"within {sessions.ROTATION_GRACE.seconds} s it is answered",
        f"not older than {sessions.RECENT_LOGIN.seconds // 60} minutes",
        f"within {recent.TTL.seconds} seconds in the others",
        f"argon2id hash | {settings.otp_minutes} minutes | one use, {otp.MAX_ATTEMPTS} tries",
        f"at most {otp.MAX_WRONG_PER_DAY} wrong codes a day",
        f"at most {rate_limits.SECOND_FACTOR_FAILURES.rate.count} wrong ones are compared",
        f"derived, not stored | {second_factor.STEP} seconds, one step early or late",
        f"{second_factor.RECOVERY_LENGTH * 5} random bits",
        f"once a minute and {otp.MAX_SENT_PER_HOUR} times an hour",
        f"works for {passwords.GENERATED_PASSWORD_LIFETIME.days} days unless it is changed",
        f"At least {passwords.MIN_LENGTH} characters and at most {passwords.MAX_BYTES} bytes",
        f"{profile.memory_kib // 1024} MiB, {profile.passes} passes",
        f"is given {MIN_DURATION_SECONDS * 1000:g} ms each time",
        f"longer than {timeout:g} s is answered 503",
    ):
        assert said in page, said
    assert otp.RESEND_AFTER.seconds == 60
    assert len(common_passwords()) > 4_000


def test_sessions_are_created_in_one_place() -> None:
    """Only after password and second factor are checked."""
    starts = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if "Session.start(" in path.read_text("utf-8")
    }
    assert starts == {"services/identity/login.py"}
    for method in (LoginService.login, LoginService.login_opaque):
        assert "self._verify_password(" in inspect.getsource(method)
        assert "self._check_second_factor(" in inspect.getsource(method)


def test_passwords_do_not_expire() -> None:
    """Except generated passwords: a password that a user chose does not expire."""
    moments = [one.name for one in fields(User) if one.type in {datetime, datetime | None}]
    assert moments == ["password_expires_at", "created_at"]
    now = datetime(2030, 1, 1, tzinfo=UTC)
    user = User(username="a", email="a@example.org", created_at=now, password_expires_at=now)
    assert user.with_password("hash").password_expires_at is None


def test_there_are_no_hints_and_no_secret_questions() -> None:
    assert not [n for n in User.__annotations__ if "hint" in n or "question" in n or "answer" in n]


def test_reference_tokens_have_enough_bits() -> None:
    from workbell.adapters.system import UuidIds

    secret = UuidIds().new() + UuidIds().new()
    random_bits = len(secret) * 4 - 2 * 6  # a UUID of version 4 has six fixed bits
    assert random_bits == 244
    assert "self.ids.new() + self.ids.new()" in inspect.getsource(LoginService.login_opaque)


def test_no_secret_is_part_of_a_url(tmp_path: Path) -> None:
    application = build(Settings(data_dir=tmp_path, database_url="memory://"))
    for operation in make_operations(application.app_dependencies()):
        if operation.path.startswith(UNSUBSCRIBE):
            continue  # RFC 8058 requires it; the token only unsubscribes
        names = [*operation.path_names]
        if operation.query is not None:
            names += operation.query.__annotations__
        for name in names:
            for word in ("password", "token", "secret", "otp", "key"):
                assert word not in name or name == "key_id", operation.name
    application.close()


@pytest.mark.parametrize("item", [item for item in items() if item["applies"] == "yes"],
                         ids=lambda item: item["item"])  # fmt: skip
def test_every_listed_test_is_part_of_this_project(item: dict[str, str]) -> None:
    if item["test"]:
        assert item["test"].startswith("tests/")
        assert "::test_" in item["test"]

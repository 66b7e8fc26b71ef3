"""Hashes by libsodium, which are those of argon2-cffi."""

import argon2
import pytest
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from workbell.adapters.crypto.libsodium import OneLane

pytestmark = pytest.mark.unit

SALT = b"0123456789abcdef"
PASSWORDS = ["correct horse", "", "nul\0within", "ü" * 300]


def quick(passes: int = 1) -> OneLane:
    return OneLane(time_cost=passes, memory_cost=64, parallelism=1)


def reference(lanes: int = 1, salt_len: int = 16) -> argon2.PasswordHasher:
    return argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=lanes, salt_len=salt_len)


@pytest.mark.parametrize("password", PASSWORDS)
def test_the_hash_is_the_one_of_argon2_cffi(password: str) -> None:
    assert quick().hash(password, salt=SALT) == reference().hash(password, salt=SALT)


@pytest.mark.parametrize("password", PASSWORDS)
def test_each_verifies_what_the_other_made(password: str) -> None:
    assert reference().verify(quick().hash(password), password)
    assert quick(passes=2).verify(reference().hash(password), password)


@pytest.mark.parametrize(("lanes", "salt_len"), [(1, 16), (4, 16), (1, 8)])
def test_a_wrong_password_fits_no_form(lanes: int, salt_len: int) -> None:
    made = reference(lanes, salt_len).hash("right")
    assert quick().verify(made.encode(), "right")
    with pytest.raises(VerifyMismatchError):
        quick().verify(made, "wrong")


@pytest.mark.parametrize(
    "kept",
    [
        "",
        "plain",
        "$argon2id$v=19$m=64,t=1$c2FsdA$aGFzaA",
        "$argon2id$v=19$m=64,t=0,p=1$" + "A" * 22 + "$" + "A" * 43,
        "$argon2id$v=19$m=64,t=1,p=1$" + "!" * 22 + "$" + "A" * 43,
    ],
)
def test_what_is_no_hash_is_told_apart(kept: str) -> None:
    with pytest.raises(InvalidHashError):
        quick().verify(kept, "x")


def test_salts_differ() -> None:
    assert quick().hash("x") != quick().hash("x")

"""Argon2id by libsodium, which uses the widest registers of the processor."""

import os
from base64 import b64decode, b64encode
from hmac import compare_digest
from typing import Literal

import argon2
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from nacl.bindings import crypto_pwhash_alg
from nacl.bindings import crypto_pwhash_ALG_ARGON2ID13 as ARGON2ID

SALT_BYTES, HASH_BYTES = 16, 32


class OneLane(argon2.PasswordHasher):
    """
    The hasher of argon2-cffi in about half the time, as far as libsodium goes.

    That is one lane and a salt of 16 bytes; the hashes are the same. What else
    is to be verified is left to argon2-cffi.
    """

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        """
        Return a new hash, with its salt and parameters, as one text.

        Raises:
            RuntimeError: There is no memory.
        """
        passes, kib = self.time_cost, self.memory_cost
        return _encoded(_bytes(password), salt or os.urandom(SALT_BYTES), passes, kib)

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        """
        Return True if the password made the hash.

        Raises:
            VerifyMismatchError: It did not.
            InvalidHashError: This is no hash.
            RuntimeError: There is no memory.
        """
        kept = hash if isinstance(hash, str) else hash.decode("ascii")
        known = argon2.extract_parameters(kept)
        ours = argon2.Parameters(
            argon2.Type.ID, 19, SALT_BYTES, HASH_BYTES, known.time_cost, known.memory_cost, 1
        )
        if known != ours:
            return super().verify(hash, password)
        try:
            salt = b64decode(kept.split("$")[4] + "==")
            made = _encoded(_bytes(password), salt, known.time_cost, known.memory_cost)
        except ValueError as error:  # of letters or numbers that none of ours has
            raise InvalidHashError from error
        if not compare_digest(made.encode(), kept.encode()):
            raise VerifyMismatchError
        return True


def _encoded(password: bytes, salt: bytes, passes: int, kib: int) -> str:
    """Return the hash in the PHC form, as argon2-cffi writes it."""
    made = crypto_pwhash_alg(HASH_BYTES, password, salt, passes, kib * 1024, ARGON2ID)
    texts = [b64encode(each).rstrip(b"=").decode("ascii") for each in (salt, made)]
    return f"$argon2id$v=19$m={kib},t={passes},p=1${texts[0]}${texts[1]}"


def _bytes(password: str | bytes) -> bytes:
    return password if isinstance(password, bytes) else password.encode("utf-8")

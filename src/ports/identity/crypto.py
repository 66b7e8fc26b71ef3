"""Password hashing and token signing."""

from typing import Protocol

from workbell.domain.identity.session import Claims, TokenKind


class PasswordHasher(Protocol):
    """
    Slow, salted hashes of passwords and codes.

    Never call it within a transaction: a hash takes tens of milliseconds. `hash`,
    `verify` and `check_capacity` raise Unavailable if too many hashes are running.
    """

    def hash(self, password: str) -> str:
        """Return a new hash, with its salt and parameters in one text."""

    def verify(self, password_hash: str, password: str) -> bool:
        """
        Whether a password matches a hash.

        The empty hash (no such user, or no password) never matches, and takes as
        long as any other.
        """

    def check_capacity(self) -> None:
        """Reject a request early, before any work is done for it."""

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than the current ones."""


class Tokens(Protocol):
    """Signed tokens (JWT) that clients send."""

    def issue(self, claims: Claims) -> str:
        """Sign the claims; equal claims give the same token."""

    def read(self, token: str, kind: TokenKind) -> Claims:
        """Verify a token and return its claims, or raise Unauthenticated."""

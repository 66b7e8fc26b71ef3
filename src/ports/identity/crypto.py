"""Hashing of passwords and signing of tokens."""

from typing import Protocol

from workbell.domain.identity.session import Claims, TokenKind


class PasswordHasher(Protocol):
    """Slow, salted hashes of passwords and codes. Never called in a transaction."""

    def hash(self, password: str) -> str:
        """
        Return a new hash, with its salt and parameters, as one text.

        Raises:
            Unavailable: Too many others are hashing.
        """
        ...

    def verify(self, password_hash: str, password: str) -> bool:
        """
        Whether a password made the hash.

        The empty hash (nobody, or no password) never matches, and takes as
        long as any other.

        Raises:
            Unavailable: Too many others are hashing.
        """
        ...

    def check_room(self) -> None:
        """
        Refuse early who would be refused later, before anything was done for them.

        Raises:
            Unavailable: Too many others are hashing.
        """
        ...

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than are used now."""
        ...


class Tokens(Protocol):
    """Signed tokens that a client carries."""

    def issue(self, claims: Claims) -> str:
        """Return the token that says this; the same claims give the same text."""
        ...

    def read(self, token: str, kind: TokenKind) -> Claims:
        """
        Return what a token says, if we signed it and it has not expired.

        Raises:
            Unauthenticated: It is malformed, forged, expired or of another kind.
        """
        ...

"""Encryption of secrets at rest, and keyed hashes to find them by."""

from collections.abc import Sequence
from typing import Protocol


class SecretBox(Protocol):
    """
    Encrypts texts with keys derived from SECRET_KEY.

    `purpose` separates uses: a text encrypted for one purpose cannot be decrypted
    for another. After a key rotation, texts encrypted with older keys stay readable.
    """

    def encrypt(self, text: str, purpose: str) -> str:
        """
        Return the encrypted text, which differs on every call.

        Raises:
            Unavailable: No secret key is configured.
        """

    def decrypt(self, encrypted: str, purpose: str) -> str:
        """
        Return the decrypted text.

        Raises:
            Unavailable: The key is not configured any more, or the text was altered.
        """

    def index(self, text: str, purpose: str) -> str:
        """Return the keyed hash of a text under the current key: 64 hexadecimal digits."""

    def indexes(self, text: str, purpose: str) -> Sequence[str]:
        """Return the keyed hashes of a text under every configured key, current first."""

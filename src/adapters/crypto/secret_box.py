"""Encryption of secrets at rest: AES-256-GCM under keys derived by HKDF."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from os import urandom
from typing import Self

from attrs import field, frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from workbell.domain.errors import Unavailable

_VERSION = "v1"
_NONCE_BYTES = 12
"""Random nonces of 96 bits allow 2^32 texts per key (NIST SP 800-38D, section 8.3)."""


@frozen
class AesSecretBox:
    """
    Encrypted texts of the form `v1.<key id>.<base64url>`; satisfies `SecretBox`.

    The base64url part is nonce, ciphertext and tag. The first key encrypts; all
    keys decrypt, each by an id that is derived from it. Every purpose has an
    encryption key and an index key of its own, derived by HKDF-SHA-256 (RFC 5869).
    """

    _keys: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def create(cls, keys: Sequence[bytes]) -> Self:
        """Return a box with these keys, the current one first; without keys it refuses."""
        return cls({_derive(key, "key id").hex()[:16]: key for key in keys})

    def encrypt(self, text: str, purpose: str) -> str:
        """Return the encrypted text, or raise Unavailable without a key."""
        key_id, key = self._current()
        nonce = urandom(_NONCE_BYTES)
        sealed = _cipher(key, purpose).encrypt(nonce, text.encode(), purpose.encode())
        return f"{_VERSION}.{key_id}.{_encode(nonce + sealed)}"

    def decrypt(self, encrypted: str, purpose: str) -> str:
        """Return the decrypted text; raise Unavailable if it was altered or its key is gone."""
        self._current()
        try:
            version, key_id, content = encrypted.split(".")
            sealed = _decode(content)
            if version == _VERSION and key_id in self._keys:
                cipher = _cipher(self._keys[key_id], purpose)
                nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
                return cipher.decrypt(nonce, ciphertext, purpose.encode()).decode()
        except (InvalidTag, ValueError):
            raise Unavailable("A stored secret was altered and cannot be decrypted.") from None
        raise Unavailable(
            "The key of a stored secret is not configured: "
            "add the former WORKBELL_SECRET_KEY to WORKBELL_SECRET_KEY_PREVIOUS."
        )

    def index(self, text: str, purpose: str) -> str:
        """Return the keyed hash under the current key, or raise Unavailable without one."""
        _, key = self._current()
        return _index(key, text, purpose)

    def indexes(self, text: str, purpose: str) -> Sequence[str]:
        """Return the keyed hashes under all keys, or raise Unavailable without one."""
        self._current()
        return [_index(key, text, purpose) for key in self._keys.values()]

    def _current(self) -> tuple[str, bytes]:
        for key_id, key in self._keys.items():
            return key_id, key
        raise Unavailable("Set WORKBELL_SECRET_KEY: it encrypts secrets in the database.")


def _derive(key: bytes, use: str, purpose: str = "") -> bytes:
    info = f"workbell secret box {_VERSION}\0{use}\0{purpose}".encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(key)


def _cipher(key: bytes, purpose: str) -> AESGCM:
    return AESGCM(_derive(key, "encryption", purpose))


def _index(key: bytes, text: str, purpose: str) -> str:
    return hmac.digest(_derive(key, "index", purpose), text.encode(), "sha256").hex()


def _encode(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """Decode base64url; only the canonical form of a content is accepted."""
    content = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _encode(content) != text:
        raise ValueError("not the canonical base64url")
    return content

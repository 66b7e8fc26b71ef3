"""Encryption of secrets at rest by libsodium: XChaCha20-Poly1305."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from os import urandom
from typing import Self

from attrs import field, frozen
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from workbell.domain.errors import Unavailable

_VERSION = "v1"
_NONCE_BYTES = 24
"""Nonces of 192 bits may be random for any number of texts."""


@frozen
class SodiumSecretBox:
    """
    Encrypted texts of the form `v1.<key id>.<base64url>`; satisfies `SecretBox`.

    The base64url part is nonce, ciphertext and tag. The first key encrypts; all
    keys decrypt, each by an id that is derived from it. Every purpose has an
    encryption key and an index key of its own, derived by HMAC-SHA-256.
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
        sealed = crypto_aead_xchacha20poly1305_ietf_encrypt(
            text.encode(), purpose.encode(), nonce, _derive(key, "encryption", purpose)
        )
        return f"{_VERSION}.{key_id}.{_encode(nonce + sealed)}"

    def decrypt(self, encrypted: str, purpose: str) -> str:
        """Return the decrypted text; raise Unavailable if it was altered or its key is gone."""
        self._current()
        try:
            version, key_id, content = encrypted.split(".")
            sealed = _decode(content)
            if version == _VERSION and key_id in self._keys:
                return _decrypt(sealed, purpose, _derive(self._keys[key_id], "encryption", purpose))
        except (CryptoError, ValueError):
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


def _decrypt(sealed: bytes, purpose: str, key: bytes) -> str:
    nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    if len(nonce) < _NONCE_BYTES:
        raise ValueError("too short")
    text = crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, purpose.encode(), nonce, key)
    return text.decode()


def _derive(key: bytes, use: str, purpose: str = "") -> bytes:
    info = f"workbell secret box {_VERSION}\0{use}\0{purpose}".encode()
    return hmac.digest(key, info, "sha256")


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

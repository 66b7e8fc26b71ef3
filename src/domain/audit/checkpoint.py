"""Signed checkpoints of the audit chain."""

import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Self

from attrs import evolve, field, frozen

from workbell.domain.audit.chain import ChainHead
from workbell.domain.audit.entry import canonical_json

_VERSION = b"workbell audit checkpoint v1"
_PRUNED = b"workbell audit pruned prefix v1\n"
"""Distinguishes the signature of a deleted prefix from that of a checkpoint."""


@frozen(kw_only=True)
class Checkpoint:
    """
    The head of the chain at a time, signed by HMAC-SHA-256.

    `key_id` identifies the key without disclosing it.
    """

    seal_seq: int
    hash: str
    at: datetime
    key_id: str
    signature: str

    def signed_content(self) -> bytes:
        """Return the bytes that are signed."""
        text = canonical_json(
            {
                "at": self.at.astimezone(UTC).isoformat(timespec="microseconds"),
                "hash": self.hash,
                "key_id": self.key_id,
                "seal_seq": self.seal_seq,
            }
        )
        return text.encode("ascii")


@frozen
class CheckpointSigner:
    """Signs with the first of several keys, and verifies with all of them."""

    _keys: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def of(cls, secret_keys: Sequence[bytes]) -> Self:
        """Derive the signing keys from the secret keys, the current one first."""
        keys = [hmac.digest(secret, _VERSION, "sha256") for secret in secret_keys]
        return cls({hmac.digest(key, b"key id", "sha256").hex()[:16]: key for key in keys})

    @property
    def can_sign(self) -> bool:
        """Whether there is a key."""
        return bool(self._keys)

    def sign(self, head: ChainHead, at: datetime) -> Checkpoint:
        """Return the signed checkpoint of a head; there must be a key."""
        key_id, key = next(iter(self._keys.items()))
        unsigned = Checkpoint(
            seal_seq=head.seal_seq, hash=head.hash, at=at, key_id=key_id, signature=""
        )
        return Checkpoint(
            seal_seq=head.seal_seq,
            hash=head.hash,
            at=at,
            key_id=key_id,
            signature=_sign(key, unsigned),
        )

    def is_valid(self, checkpoint: Checkpoint) -> bool | None:
        """Whether the signature is valid; None if its key is not configured."""
        key = self._keys.get(checkpoint.key_id)
        if key is None:
            return None
        return hmac.compare_digest(_sign(key, checkpoint), checkpoint.signature)

    def sign_pruned(self, head: ChainHead, at: datetime) -> Checkpoint:
        """Sign that the entries up to a head were verified and deleted."""
        key_id, key = next(iter(self._keys.items()))
        unsigned = Checkpoint(
            seal_seq=head.seal_seq, hash=head.hash, at=at, key_id=key_id, signature=""
        )
        return evolve(unsigned, signature=_sign(key, unsigned, _PRUNED))

    def is_valid_pruned(self, pruned: Checkpoint) -> bool | None:
        """Whether a signature of `sign_pruned` is valid; None if its key is not configured."""
        key = self._keys.get(pruned.key_id)
        if key is None:
            return None
        return hmac.compare_digest(_sign(key, pruned, _PRUNED), pruned.signature)


def _sign(key: bytes, checkpoint: Checkpoint, context: bytes = b"") -> str:
    return hmac.digest(key, context + checkpoint.signed_content(), "sha256").hex()

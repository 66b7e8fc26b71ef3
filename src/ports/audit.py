"""The audit log, written in the transaction of the change itself."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from workbell.domain.audit.chain import AuditRecord, ChainHead, Seal, SealedRecord
from workbell.domain.audit.checkpoint import Checkpoint
from workbell.domain.audit.entry import AuditEntry
from workbell.domain.audit.query import AuditFilter, AuditScope
from workbell.domain.identity.user import UserId


@frozen
class Erasure:
    """A step of an erasure: how many entries it erased, and where the next one starts."""

    erased: int
    next_after: int | None


class AuditRepository(Protocol):
    """Audit entries; append-only, except that their personal data can be erased."""

    def add(self, entry: AuditEntry) -> None:
        """Insert an entry, its personal data apart with a new random salt."""

    def list_page(
        self,
        filters: AuditFilter,
        *,
        scope: AuditScope | None = None,
        before_id: int | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[AuditEntry]:
        """
        Return the matching entries in a scope, newest (highest id) first.

        Without a scope, entries of all users match. `before_id` is the last id
        of the previous page.
        """

    def count(self, filters: AuditFilter, *, scope: AuditScope | None = None) -> int:
        """Return how many entries match, counting up to `COUNT_CAP` + 1."""

    def latest(self, *, before: int | None = None, limit: int = 20) -> Sequence[AuditEntry]:
        """Return entries, newest first, optionally only those before an id."""

    def list_for_object(
        self, model_name: str, object_id: str, *, limit: int = 100
    ) -> Sequence[AuditEntry]:
        """Return the entries about one object, newest first."""

    def erase(self, user_id: UserId, *, after_id: int = 0, limit: int = 500) -> Erasure:
        """
        Erase the personal data of entries by a user and about the user.

        Examines at most `limit` entries after an id, in the order of ids.
        """


class AuditChainRepository(Protocol):
    """The hash chain over the entries, and its checkpoints."""

    def lock_head(self) -> ChainHead:
        """Lock the chain until the end of the transaction; return its head."""

    def head(self) -> ChainHead:
        """Return the head without a lock."""

    def list_unsealed(
        self, before: datetime, *, limit: int, without: Collection[int] = ()
    ) -> Sequence[AuditRecord]:
        """Return unsealed entries made before a time, in the order of ids, without some."""

    def list_unsealed_ids(
        self, before: datetime, *, limit: int, without: Collection[int] = ()
    ) -> Sequence[int]:
        """Return the ids of `list_unsealed`; nothing else of the rows is decoded."""

    def get_unsealed(self, audit_id: int) -> AuditRecord | None:
        """Return one unsealed entry, or None if it is sealed."""

    def count_unsealed(self) -> int:
        """Return the number of unsealed entries."""

    def append(self, head: ChainHead, seals: Sequence[Seal]) -> None:
        """Store the seals of entries and the new head; the chain must be locked."""

    def iterate_sealed(self, *, after: int, limit: int) -> Iterable[SealedRecord]:
        """Iterate over sealed entries after a number, in the order of numbers."""

    def last_number(self) -> int:
        """Return the highest number of a sealed entry; 0 if there is none."""

    def find_hash(self, seal_seq: int) -> str | None:
        """Return the stored hash of a sealed entry, or None."""

    def add_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Insert a checkpoint; one with the same number exists at most once."""

    def list_checkpoints(
        self, *, before: int | None = None, limit: int = 20
    ) -> Sequence[Checkpoint]:
        """Return checkpoints, newest first, optionally only those before a number."""

    def pruned(self) -> Checkpoint | None:
        """Return the signed end of the deleted entries; None if none were deleted."""

    def prune(self, pruned: Checkpoint, *, after: int) -> int:
        """
        Delete sealed entries after a number up to a signed end, which is stored.

        Also deletes their personal data and the checkpoints before the end. Returns the
        number of entries. The chain must be locked.
        """


class AuditTx(Protocol):
    """A transaction that records what it does in the audit log."""

    @property
    def audit(self) -> AuditRepository:
        """The audit entries."""

    @property
    def audit_chain(self) -> AuditChainRepository:
        """The hash chain over the entries."""


class CheckpointLog(Protocol):
    """Copies of the checkpoints outside the database."""

    def append(self, checkpoint: Checkpoint) -> None:
        """
        Append a checkpoint durably.

        Raises:
            Unavailable: The log cannot be written.
        """

    def read(self) -> Sequence[Checkpoint]:
        """
        Return all checkpoints, oldest first.

        Raises:
            Unavailable: The log cannot be read, or has a malformed line.
        """

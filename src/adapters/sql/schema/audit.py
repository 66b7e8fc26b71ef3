"""The tables of the audit log."""

from sqlalchemy import Column, Index, Table

from workbell.adapters.sql.database.column_types import Id
from workbell.adapters.sql.schema.partial_index import partial_index
from workbell.adapters.sql.schema.tables import (
    KEYED,
    NUMBERED,
    json_values,
    long_integers,
    metadata,
    texts,
    times,
)

audit = Table(
    "workbell_audit",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    *long_integers("user_id"),
    *texts("action", "model_name", length=64),
    *texts("object_id", length=128),
    *long_integers("project_id", null=True),
    *json_values("changes"),
    *texts("request_id", length=64),
    *times("at"),
    *texts("payload_digest", length=64),
    *long_integers("seal_seq", null=True),
    *texts("hash", length=64, null=True),
    Index("workbell_audit_action_idx", "action", "id"),
    Index("workbell_audit_at_idx", "at", "id"),
    Index("workbell_audit_object_idx", "model_name", "object_id", "id"),
    Index("workbell_audit_project_idx", "project_id", "id"),
    Index("workbell_audit_user_idx", "user_id", "id"),
    **NUMBERED,
)

audit_private = Table(
    "workbell_audit_private",
    metadata,
    Column("audit_id", Id, primary_key=True, autoincrement=False),
    *texts("salt", length=32),
    *texts("address", length=64),
    *texts("user_agent", length=256),
    *json_values("changes", null=True),
)

audit_chain = Table(
    "workbell_audit_chain",
    metadata,
    Column("chain_id", Id, primary_key=True, autoincrement=False),
    *long_integers("seal_seq"),
    *texts("hash", length=64),
    **KEYED,
)


def _checkpoints(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("seal_seq", Id, primary_key=True, autoincrement=False),
        *texts("hash", length=64),
        *times("at"),
        *texts("key_id", length=16),
        *texts("signature", length=64),
        **KEYED,
    )


audit_checkpoints = _checkpoints("workbell_audit_checkpoints")
# At most one row: the signed end of the entries that were deleted.
audit_pruned = _checkpoints("workbell_audit_pruned")

IS_SEALED = audit.c.seal_seq.is_not(None)
IS_UNSEALED = audit.c.seal_seq.is_(None)
partial_index("workbell_audit_seal_key", IS_SEALED, audit.c.seal_seq, unique=True)
partial_index(
    "workbell_audit_unsealed_idx",
    IS_UNSEALED,
    audit.c.id,
    plain=(audit.c.seal_seq, audit.c.id),
)

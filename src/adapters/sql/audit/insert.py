"""Inserting an audit entry with its personal data."""

from os import urandom
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, String, bindparam, func, insert, select

from workbell.adapters.sql.database.column_types import json_text, to_db_values
from workbell.adapters.sql.database.statements import PreparedStatement, prepare
from workbell.adapters.sql.schema.audit import audit, audit_private
from workbell.domain.audit.entry import AuditEntry

_NAMES = (
    "user_id", "action", "model_name", "object_id", "project_id", "changes", "request_id", "at",
    "payload_digest",
)  # fmt: skip
_PRIVATE = ("private_salt", "private_address", "private_user_agent", "private_changes")
_PRIVATE_COLUMNS = tuple(name.removeprefix("private_") for name in _PRIVATE)
_INSERT = prepare(insert(audit), *_NAMES)


def _private_values() -> dict[str, Any]:
    names = zip(_PRIVATE_COLUMNS, _PRIVATE, strict=True)
    return {column: bindparam(name, type_=String()) for column, name in names}


def _insert_private(dialect: str) -> Any:
    last_id = func.last_insert_rowid() if dialect == "sqlite" else func.last_insert_id()
    return insert(audit_private).values(audit_id=last_id, **_private_values())


def _insert_both(_: str) -> Any:
    """Return one statement for both rows, in PostgreSQL's syntax."""
    entry = insert(audit).values({name: bindparam(name) for name in _NAMES})
    new = entry.returning(audit.c.id).cte("entry")
    source = select(new.c.id, *_private_values().values())
    return insert(audit_private).from_select(["audit_id", *_PRIVATE_COLUMNS], source)


_INSERT_PRIVATE = PreparedStatement(_insert_private, _PRIVATE)
_INSERT_BOTH = PreparedStatement(_insert_both, (*_NAMES, *_PRIVATE))


@frozen
class AuditInsert:
    """Inserts entries; with one statement on PostgreSQL."""

    _db: Connection

    def add(self, entry: AuditEntry) -> None:
        """Insert an entry, and its personal data with a new salt."""
        private = entry.private
        if private is None:
            _INSERT.execute_no_result(self._db, self._values(entry, ""))
            return
        salt = urandom(16).hex()
        values = self._values(entry, private.digest(salt))
        changes = json_text(private.changes) if private.changes else None
        beside = [salt, private.address, private.user_agent, changes]
        if self._db.dialect.name == "postgresql":
            _INSERT_BOTH.execute_no_result(self._db, [*values, *beside])
            return
        _INSERT.execute_no_result(self._db, values)
        _INSERT_PRIVATE.execute_no_result(self._db, beside)

    def _values(self, entry: AuditEntry, digest: str) -> list[Any]:
        values = (
            entry.user_id,
            entry.action,
            entry.model_name,
            entry.object_id,
            entry.project_id,
            entry.public_changes,
            entry.request_id,
            entry.at,
            digest,
        )
        return to_db_values(values, self._db.dialect)

"""Inserting an audit entry with its personal data."""

from os import urandom
from typing import Any

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


def insert_entry(db: Connection, entry: AuditEntry) -> None:
    """Insert an entry, and its personal data with a new salt."""
    values, beside = _values(db, entry)
    _INSERT.execute_no_result(db, values)
    if beside is not None:
        _INSERT_PRIVATE.execute_no_result(db, beside)


def insert_entry_postgresql(db: Connection, entry: AuditEntry) -> None:
    """Insert an entry and its personal data by one statement."""
    values, beside = _values(db, entry)
    if beside is None:
        _INSERT.execute_no_result(db, values)
    else:
        _INSERT_BOTH.execute_no_result(db, [*values, *beside])


def _values(db: Connection, entry: AuditEntry) -> tuple[list[Any], list[Any] | None]:
    """Return the values of an entry, and those of its personal data, if it has any."""
    private, salt, beside = entry.private, urandom(16).hex(), None
    if private is not None:
        changes = json_text(private.changes) if private.changes else None
        beside = [salt, private.address, private.user_agent, changes]
    values = (
        entry.user_id,
        entry.action,
        entry.model_name,
        entry.object_id,
        entry.project_id,
        entry.public_changes,
        entry.request_id,
        entry.at,
        "" if private is None else private.digest(salt),
    )
    return to_db_values(values, db.dialect), beside

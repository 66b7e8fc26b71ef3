"""Checks of the version that a client has seen."""

from workbell.domain.audit.entry import changed_since
from workbell.domain.errors import StaleVersion
from workbell.ports.audit import AuditTx


def check_version(
    tx: AuditTx, model: str, object_id: int, *, current: int, expected: int | None
) -> None:
    """
    Check the version of an object; without an expected one there is nothing to check.

    Raises:
        StaleVersion: The object has another version; names the fields changed since.
    """
    if expected not in {None, current}:
        entries = tx.audit.list_for_object(model, str(object_id))
        raise StaleVersion(current, changed_since(entries, expected or 0))

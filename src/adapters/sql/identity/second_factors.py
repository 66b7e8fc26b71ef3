"""Second factors."""

from typing import Any

from attrs import asdict, frozen
from sqlalchemy import Connection, bindparam, delete, select, update

from workbell.adapters.sql.database.statements import row_to_dict, upsert
from workbell.adapters.sql.schema.tables import second_factors
from workbell.domain.identity.second_factor import SecondFactor
from workbell.domain.identity.user import UserId

factors_c = second_factors.c
_is_of_user = factors_c.user_id == bindparam("user")
_FIND = select(second_factors).where(_is_of_user)
_REPLACE = (
    update(second_factors)
    .where(
        _is_of_user,
        factors_c.seed == bindparam("seed_before"),
        factors_c.last_step == bindparam("step_before"),
        factors_c.recovery == bindparam("recovery_before"),
    )
    .values(
        confirmed_at=bindparam("new_confirmed_at"),
        last_step=bindparam("new_last_step"),
        recovery=bindparam("new_recovery"),
    )
)
_REMOVE = delete(second_factors).where(_is_of_user)


@frozen
class SqlSecondFactorRepository:
    """Second factors, at most one per user, confirmed or not."""

    _db: Connection

    def find(self, user_id: UserId) -> SecondFactor | None:
        """Return a user's factor, or None."""
        row = self._db.execute(_FIND, {"user": user_id}).one_or_none()
        if row is None:
            return None
        values: dict[str, Any] = row_to_dict(row)
        return SecondFactor(**{**values, "recovery": tuple(row.recovery.split())})

    def put(self, factor: SecondFactor) -> None:
        """Insert a factor, replacing the user's previous one."""
        upsert(self._db, second_factors, {**asdict(factor), "recovery": _text(factor)})

    def replace(self, before: SecondFactor, after: SecondFactor) -> bool:
        """Update a factor, unless it was used or changed since `before` was read."""
        values = {
            "user": before.user_id,
            "seed_before": before.seed,
            "step_before": before.last_step,
            "recovery_before": _text(before),
            "new_confirmed_at": after.confirmed_at,
            "new_last_step": after.last_step,
            "new_recovery": _text(after),
        }
        return self._db.execute(_REPLACE, values).rowcount == 1

    def remove(self, user_id: UserId) -> bool:
        """Delete a user's factor with its recovery codes."""
        return self._db.execute(_REMOVE, {"user": user_id}).rowcount == 1


def _text(factor: SecondFactor) -> str:
    return " ".join(factor.recovery)

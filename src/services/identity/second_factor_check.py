"""Check of the second factor at login."""

from datetime import datetime

from attrs import Factory, field, frozen

from workbell.domain.identity.actor import ClientInfo
from workbell.domain.identity.one_time_code import looks_like_code, normalise_code
from workbell.domain.identity.second_factor import (
    FactorKeys,
    SecondFactor,
    SecondFactorPolicy,
    SecondFactorRequired,
    WrongSecondFactor,
)
from workbell.domain.identity.user import User, WrongCredentials
from workbell.domain.rate_limits.policy import SECOND_FACTOR_FAILURES, account_key
from workbell.ports.identity.totp import Totp
from workbell.ports.identity.users import IdentityTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.audit.entries import AuditBurstFilter, account_audit_entry
from workbell.services.rate_limits import RateLimiting
from workbell.services.transaction_retry import retry_on_contention


@frozen(kw_only=True)
class SecondFactorCheck:
    """
    Verifies codes of the second factor, after the password was right.

    A code is consumed before the session is opened, so it works once even if
    the login fails later. Wrong codes are counted as wrong passwords are, and
    too many within a day raise `RateLimited`.
    """

    store: Store[IdentityTx]
    clock: Clock
    keys: FactorKeys
    totp: Totp
    policy: SecondFactorPolicy
    rate_limits: RateLimiting | None
    burst_filter: AuditBurstFilter = field(default=Factory(AuditBurstFilter), eq=False)

    def verify(self, user: User, code: str, client_info: ClientInfo) -> str:
        """
        Consume a code if the user has a second factor; return its seed.

        Raises:
            SecondFactorRequired: The user has one, and gave no code.
            WrongSecondFactor: The code is wrong or was used.
        """
        with self.store.view() as tx:
            factor = active_factor(tx, user)
        if factor is None:
            return ""
        if not code.strip():
            raise SecondFactorRequired
        if not self.consume(user, code, client_info):
            raise WrongSecondFactor
        return factor.seed

    def consume(self, user: User, code: str, client_info: ClientInfo) -> bool:
        """Consume a code or recovery code; return whether it was valid."""
        if self.rate_limits is None or not looks_like_code(normalise_code(code)):
            return self._consume_in_transaction(user, code, client_info)
        return self.rate_limits.verify_counting_failures(
            account_key(user, ""),
            lambda: self._consume_in_transaction(user, code, client_info),
            SECOND_FACTOR_FAILURES,
        )

    def check_unchanged(self, tx: IdentityTx, user: User, seed: str) -> None:
        """Raise WrongCredentials if the factor changed since `verify`."""
        factor = active_factor(tx, user)
        if (factor.seed if factor else "") != seed:
            raise WrongCredentials

    def find_step(self, factor: SecondFactor, code: str, now: datetime) -> int | None:
        """Return the time step of a code, or None if it is invalid."""
        normalised, secret = normalise_code(code), self.keys.secret(factor)
        if secret is None or not looks_like_code(normalised):
            return None
        return self.totp.find_step(secret, normalised, now)

    def _consume(self, factor: SecondFactor, code: str, now: datetime) -> SecondFactor | None:
        step = self.find_step(factor, code, now)
        return factor.use_step(step) or factor.use_recovery_code(code)

    @retry_on_contention
    def _consume_in_transaction(self, user: User, code: str, client_info: ClientInfo) -> bool:
        with self.store.begin() as tx:
            tx.users.get_for_update(user.id)
            now, before = self.clock.now(), active_factor(tx, user)
            after = before and self._consume(before, code, now)
            if not before or not after or not tx.second_factors.replace(before, after):
                failed = account_audit_entry(user, "SECOND_FACTOR_FAILED", client_info, now)
                self.burst_filter.add(tx.audit, failed)
                return False
            if after.recovery != before.recovery:
                changes = {"recovery_codes_left": [len(before.recovery), len(after.recovery)]}
                tx.audit.add(
                    account_audit_entry(user, "RECOVERY_CODE_USED", client_info, now, changes)
                )
            return True


def active_factor(tx: IdentityTx, user: User) -> SecondFactor | None:
    """Return a user's second factor, if it is confirmed."""
    factor = tx.second_factors.find(user.id)
    return factor if factor is not None and factor.is_confirmed else None


def must_enrol(tx: IdentityTx, policy: SecondFactorPolicy, user: User) -> bool:
    """Whether the policy requires a second factor that the user lacks."""
    return policy.applies_to(user) and active_factor(tx, user) is None

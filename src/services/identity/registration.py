"""Registering people, and verifying their addresses by a mailed code."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

from attrs import Factory, evolve, field, frozen

from workbell.domain.audit import AuditEntry
from workbell.domain.errors import Invalid
from workbell.domain.identity.actor import SYSTEM, Actor, ClientInfo
from workbell.domain.identity.one_time_code import LIFE, OneTimeCode, Purpose, WrongCode
from workbell.domain.identity.password_policy import MADE_UP_LIFE
from workbell.domain.identity.registration import (
    Registration,
    email_errors,
    username_errors,
    username_from_email,
)
from workbell.domain.identity.user import Role, User
from workbell.ports.identity.crypto import PasswordHasher
from workbell.ports.identity.users import IdentityTx
from workbell.ports.mail import Email, Mailer
from workbell.ports.store import Store
from workbell.ports.system import Clock, Randomness
from workbell.services.audit import AuditBurstFilter, account_audit_entry
from workbell.services.identity.one_time_codes import (
    GeneratedCode,
    OneTimeCodeService,
    send_ignoring_errors,
)
from workbell.services.transaction_retry import retry_on_contention, retry_on_name_conflict

ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
PASSWORD_LENGTH = 20

_UNKNOWN_CLIENT = ClientInfo()


@frozen(kw_only=True)
class RegistrationService:
    """
    Register people, and verify their addresses by a mailed code.

    Mail goes out after the commit; what must not tell whether an address is
    known goes by `background_mailer`, which should not make anybody wait, and takes
    as long in either case by `min_duration` (see `MailedCodes`). Nothing is hashed
    within a transaction. Locks are taken in the order user, code.
    """

    store: Store[IdentityTx]
    clock: Clock
    randomness: Randomness
    hasher: PasswordHasher
    mailer: Mailer
    code_life: timedelta = LIFE
    self_service_tier: bool = True
    background_mailer: Mailer = Factory(lambda self: self.mailer, takes_self=True)
    min_duration: Callable[[], AbstractContextManager[object]] = nullcontext
    _burst_filter: AuditBurstFilter = field(factory=AuditBurstFilter, init=False)
    codes: OneTimeCodeService = field(
        default=Factory(
            lambda self: OneTimeCodeService(
                store=self.store,
                clock=self.clock,
                randomness=self.randomness,
                hasher=self.hasher,
                life=self.code_life,
                min_duration=self.min_duration,
            ),
            takes_self=True,
        ),
        init=False,
    )

    def register(self, new: Registration, client_info: ClientInfo = _UNKNOWN_CLIENT) -> User:
        """
        Give a person an account, and mail the code that verifies the address.

        Raises:
            Invalid: With the fields at fault; `Taken` for a name or address
                that another has.
            Unavailable: The account is there, but the code could not be
                mailed: it can be asked for again.
        """
        new.check(self_service_tier=self.self_service_tier)
        password_hash, new_code = self.hasher.hash(new.password), self.codes.generate()

        def add() -> User:
            with self.store.begin() as tx:
                return self._add(tx, new, password_hash, new_code, client_info)

        user = retry_on_name_conflict(add)
        self.mailer.send(self._compose_code_email(user, new_code))
        return user

    def register_without_disclosure(
        self, email: str, password: str, client_info: ClientInfo = _UNKNOWN_CLIENT
    ) -> None:
        """
        Do as `register` does, without telling whether the address was known.

        Whose address is known is told by mail that they have an account (or
        gets a new code if it is unverified), as often as codes may be mailed.
        Mail that cannot be sent is no error either.

        Raises:
            Invalid: With the fields at fault, known or not.
            Unavailable: The store does not answer, or too many are hashing.
        """
        new = Registration(email=email, password=password)
        new.check(self_service_tier=self.self_service_tier)
        password_hash, new_code = self.hasher.hash(password), self.codes.generate()

        def add_or_remind() -> Email | None:
            with self.store.begin() as tx:
                if (known := tx.users.by_email(new.email)) is not None:
                    return self._mail_known_address(tx, known, new_code, client_info)
                user = self._add(tx, new, password_hash, new_code, client_info)
                return self._compose_code_email(user, new_code)

        with self.min_duration():
            send_ignoring_errors(self.background_mailer, retry_on_name_conflict(add_or_remind))

    def verify_otp(self, email: str, code: str, client_info: ClientInfo = _UNKNOWN_CLIENT) -> User:
        """
        Use up the code that was mailed, and return the user as verified.

        Every try is counted before the code is compared, and takes as long
        whether there is such a person and code or not.

        Raises:
            WrongCode: It is wrong, expired, used or was tried too often; or
                nobody waits for a code at this address.
            Unavailable: The store does not answer, or too many are hashing.
        """
        user, fitting = self.codes.find_matching(email, code, Purpose.VERIFY_EMAIL)
        with self.min_duration():
            verified = self._settle(user, fitting, client_info)
        if verified is None:
            raise WrongCode
        return verified

    def resend_otp(self, email: str, client_info: ClientInfo = _UNKNOWN_CLIENT) -> None:
        """
        Mail a new code, which kills the old, to an unverified address.

        For addresses that are unknown or verified, or got a code less than a
        minute ago or five within the hour, nothing happens, and the answer is
        the same; mail that cannot be sent is no error either.

        Raises:
            Unavailable: The store does not answer, or too many are hashing.
        """
        new_code = self.codes.generate()
        with self.min_duration():
            send_ignoring_errors(self.background_mailer, self._resend(email, new_code, client_info))

    def me(self, actor: Actor) -> User:
        """
        Return who asks, as they now stand.

        Raises:
            NotFound: The system asks, or somebody who is there no more.
        """
        with self.store.view() as tx:
            return tx.users.get(actor.user_id)

    def ensure_administrator(self, username: str, email: str, password: str | None) -> str | None:
        """
        Make the first superuser, where there is none; verified, and free of the policy.

        Returns the password that was made up for them, which works for a week
        if it is not changed; None if one was given or there is a superuser
        already.

        Raises:
            Invalid: The name or address is malformed; `Taken` if somebody
                has it who is no superuser.
        """
        with self.store.view() as tx:
            if tx.users.has_super_user():
                return None
        chosen = password or self._generate_password()
        administrator = self._administrator(username, email, self.hasher.hash(chosen))
        if not password:
            until = administrator.created_at + MADE_UP_LIFE
            administrator = evolve(administrator, password_expires_at=until)

        def add_if_first() -> bool:
            with self.store.begin() as tx:
                if tx.users.has_super_user():
                    return False
                user = tx.users.add(administrator)
                tx.audit.add(AuditEntry.of(SYSTEM, "CREATE", "user", user.id, user.created_at))
                return True

        added = retry_on_name_conflict(add_if_first)
        return chosen if added and not password else None

    def create_superuser(self, username: str, email: str, password: str) -> User:
        """
        Make a superuser; verified, and free of the password policy.

        Raises:
            Invalid: The name or address is malformed; `Taken` if somebody has it.
        """
        administrator = self._administrator(username, email, self.hasher.hash(password))
        with self.store.begin() as tx:
            user = tx.users.add(administrator)
            tx.audit.add(AuditEntry.of(SYSTEM, "CREATE", "user", user.id, user.created_at))
        return user

    # ------------------------------------------------------------- within a transaction

    def _add(
        self,
        tx: IdentityTx,
        new: Registration,
        password_hash: str,
        new_code: GeneratedCode,
        client_info: ClientInfo,
    ) -> User:
        now = self.clock.now()
        username = new.username or self._free_username(tx, new.email)
        user = tx.users.add(new.user(username, password_hash, now))
        self.codes.store_code(tx, user, Purpose.VERIFY_EMAIL, new_code, now)
        tx.audit.add(account_audit_entry(user, "REGISTER", client_info, now))
        return user

    def _free_username(self, tx: IdentityTx, email: str) -> str:
        """Return the local part, or the local part and a number where it is taken."""
        plain = username_from_email(email)
        if tx.users.by_login(plain) is None:
            return plain
        return username_from_email(email, f"-{self.randomness.randbelow(10**6):06}")

    def _mail_known_address(
        self, tx: IdentityTx, known: User, new_code: GeneratedCode, client_info: ClientInfo
    ) -> Email | None:
        """
        Return the letter to somebody who is known, unless they had enough.

        Who is verified gets a code too, which nobody is told: it counts.
        """
        now = self.clock.now()
        user = tx.users.get_for_update(known.id)
        if not self.codes.may_send(tx, user, Purpose.VERIFY_EMAIL, now):
            self._burst_filter.add(
                tx.audit, account_audit_entry(user, "SEND_OTP_REFUSED", client_info, now)
            )
            return None
        self.codes.store_code(tx, user, Purpose.VERIFY_EMAIL, new_code, now)
        tx.audit.add(account_audit_entry(user, "SEND_OTP", client_info, now))
        return (
            _compose_known_address_email(user)
            if user.is_email_verified
            else self._compose_code_email(user, new_code)
        )

    # ------------------------------------------------------------------- steps of their own

    @retry_on_contention
    def _resend(self, email: str, new_code: GeneratedCode, client_info: ClientInfo) -> Email | None:
        """Return the letter with a new code, if the address waits for one."""
        with self.store.begin() as tx:
            user = tx.users.by_email(email)
            if user is not None and not user.is_email_verified:
                return self._mail_known_address(tx, user, new_code, client_info)
            refused = account_audit_entry(user, "SEND_OTP_REFUSED", client_info, self.clock.now())
            self._burst_filter.add(tx.audit, refused)
            return None

    @retry_on_contention
    def _settle(
        self, known: User | None, fitting: OneTimeCode | None, client_info: ClientInfo
    ) -> User | None:
        """Return the user as verified, or None where no code fitted in time."""
        with self.store.begin() as tx:
            now = self.clock.now()
            user = tx.users.get_for_update(known.id) if known else None
            if not user or not fitting or not tx.codes.try_use(fitting.id, now):
                failed = account_audit_entry(user, "VERIFY_EMAIL_FAILED", client_info, now)
                self._burst_filter.add(tx.audit, failed)
                return None
            verified = user.verified()
            tx.users.replace(verified)
            changes = {"is_email_verified": [user.is_email_verified, True]}
            tx.audit.add(account_audit_entry(user, "VERIFY_EMAIL", client_info, now, changes))
            return verified

    def _administrator(self, username: str, email: str, password_hash: str) -> User:
        errors = {"username": username_errors(username), "email": email_errors(email)}
        if at_fault := {name: said for name, said in errors.items() if said}:
            raise Invalid(field_errors=at_fault)
        return User(
            username=username,
            email=email,
            password_hash=password_hash,
            role=Role.ADMIN,
            is_super_user=True,
            is_email_verified=True,
            created_at=self.clock.now(),
        )

    def _generate_password(self) -> str:
        below = self.randomness.randbelow
        return "".join(ALPHABET[below(len(ALPHABET))] for _ in range(PASSWORD_LENGTH))

    def _compose_code_email(self, user: User, new_code: GeneratedCode) -> Email:
        minutes = self.code_life // timedelta(minutes=1)
        return Email(
            to=user.email,
            subject="Verify your e-mail address",
            text=(
                f"Hello {user.full_name},\n\n"
                f"your code is {new_code.code}\n\n"
                f"It works once, within {minutes} minutes. If you did not ask for it, "
                "somebody typed your address by mistake, and nothing needs to be done.\n"
            ),
        )


def _compose_known_address_email(user: User) -> Email:
    return Email(
        to=user.email,
        subject="You have an account already",
        text=(
            f"Hello {user.full_name},\n\n"
            "somebody, perhaps you, registered with this address. You have an account "
            f"already, with the username {user.username}; nothing was changed. Sign in as "
            "usual. If it was not you, nothing needs to be done.\n"
        ),
    )

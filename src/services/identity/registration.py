"""Use cases of registration and email verification."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

from attrs import Factory, evolve, field, frozen

from workbell.domain.audit.entry import AuditEntry
from workbell.domain.errors import Invalid
from workbell.domain.identity.actor import SYSTEM, Actor, ClientInfo
from workbell.domain.identity.one_time_code import CODE_LIFETIME, OneTimeCode, Purpose, WrongCode
from workbell.domain.identity.password_policy import GENERATED_PASSWORD_LIFETIME
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
from workbell.services.audit.entries import AuditBurstFilter, account_audit_entry, new_user_values
from workbell.services.identity.authentication import UNKNOWN_CLIENT
from workbell.services.identity.one_time_codes import (
    GeneratedCode,
    OneTimeCodeService,
    send_ignoring_errors,
)
from workbell.services.transaction_retry import retry_on_contention, retry_on_name_conflict

ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
PASSWORD_LENGTH = 20


@frozen
class PreparedRegistration:
    """A valid registration, the hash of its password and its code."""

    registration: Registration
    password_hash: str = field(repr=False)
    new_code: GeneratedCode


@frozen(kw_only=True)
class RegistrationService:
    """
    Registers users and verifies their addresses by an emailed code.

    Email is sent after the commit. Methods that must not reveal whether an
    address is known use `background_mailer`, which should not block, and
    `min_duration` (see `OneTimeCodeService`). Passwords are hashed outside of
    transactions. Lock order: user, code. Methods raise `Invalid` for wrong
    fields, and `Unavailable` if the store is down or too many hashes run.
    """

    store: Store[IdentityTx]
    clock: Clock
    randomness: Randomness
    hasher: PasswordHasher
    mailer: Mailer
    code_life: timedelta = CODE_LIFETIME
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

    def register(self, new: Registration, client_info: ClientInfo = UNKNOWN_CLIENT) -> User:
        """
        Create an account and email the code that verifies its address.

        Raises:
            AlreadyTaken: The name or address is in use.
            Unavailable: The account was created, but the code could not be sent;
                the user can request another.
        """
        prepared = self.prepare(new)

        def add() -> User:
            with self.store.begin() as tx:
                return self.add_prepared(tx, prepared, client_info)

        user = retry_on_name_conflict(add)
        self.send_code(user, prepared)
        return user

    def prepare(self, new: Registration) -> PreparedRegistration:
        """Check a registration and hash its password, before the transaction."""
        new.check(self_service_tier=self.self_service_tier)
        return PreparedRegistration(new, self.hasher.hash(new.password), self.codes.generate())

    def add_prepared(
        self, tx: IdentityTx, prepared: PreparedRegistration, client_info: ClientInfo
    ) -> User:
        """Do the stored part of `register` in the caller's transaction."""
        now, new = self.clock.now(), prepared.registration
        username = new.username or free_username(tx, new.email, self.randomness)
        user = tx.users.add(new.user(username, prepared.password_hash, now))
        self.codes.store_code(tx, user, Purpose.VERIFY_EMAIL, prepared.new_code, now)
        changes = new_user_values(user)
        tx.audit.add(account_audit_entry(user, "REGISTER", client_info, now, changes))
        return user

    def send_code(self, user: User, prepared: PreparedRegistration) -> None:
        """Email the code of a registration after its commit; may raise Unavailable."""
        self.mailer.send(self._compose_code_email(user, prepared.new_code))

    def register_without_disclosure(
        self, email: str, password: str, client_info: ClientInfo = UNKNOWN_CLIENT
    ) -> None:
        """
        Register as `register` does, without revealing known addresses.

        The owner of a known address gets an email about their account, or a new
        code if it is unverified, at the usual limits. Mail errors are ignored.
        """
        prepared = self.prepare(Registration(email=email, password=password))

        def add_or_remind() -> Email | None:
            with self.store.begin() as tx:
                if (known := tx.users.by_email(prepared.registration.email)) is not None:
                    return self._mail_known_address(tx, known, prepared.new_code, client_info)
                user = self.add_prepared(tx, prepared, client_info)
                return self._compose_code_email(user, prepared.new_code)

        with self.min_duration():
            send_ignoring_errors(self.background_mailer, retry_on_name_conflict(add_or_remind))

    def verify_otp(self, email: str, code: str, client_info: ClientInfo = UNKNOWN_CLIENT) -> User:
        """
        Consume the emailed code; return the verified user, or raise WrongCode.

        Each attempt is counted before the comparison, and takes the same time
        for unknown users.
        """
        user, matching = self.codes.find_matching(email, code, Purpose.VERIFY_EMAIL)
        with self.min_duration():
            verified = self._verify_user(user, matching, client_info)
        if verified is None:
            raise WrongCode
        return verified

    def resend_otp(self, email: str, client_info: ClientInfo = UNKNOWN_CLIENT) -> None:
        """
        Email a new code, which replaces the old, to an unverified address.

        Nothing is sent to an unknown or verified address, within a minute of the
        last code, or after five in an hour. The response is always the same;
        errors of the mailer are ignored, too.
        """
        new_code = self.codes.generate()
        with self.min_duration():
            send_ignoring_errors(self.background_mailer, self._resend(email, new_code, client_info))

    def me(self, actor: Actor) -> User:
        """Return the actor's user; raises NotFound for the system."""
        with self.store.view() as tx:
            return tx.users.get(actor.user_id)

    def ensure_administrator(self, username: str, email: str, password: str | None) -> str | None:
        """
        Create a verified first superuser, if there is none.

        The password policy does not apply. Returns the generated password, valid
        for a week unless changed; None if one was given or a superuser exists.
        """
        with self.store.view() as tx:
            if tx.users.has_super_user():
                return None
        chosen = password or self._generate_password()
        administrator = self._new_superuser(username, email, self.hasher.hash(chosen))
        if not password:
            until = administrator.created_at + GENERATED_PASSWORD_LIFETIME
            administrator = evolve(administrator, password_expires_at=until)

        def add_if_first() -> bool:
            with self.store.begin() as tx:
                if tx.users.has_super_user():
                    return False
                user = tx.users.add(administrator)
                tx.audit.add(_created_by_system(user))
                return True

        added = retry_on_name_conflict(add_if_first)
        return chosen if added and not password else None

    def create_superuser(self, username: str, email: str, password: str) -> User:
        """Create a verified superuser, exempt from the password policy."""
        administrator = self._new_superuser(username, email, self.hasher.hash(password))
        with self.store.begin() as tx:
            user = tx.users.add(administrator)
            tx.audit.add(_created_by_system(user))
        return user

    def _mail_known_address(
        self, tx: IdentityTx, known: User, new_code: GeneratedCode, client_info: ClientInfo
    ) -> Email | None:
        """
        Return the email to a known address, unless the limit is reached.

        A verified user gets a code too, which is not sent, so that it counts.
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

    @retry_on_contention
    def _resend(self, email: str, new_code: GeneratedCode, client_info: ClientInfo) -> Email | None:
        """Return the email with a new code, if the address is unverified."""
        with self.store.begin() as tx:
            user = tx.users.by_email(email)
            if user is not None and not user.is_email_verified:
                return self._mail_known_address(tx, user, new_code, client_info)
            refused = account_audit_entry(user, "SEND_OTP_REFUSED", client_info, self.clock.now())
            self._burst_filter.add(tx.audit, refused)
            return None

    @retry_on_contention
    def _verify_user(
        self, known: User | None, matching: OneTimeCode | None, client_info: ClientInfo
    ) -> User | None:
        """Return the verified user, or None if no code matches."""
        with self.store.begin() as tx:
            now = self.clock.now()
            user = tx.users.get_for_update(known.id) if known else None
            if not user or not matching or not tx.codes.try_use(matching.id, now):
                failed = account_audit_entry(user, "VERIFY_EMAIL_FAILED", client_info, now)
                self._burst_filter.add(tx.audit, failed)
                return None
            verified = user.verified()
            tx.users.replace(verified)
            changes = {"is_email_verified": [user.is_email_verified, True]}
            tx.audit.add(account_audit_entry(user, "VERIFY_EMAIL", client_info, now, changes))
            return verified

    def _new_superuser(self, username: str, email: str, password_hash: str) -> User:
        errors = {"username": username_errors(username), "email": email_errors(email)}
        if invalid := {name: texts for name, texts in errors.items() if texts}:
            raise Invalid(field_errors=invalid)
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
                f"It works once, within {minutes} minutes. If you did not request it, "
                "another user typed your address by mistake; ignore this email.\n"
            ),
        )


def free_username(tx: IdentityTx, email: str, randomness: Randomness) -> str:
    """Return an address's local part, with a random number if it is taken."""
    username = username_from_email(email)
    if tx.users.by_login(username) is None:
        return username
    return username_from_email(email, f"-{randomness.randbelow(10**6):06}")


def _compose_known_address_email(user: User) -> Email:
    return Email(
        to=user.email,
        subject="You already have an account",
        text=(
            f"Hello {user.full_name},\n\n"
            "a registration was made with this address, perhaps by you. You already have an "
            f"account, with the username {user.username}; nothing was changed. Sign in as "
            "usual. If it was not you, ignore this email.\n"
        ),
    )


def _created_by_system(user: User) -> AuditEntry:
    changes = new_user_values(user)
    return AuditEntry.of(SYSTEM, "CREATE", "user", user.id, user.created_at, changes)

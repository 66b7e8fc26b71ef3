"""What people do with their accounts, put together around one memory."""

from attrs import frozen

from workbell.services.audit import Floods
from workbell.services.identity.login import SigningIn
from workbell.services.identity.passwords import Passwords
from workbell.services.identity.profiles import Profiles
from workbell.services.identity.registration import Identity
from workbell.services.identity.second_factor import FactorKeeping
from workbell.services.identity.sessions import AccessControl
from workbell.services.identity.users import People


@frozen(kw_only=True)
class Membership:
    """Passwords, profiles, people and access, which share codes, mail and memory."""

    passwords: Passwords
    profiles: Profiles
    people: People
    access: AccessControl
    second_factor: FactorKeeping

    @classmethod
    def of(cls, identity: Identity, signing_in: SigningIn) -> "Membership":
        """Return the services that go with these two."""
        codes, recent = identity.codes, signing_in.recent
        passwords = Passwords(
            codes=codes,
            mailer=identity.quiet_mailer,
            recent=recent,
            floods=Floods(),
            throttling=signing_in.throttling,
        )
        return cls(
            passwords=passwords,
            profiles=Profiles(passwords=passwords),
            people=People(codes=codes, mailer=identity.mailer, recent=recent),
            access=AccessControl(
                store=signing_in.store,
                clock=signing_in.clock,
                ids=signing_in.ids,
                recent=recent,
            ),
            second_factor=FactorKeeping(
                gate=signing_in.gate, passwords=passwords, ids=signing_in.ids
            ),
        )

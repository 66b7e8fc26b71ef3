"""Services of webhook delivery."""

from collections.abc import Sequence
from datetime import timedelta

from attrs import frozen

from workbell.adapters.builtin_tasks.delivery_tasks import DeliveryTasks
from workbell.adapters.crypto.secret_box import SodiumSecretBox
from workbell.adapters.system import SystemRandomness
from workbell.entrypoints.bootstrap.backends import Backends
from workbell.ports.secret_box import SecretBox
from workbell.ports.serialization import Serializer
from workbell.services.delivery.accounts import AccountService
from workbell.services.delivery.cancellation import DeliveryCancellation
from workbell.services.delivery.destinations import DestinationService
from workbell.services.delivery.job_outcomes import DeliveryOutcomes
from workbell.services.delivery.log import DeliveryLog
from workbell.services.delivery.members import MemberService
from workbell.services.delivery.outgoing import OutgoingRequests
from workbell.services.delivery.publish import PublishService
from workbell.services.delivery.recording import AttemptRecorder
from workbell.services.delivery.release import ParkedDeliveries
from workbell.services.delivery.replay import ReplayService
from workbell.services.delivery.retention import DeliveryRetention
from workbell.services.delivery.secrets import DeliverySecrets
from workbell.services.delivery.send import SendService
from workbell.services.delivery.users import AccountUserService
from workbell.services.identity.registration import RegistrationService
from workbell.services.identity.users import UserAdministration


@frozen(kw_only=True)
class DeliveryServices:
    """The use cases of delivery, and the tasks that its jobs run."""

    secret_box: SecretBox
    accounts: AccountService
    members: MemberService
    destinations: DestinationService
    account_users: AccountUserService
    publishing: PublishService
    replays: ReplayService
    delivery_log: DeliveryLog
    retention: DeliveryRetention
    outcomes: DeliveryOutcomes
    tasks: DeliveryTasks


def make_delivery(
    backends: Backends,
    keys: Sequence[bytes],
    identity: RegistrationService,
    users: UserAdministration,
    serializer: Serializer,
) -> DeliveryServices:
    """Return the services; `keys` encrypt secrets, the current one first."""
    store, clock = backends.store, backends.clock
    box = SodiumSecretBox.create(keys)
    secrets = DeliverySecrets(randomness=SystemRandomness(), box=box)
    accounts = AccountService(store=store, clock=clock, secrets=secrets)
    replays = ReplayService(store=store, clock=clock)
    recorder = AttemptRecorder(
        store=store, clock=clock, randomness=SystemRandomness(), ids=backends.ids
    )
    return DeliveryServices(
        secret_box=box,
        accounts=accounts,
        members=MemberService(store=store, clock=clock, people=users),
        destinations=DestinationService(
            store=store,
            clock=clock,
            secrets=secrets,
            client=backends.webhook_client,
            serializer=serializer,
        ),
        account_users=AccountUserService(
            store=store, registration=identity, accounts=accounts, people=users
        ),
        publishing=PublishService(store=store, clock=clock, ids=backends.ids, secret_box=box),
        replays=replays,
        delivery_log=DeliveryLog(store=store, clock=clock),
        retention=DeliveryRetention(
            store=store,
            clock=clock,
            max_age=timedelta(days=backends.settings.retention_events_days),
        ),
        outcomes=DeliveryOutcomes(clock=clock, recorder=recorder),
        tasks=DeliveryTasks(
            sending=SendService(
                store=store,
                clock=clock,
                client=backends.webhook_client,
                requests=OutgoingRequests(secret_box=box),
                recorder=recorder,
            ),
            parked=ParkedDeliveries(store=store, clock=clock),
            replays=replays,
            cancellation=DeliveryCancellation(store=store, clock=clock),
        ),
    )

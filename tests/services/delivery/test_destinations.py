"""Destinations on a memory store: secrets, headers, versions, commands."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from tests.services.delivery_accounts import (
    URL,
    DeliveryAccountFixture,
    make_delivery_accounts,
)
from workbell.adapters.crypto.secret_box import SodiumSecretBox
from workbell.domain.delivery.account import Account
from workbell.domain.delivery.circuit_breaker import BreakerState, CircuitBreaker
from workbell.domain.delivery.destination import (
    HEADER_MASK,
    HEADER_PURPOSE,
    MAX_DESTINATIONS,
    SECRET_PURPOSE,
    Destination,
    DestinationId,
    DestinationState,
    HttpMethod,
)
from workbell.domain.delivery.signature import parse_secret
from workbell.domain.errors import Invalid, LimitReached, NotAllowed, NotFound, StaleVersion
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action
from workbell.services.delivery.destinations import DestinationView
from workbell.services.delivery.requests import NewDestination

HEADERS = {"Authorization": "Bearer s3cr3t", "X-Shop": "1"}
MASKED = dict.fromkeys(HEADERS, HEADER_MASK)


@pytest.fixture
def env() -> DeliveryAccountFixture:
    return make_delivery_accounts()


@pytest.fixture
def account(env: DeliveryAccountFixture) -> Account:
    """Return an account with the Admin ana and the Normal user nor."""
    return env.account("ana", "nor").account


@pytest.fixture
def made(env: DeliveryAccountFixture, account: Account) -> Destination:
    """Return a destination with two headers."""
    return env.destination(account, headers=HEADERS).destination


def change(
    env: DeliveryAccountFixture, destination: Destination, by: str = "ana", **updates: Any
) -> DestinationView:
    return env.destinations.change(env.actor(by), destination.id, updates)


def header(env: DeliveryAccountFixture, destination: Destination, name: str) -> str:
    encrypted = env.stored(destination.id).headers[name]
    return env.destinations.secrets.box.decrypt(encrypted, HEADER_PURPOSE)


def test_a_new_destination_has_a_secret_and_encrypted_headers(
    env: DeliveryAccountFixture, account: Account
) -> None:
    view = env.destination(
        account, http_method=HttpMethod.PUT, headers=HEADERS, event_types=("order.*",)
    )
    destination = view.destination
    assert view.secret is not None and len(parse_secret(view.secret)) == 32
    assert destination.method is HttpMethod.PUT
    assert destination.masked_headers == MASKED
    assert "s3cr3t" not in str(destination.headers)
    assert header(env, destination, "Authorization") == "Bearer s3cr3t"
    assert env.destinations.get(env.actor("ana"), destination.id) == view
    assert env.destination(account).secret != view.secret


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"headers": {"Host": "x"}}, "headers.Host"),
        ({"headers": {"X-A": "b\r\nX-B: c"}}, "headers.X-A"),
        ({"headers": {"X-A": HEADER_MASK}}, "headers.X-A"),
        ({"event_types": ("Order",)}, "event_types.0"),
        ({"retry_delays": (5, 0)}, "retry_delays.1"),
        ({"url": "http://localhost/"}, "url"),
    ],
)
def test_wrong_fields_are_refused_by_name(
    env: DeliveryAccountFixture, account: Account, fields: dict[str, Any], path: str
) -> None:
    destination = env.destination(account).destination
    with pytest.raises(Invalid) as caught:
        env.destination(account, **fields)
    assert list(caught.value.field_errors) == [path]
    with pytest.raises(Invalid) as caught:
        change(env, destination, **{name: _as_json(value) for name, value in fields.items()})
    assert list(caught.value.field_errors) == [path]
    assert env.stored(destination.id) == destination
    assert env.destinations.list(env.actor("ana"), account.id)[1] == 1


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def test_the_url_is_checked_outside_of_a_transaction_and_only_if_it_is_new(
    env: DeliveryAccountFixture, made: Destination
) -> None:
    def open_transaction() -> None:
        with env.people.store.begin():  # raises within another
            pass

    env.client.during_check = [open_transaction]
    change(env, made, concurrency=2)
    assert env.client.checked == [URL]
    change(env, made, url="https://example.com/other")
    assert env.client.checked == [URL, "https://example.com/other"]
    assert not env.client.during_check


def test_a_masked_value_leaves_the_stored_one(
    env: DeliveryAccountFixture, made: Destination
) -> None:
    view = change(env, made, headers={"authorization": HEADER_MASK, "X-New": "2"})
    assert dict(view.destination.masked_headers) == dict.fromkeys(
        ["authorization", "X-New"], HEADER_MASK
    )
    assert header(env, made, "authorization") == "Bearer s3cr3t"
    assert header(env, made, "X-New") == "2"
    change(env, made, event_types=["order.paid"])
    assert header(env, made, "authorization") == "Bearer s3cr3t"
    change(env, made, headers={"authorization": "other"})
    assert header(env, made, "authorization") == "other"
    assert list(env.stored(made.id).headers) == ["authorization"]


def test_members_list_view_and_update_but_see_no_secret(
    env: DeliveryAccountFixture, account: Account, made: Destination
) -> None:
    nor = env.actor("nor")
    [listed], total = env.destinations.list(nor, account.id)
    assert (listed, total) == (env.destinations.get(nor, made.id), 1)
    assert listed.secret is None
    view = change(env, made, by="nor", url=f"{URL}/2", headers={"X-Shop": HEADER_MASK})
    assert (view.secret, view.destination.url) == (None, f"{URL}/2")
    assert env.destinations.list(env.actor("ana"), account.id)[0][0].secret is not None
    with pytest.raises(NotFound):
        env.destinations.list(env.actor("bob"), account.id)


def test_a_normal_user_does_not_send_stored_header_values_to_another_host(
    env: DeliveryAccountFixture, made: Destination
) -> None:
    other = "https://evil.example/hook"
    with pytest.raises(Invalid) as caught:
        change(env, made, by="nor", url=other)
    assert list(caught.value.field_errors) == ["headers.Authorization", "headers.X-Shop"]
    assert env.stored(made.id) == made
    moved = change(env, made, by="nor", url=other, headers={"X-Shop": "2"})
    assert moved.destination.url == other
    assert change(env, made, by="ana", url=URL).destination.url == URL


Command = Callable[[DeliveryAccountFixture, Actor, Destination], object]
COMMANDS: dict[str, Command] = {
    "create": lambda env, actor, made: env.destinations.create(
        actor, made.account_id, NewDestination(url=URL)
    ),
    "enable": lambda env, actor, made: env.destinations.enable(actor, made.id),
    "rotate": lambda env, actor, made: env.destinations.rotate_secret(actor, made.id),
    "delete": lambda env, actor, made: env.destinations.delete(actor, made.id),
    "check": lambda env, actor, made: env.destinations.check_access(
        actor, made.id, Action.CHANGE_ACCOUNT
    ),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_commands_of_admins_are_refused_to_normal_users(
    env: DeliveryAccountFixture, made: Destination, command: Command
) -> None:
    with pytest.raises(NotAllowed):
        command(env, env.actor("nor"), made)
    with pytest.raises(NotFound):
        command(env, env.actor("bob"), made)
    assert env.stored(made.id) == made


def test_other_users_find_no_destination(env: DeliveryAccountFixture, made: Destination) -> None:
    bob = env.actor("bob")
    with pytest.raises(NotFound):
        env.destinations.get(bob, made.id)
    with pytest.raises(NotFound):
        env.destinations.statistics(bob, made.id)
    with pytest.raises(NotFound):
        change(env, made, by="bob", concurrency=1)
    with pytest.raises(NotFound):
        env.destinations.enable(env.actor("ana"), DestinationId(99))


def test_a_stale_version_is_refused_with_the_fields_changed_since(
    env: DeliveryAccountFixture, made: Destination
) -> None:
    ana = env.actor("ana")
    assert change(env, made, concurrency=2).destination.version == 2
    for refused in (
        lambda: env.destinations.change(ana, made.id, {"concurrency": 3}, version=1),
        lambda: env.destinations.delete(ana, made.id, version=1),
    ):
        with pytest.raises(StaleVersion) as caught:
            refused()
        assert (caught.value.version, caught.value.changed) == (2, ("concurrency",))
    changed = env.destinations.change(ana, made.id, {"concurrency": 3}, version=2)
    assert changed.destination.version == 3
    env.destinations.delete(ana, made.id, version=3)


def test_a_change_during_the_check_of_the_url_is_not_overwritten(
    env: DeliveryAccountFixture, made: Destination
) -> None:
    env.client.during_check = [lambda: change(env, made, concurrency=7)]
    with pytest.raises(StaleVersion):
        change(env, made, url="https://example.com/other")
    assert (env.stored(made.id).concurrency, env.stored(made.id).url) == (7, URL)


# pausing and enabling


def opened(env: DeliveryAccountFixture, destination: Destination, **fields: Any) -> Destination:
    """Store an open breaker, as the sending side does."""
    breaker = CircuitBreaker(state=BreakerState.OPEN, failures=5, openings=1)
    env.replace(evolve(env.stored(destination.id), breaker=breaker, **fields))
    return env.stored(destination.id)


def test_members_pause_and_resume_without_closing_the_breaker(
    env: DeliveryAccountFixture, made: Destination
) -> None:
    before = opened(env, made)
    paused = change(env, made, by="nor", is_active=False).destination
    assert (paused.state, paused.disabled_reason) == (DestinationState.DISABLED, None)
    assert not env.jobs("delivery.release")
    resumed = change(env, made, by="nor", is_active=True).destination
    assert (resumed.state, resumed.breaker) == (DestinationState.OPEN, before.breaker)
    [job] = env.jobs("delivery.release")
    assert (job.parameters, job.due_at) == ({"destination": made.id}, env.people.clock.now())


def test_only_admins_resume_what_workbell_has_disabled(
    env: DeliveryAccountFixture, made: Destination
) -> None:
    opened(env, made, is_active=False, disabled_reason="gone")
    with pytest.raises(NotAllowed):
        change(env, made, by="nor", is_active=True)
    assert change(env, made, by="nor", concurrency=2).destination.disabled_reason == "gone"
    resumed = change(env, made, by="ana", is_active=True).destination
    assert (resumed.state, resumed.disabled_reason) == (DestinationState.CLOSED, None)


def test_enabling_closes_the_breaker_and_releases_what_is_parked(
    env: DeliveryAccountFixture, made: Destination
) -> None:
    opened(env, made, is_active=False, disabled_reason="gone")
    enabled = env.destinations.enable(env.actor("ana"), made.id).destination
    assert (enabled.state, enabled.disabled_reason) == (DestinationState.CLOSED, None)
    assert (enabled.breaker, enabled.version) == (CircuitBreaker(), 2)
    assert [job.parameters for job in env.jobs("delivery.release")] == [{"destination": made.id}]


def test_a_rotated_secret_and_the_previous_one_sign_for_a_day(
    env: DeliveryAccountFixture, made: Destination
) -> None:
    ana, box = env.actor("ana"), env.destinations.secrets.box
    before = env.destinations.get(ana, made.id).secret
    after = env.destinations.rotate_secret(ana, made.id)
    now = env.people.clock.now()
    signing = [box.decrypt(each, SECRET_PURPOSE) for each in after.destination.active_secrets(now)]
    assert signing == [after.secret, before]
    assert len(after.destination.active_secrets(now + timedelta(hours=24))) == 1
    assert not env.jobs("delivery.release")


def test_a_deleted_destination_cancels_its_deliveries(
    env: DeliveryAccountFixture, made: Destination
) -> None:
    env.destinations.delete(env.actor("ana"), made.id)
    assert [job.parameters for job in env.jobs("delivery.cancel")] == [{"destination": made.id}]
    for refused in (
        lambda: env.destinations.get(env.actor("ana"), made.id),
        lambda: env.destinations.enable(env.actor("ana"), made.id),
        lambda: env.destinations.delete(env.actor("ana"), made.id),
    ):
        with pytest.raises(NotFound):
            refused()


def test_statistics_are_those_of_the_last_day(
    env: DeliveryAccountFixture, made: Destination
) -> None:
    destination, figures = env.destinations.statistics(env.actor("nor"), made.id)
    assert destination == made
    assert (figures.succeeded, figures.failed, figures.success_rate) == (0, 0, None)
    assert evolve(figures, succeeded=2, failed=1).success_rate == 0.6667


def test_commands_are_audited_without_secrets(
    env: DeliveryAccountFixture, made: Destination
) -> None:
    ana = env.actor("ana")
    change(env, made, headers={"X-New": "v3ry", "X-Shop": HEADER_MASK}, is_active=False)
    env.destinations.enable(ana, made.id)
    rotated = env.destinations.rotate_secret(ana, made.id)
    env.destinations.delete(ana, made.id)
    entries = env.audit("destination")
    assert [entry.action for entry in entries] == [
        "CREATE", "UPDATE", "ENABLE", "ROTATE_SECRET", "DELETE",
    ]  # fmt: skip
    assert entries[1].changes == {
        "headers": [["Authorization", "X-Shop"], ["X-New", "X-Shop"]],
        "is_active": [True, False],
        "version": [1, 2],
    }
    for secret in ("s3cr3t", "v3ry", str(rotated.secret), rotated.destination.secret):
        assert secret not in str(entries)


def test_after_a_lost_key_an_admin_sees_no_secret_and_rotates_it(
    env: DeliveryAccountFixture, made: Destination
) -> None:
    lost = SodiumSecretBox.create([b"l" * 32]).encrypt("whsec_x", SECRET_PURPOSE)
    with env.destinations.store.begin() as tx:
        tx.destinations.replace(evolve(env.stored(made.id), secret=lost))
    ana = env.actor("ana")
    assert env.destinations.get(ana, made.id).secret is None
    assert (env.destinations.rotate_secret(ana, made.id).secret or "").startswith("whsec_")


def test_an_account_has_at_most_a_hundred_destinations(
    env: DeliveryAccountFixture, account: Account, made: Destination
) -> None:
    with env.destinations.store.begin() as tx:
        for _ in range(MAX_DESTINATIONS - 1):
            tx.destinations.add(made)
    with pytest.raises(LimitReached, match="100 of 100") as caught:
        env.destination(account)
    assert (caught.value.used, caught.value.limit) == (100, 100)

"""DataManager's story: accounts, destinations, incoming data, signatures and logs."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from attrs import define, evolve
from standardwebhooks.webhooks import WebhookVerificationError

from tests.contract.servers import address, new_database
from tests.journeys.conftest import Client, eventually, open_service
from tests.journeys.receivers import Receiver, open_receivers
from tests.processes.fleet import Fleet, own_redis
from tests.response_validation import response_validator

PASSWORD = "SecurePass123!"
DATA = r'{ "key" : "value", "f" : 1.0,"s":"\/é\u00e9" }'.encode()
METHODS = ("POST", "PUT", "PATCH", "DELETE", "GET")


@pytest.fixture(
    scope="module",
    params=["embedded", pytest.param("postgresql and redis", marks=pytest.mark.integration)],
)
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """Return a client of the embedded default, or of processes on PostgreSQL and Redis."""
    folder = tmp_path_factory.mktemp("service")
    if request.param == "embedded":
        with open_service(folder, allow_private_destinations=True) as client:
            yield client
        return
    with own_redis(folder) as redis:
        fleet = Fleet(folder, address(new_database("postgresql")), redis.url)
        parts = {part: start(fleet, part) for part in ("api", "worker", "scheduler")}
        validator = response_validator(fleet.application.app_dependencies())
        yield Client(parts["api"], folder / "data" / "mail", validator)
        fleet.close()


def start(fleet: Fleet, part: str) -> int:
    """Start a process of an installation, and return its port."""
    return fleet.start(part, allow_private_destinations="true").port


@define
class Owner:
    """A user of DataManager with their account; `call` uses their opaque token."""

    client: Client
    email: str
    user_id: int
    account_id: int

    def call(
        self, method: str, path: str, body: Any = None, status: int = 200, **headers: str
    ) -> Any:
        found, answer, _ = self.client.call(method, path, body, **headers)
        assert found == status, answer
        return answer

    def get(self, path: str, status: int = 200) -> Any:
        return self.call("GET", path, status=status)

    @property
    def app_token(self) -> str:
        """The account's app secret token, as its page shows it."""
        token = str(self.get(f"/accounts/{self.account_id}/")["app_secret_token"])
        assert UUID(token).version == 4
        return token

    def add_destination(self, receiver: Receiver, **fields: Any) -> dict[str, Any]:
        new = {"url": receiver.url, "http_method": "POST", **fields}
        made = self.call("POST", f"/accounts/{self.account_id}/destinations/", new, 201)
        return dict(made)

    def send(self, token: str, body: Any = DATA, **headers: str) -> str:
        """Send data within the rate limit; return the event's id."""
        sent = {"CL_X_TOKEN": token, **headers}

        def admitted() -> Any:
            status, answer, _ = self.client.call("POST", "/server/incoming_data/", body, **sent)
            assert status in {200, 429}, answer
            return answer if status == 200 else None

        answer = eventually(admitted)
        assert answer["message"] == "Data Received"
        return str(answer["event_id"])

    def log(self, query: str = "") -> list[dict[str, Any]]:
        return list(self.get(f"/accounts/{self.account_id}/logs/{query}")["results"])

    def wait_for(self, event_id: str, *statuses: str) -> list[dict[str, Any]]:
        """Wait until the event's deliveries have these statuses, by destination."""

        def found() -> list[dict[str, Any]] | None:
            rows = sorted(self.log(f"?event_id={event_id}"), key=lambda row: row["destination"])
            return rows if [row["status"] for row in rows] == list(statuses) else None

        return list(eventually(found))


def sign_in(service: Client, email: str) -> Owner:
    """Log in with an opaque token, sent as `Authorization: Token ...`."""
    body = {"email": email, "password": PASSWORD}
    login = evolve(service, token=None).post("/users/login/", body)
    assert login["id"] == login["account_id"]
    client = evolve(service, token=login["token"], scheme="Token")
    return Owner(client, email, login["user_id"], login["account_id"])


def register(service: Client, name: str) -> Owner:
    email = f"{name}@example.com"
    made = service.post("/users/register/", {"email": email, "password": PASSWORD}, 201)
    assert (made["user"]["email"], set(made)) == (email, {"message", "user", "token"})
    return sign_in(service, email)


def invite(service: Client, admin: Owner, email: str) -> Owner:
    """Invite a user; with the mailed code the user sets a password, and logs in."""
    body = {"email": email, "account_id": admin.account_id}
    assert admin.call("POST", "/users/invite/", body, 201)["email"] == email
    code = eventually(lambda: service.code_for(email) if any(service.mail.iterdir()) else None)
    reset = {"email": email, "otp": code, "password": PASSWORD}
    service.post("/api/v1/auth/password/reset/confirm", reset)
    return sign_in(service, email)


def test_each_destination_gets_the_data_by_its_method(service: Client) -> None:
    admin = register(service, "methods")
    assert admin.get(f"/accounts/{admin.account_id}/members/")["results"][0]["role"] == 1
    token = admin.app_token
    with open_receivers(len(METHODS)) as receivers:
        made = [
            admin.add_destination(each, http_method=method, headers={"X-Key": f"secret {method}"})
            for method, each in zip(METHODS, receivers, strict=True)
        ]
        assert [each["headers"] for each in made] == [{"X-Key": "***"}] * len(METHODS)
        event_id = admin.send(token, CL_X_EVENT_ID="order_4711")
        assert event_id == "order_4711"
        rows = admin.wait_for(event_id, *["success"] * len(METHODS))
        for method, receiver, destination in zip(METHODS, receivers, made, strict=True):
            (received,) = receiver.received(event_id)
            assert received.method == method
            assert received.headers["x-key"] == f"secret {method}"
            assert received.headers["content-type" if method != "GET" else "host"]
            received.verify(destination["secret"])
            expected = b"" if method == "GET" else DATA
            assert received.body == expected
        assert receivers[-1].requests[0].path == "/hook?key=value&f=1.0&s=%2F%C3%A9%C3%A9"
    assert {row["destination"] for row in rows} == {each["id"] for each in made}
    assert all(row["received_data"] == {"key": "value", "f": 1.0, "s": "/éé"} for row in rows)
    assert all(row["processed_timestamp"] >= row["received_timestamp"] for row in rows)


def test_an_invited_normal_user_sends_data_and_reads_the_log(service: Client) -> None:
    admin = register(service, "inviter")
    with open_receivers(1) as (receiver,):
        made = admin.add_destination(receiver, headers={"Content-Type": "application/json"})
        user = invite(service, admin, "newuser@example.com")
        assert user.account_id == admin.account_id
        members = admin.get(f"/accounts/{admin.account_id}/members/")["results"]
        assert [(each["user_email"], each["role_name"]) for each in members] == [
            ("inviter@example.com", "Admin"), ("newuser@example.com", "Normal user"),
        ]  # fmt: skip
        assert user.get(f"/accounts/{user.account_id}/").get("app_secret_token") is None
        new = {"url": receiver.url, "http_method": "POST"}
        user.call("POST", f"/accounts/{user.account_id}/destinations/", new, 403)
        (shown,) = user.get(f"/accounts/{user.account_id}/destinations/")["results"]
        assert (shown["id"], shown.get("secret")) == (made["id"], None)
        user.call("DELETE", f"/destinations/{made['id']}/", status=403)
        changed = user.call("PUT", f"/destinations/{made['id']}/", {**new, "http_method": "PUT"})
        assert changed["http_method"] == "PUT"
        event_id = user.send(admin.app_token, {"key": "value"})
        (row,) = user.wait_for(event_id, "success")
        assert (row["account"], row["received_data"]) == (admin.account_id, {"key": "value"})
        assert [each.method for each in receiver.received(event_id)] == ["PUT"]
    stranger = register(service, "stranger")
    stranger.get(f"/accounts/{admin.account_id}/logs/", 404)
    sent = {"CL_X_TOKEN": admin.app_token}
    stranger.call("POST", "/server/incoming_data/", {"key": "value"}, 403, **sent)
    user.call("POST", "/users/logout/")
    user.call("POST", "/server/incoming_data/", {"key": "value"}, 401, **sent)


def test_every_delivery_verifies_across_a_rotation_of_the_secret(service: Client) -> None:
    admin = register(service, "rotation")
    token = admin.app_token
    with open_receivers(2) as receivers:
        made = [
            admin.add_destination(each, http_method=method)
            for each, method in zip(receivers, ("POST", "GET"), strict=True)
        ]
        old = [each["secret"] for each in made]
        admin.wait_for(admin.send(token, CL_X_EVENT_ID="before"), "success", "success")
        path = "/api/v1/destinations/{}/rotate_secret"
        new = [admin.call("POST", path.format(each["id"]))["secret"] for each in made]
        assert not set(old) & set(new)
        admin.wait_for(admin.send(token, CL_X_EVENT_ID="after"), "success", "success")
        for receiver, before, after in zip(receivers, old, new, strict=True):
            first, second = receiver.requests
            assert (first.event_id, second.event_id) == ("before", "after")
            first.verify(before)
            with pytest.raises(WebhookVerificationError):
                first.verify(after)
            second.verify(before)
            second.verify(after)
            assert second.headers["webhook-signature"].count("v1,") == 2


def test_the_log_shows_deliveries_under_every_documented_filter(service: Client) -> None:
    admin = register(service, "filters")
    token = admin.app_token
    with open_receivers(3) as receivers:
        _, busy, gone = receivers
        busy.status, gone.status = 503, 410
        ids = [admin.add_destination(each)["id"] for each in receivers]
        first = admin.send(token, {"n": 1})
        rows = admin.wait_for(first, "success", "pending", "failed")
        second = admin.send(token, {"n": 2}, CL_X_EVENT_ID="second")
        later = admin.wait_for(second, "success", "pending", "pending")

        def found(query: str) -> list[tuple[str, int]]:
            return [(row["event_id"], ids.index(row["destination"])) for row in admin.log(query)]

        assert sorted(found("?status=success")) == sorted([(second, 0), (first, 0)])
        assert found("?status=failed") == [(first, 2)]
        assert sorted(found("?status=pending")) == sorted([(second, 1), (second, 2), (first, 1)])
        assert len(found(f"?event_id={second}")) == 3
        assert found(f"?status=success&destination_id={ids[0]}") == [(second, 0), (first, 0)]
        assert found(f"?destination_id={ids[1]}&event_id={first}") == [(first, 1)]
        at = later[0]["received_timestamp"]
        assert {event for event, _ in found(f"?received_timestamp__gte={at}")} == {second}
        until = rows[0]["received_timestamp"]
        assert {event for event, _ in found(f"?received_timestamp__lte={until}")} == {first}
        admin.get(f"/accounts/{admin.account_id}/logs/?status=done", 400)
        assert len(gone.requests) == 1

        # the destination is enabled again: the parked delivery arrives, with its id
        gone.status = 200
        admin.call("POST", f"/api/v1/destinations/{ids[2]}/enable")
        admin.wait_for(second, "success", "pending", "success")
        (failed,) = admin.log("?status=failed")
        detail = admin.get(f"/api/v1/deliveries/{failed['id']}")
        assert [each["status_code"] for each in detail["attempt_log"]] == [410]
        admin.call("POST", f"/api/v1/deliveries/{failed['id']}/retry")
        admin.wait_for(first, "success", "pending", "success")
        assert [each.event_id for each in gone.requests] == [first, second, first]
        assert len({each.body for each in gone.received(first)}) == 1


def test_failed_deliveries_are_replayed_as_a_job(service: Client) -> None:
    admin = register(service, "replays")
    token = admin.app_token
    with open_receivers(1) as (receiver,):
        receiver.status = 410
        made = admin.add_destination(receiver)
        event_id = admin.send(token)
        (row,) = admin.wait_for(event_id, "failed")
        receiver.status = 200
        admin.call("POST", f"/api/v1/destinations/{made['id']}/enable")
        since = {"since": row["received_timestamp"]}
        job = admin.call("POST", f"/api/v1/destinations/{made['id']}/replay", since, 202)
        admin.wait_for(event_id, "success")
        service.post(
            "/api/v1/auth/verify-otp", {"email": admin.email, "otp": service.code_for(admin.email)}
        )  # jobs are for users with a verified address
        path = f"/api/v1/jobs/{job['id']}"
        eventually(lambda: admin.get(path)["status"] == "succeeded")
        assert admin.get(path)["progress"]["done"] == 1
        assert [each.event_id for each in receiver.requests] == [event_id] * 2
        receiver.requests[-1].verify(made["secret"])

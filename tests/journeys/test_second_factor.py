"""A second factor: enrolment, login, single use of codes, removal."""

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pyotp.totp import TOTP

from tests.journeys.conftest import Client
from workbell.domain.identity.second_factor import STEP

OWN = "/api/v1/auth/second-factor"
LOGIN = "/api/v1/auth/login"
PASSWORD = "SecurePass123!"


class Device:
    """An authenticator app with the secret of a QR code."""

    def __init__(self, uri: str) -> None:
        self.totp = TOTP(parse_qs(urlsplit(uri).query)["secret"][0])
        self.last = 0

    def code(self, now: float) -> str:
        """Return an unused code; the service also accepts the next one."""
        self.last = max(int(now) // STEP - 1, self.last + 1)
        return self.totp.at(self.last * STEP)


def login(client: Client, status: int, **more: str) -> Any:
    client.token = None
    answer = client.post(LOGIN, {"username": "ana", "password": PASSWORD, **more}, status)
    client.token = answer.get("access")
    return answer


def test_a_second_factor_from_its_first_code_to_its_loss(client: Client) -> None:
    new = {"username": "ana", "email": "ana@example.org", "password": PASSWORD}
    person = client.post("/api/v1/auth/users", new, 201)
    login(client, 200)
    device = Device(client.post(OWN, {"current_password": PASSWORD}, 201)["uri"])
    login(client, 200)  # it is not confirmed yet
    recovery = client.post(f"{OWN}/confirm", {"code": device.code(time.time())})["recovery_codes"]
    assert client.get(OWN)["is_active"]

    assert login(client, 403)["code"] == "second_factor_required"
    typed = device.code(time.time())
    login(client, 200, code=typed)
    assert client.get("/api/v1/auth/users/me")["username"] == "ana"
    assert login(client, 401, code=typed)["code"] == "wrong_second_factor"  # once only

    login(client, 200, code=recovery[0])
    assert client.get(OWN)["recovery_codes_left"] == 9
    login(client, 401, code=recovery[0])

    client.token = None
    client.post("/api/v1/auth/password/reset", {"email": "ana@example.org"})
    reset = {"email": "ana@example.org", "otp": client.code_for("ana@example.org")}
    client.post("/api/v1/auth/password/reset/confirm", {**reset, "password": PASSWORD + "x"})
    body = {"username": "ana", "password": PASSWORD + "x"}
    assert client.post(LOGIN, body, 403)["code"] == "second_factor_required"

    admin = {"username": "admin", "password": "correct-horse-battery"}
    client.token = client.post(LOGIN, admin)["access"]
    assert client.call("DELETE", f"/api/v1/users/{person['id']}/second-factor")[0] == 204
    client.token = None
    client.token = client.post(LOGIN, body)["access"]
    assert not client.get(OWN)["is_active"]

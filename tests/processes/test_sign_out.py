"""Sign-out with several processes: at once in the same one, within 5 s in others."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.processes.fleet import PASSWORD, Fleet, Part
from workbell.services.identity.actor_cache import TTL

pytestmark = pytest.mark.integration

ME = "/api/v1/auth/users/me"
NEW = "battery staple 9"


def signed_in(part: Part, name: str, password: str) -> Any:
    status, found = part.call(
        "POST", "/api/v1/auth/login", body={"username": name, "password": password}
    )
    assert status == 200, found
    return found


def change(part: Part, root: str, login: Any, **facts: Any) -> int:
    return part.call("PATCH", f"/api/v1/users/{login['user']['id']}", root, facts)[0]


def new_password(part: Part, login: Any) -> int:
    other = signed_in(part, login["user"]["username"], PASSWORD)["access"]
    body = {"current_password": PASSWORD, "password": NEW}
    return part.call("POST", "/api/v1/auth/password/change", other, body)[0]


def revocation(part: Part, login: Any) -> int:
    other = signed_in(part, login["user"]["username"], PASSWORD)["access"]
    found = part.get("/api/v1/auth/sessions", other)[1]["results"]
    (mine,) = [one["id"] for one in found if not one["current"]]
    return part.call("DELETE", f"/api/v1/auth/sessions/{mine}", other)[0]


SIGN_OUTS: Mapping[str, Callable[[Part, str, Any], int]] = {
    "logout": lambda here, _, login: here.call("POST", "/api/v1/auth/logout", login["access"])[0],
    "password": lambda here, _, login: new_password(here, login),
    "revoked": lambda here, _, login: revocation(here, login),
    "off": lambda here, root, login: change(here, root, login, is_active=False),
    "demoted": lambda here, root, login: change(here, root, login, role="MEMBER"),
    "signedout": lambda here, root, login: here.call(
        "POST", f"/api/v1/users/{login['user']['id']}/sign_out", root
    )[0],
}


def test_every_kind_of_sign_out_takes_effect_in_all_processes_within_five_seconds(
    fleet: Fleet,
) -> None:
    here, there = (fleet.start("api", public_url="http://app.example.org") for _ in range(2))
    root = signed_in(here, "admin", PASSWORD)["access"]
    logins = {}
    for name in SIGN_OUTS:
        body = {"username": name, "email": f"{name}@example.org", "password": PASSWORD}
        assert here.call("POST", "/api/v1/auth/users", body=body)[0] == 201
        if name == "demoted":
            login = signed_in(here, name, PASSWORD)
            assert change(here, root, login, role="MANAGER") == 200
        logins[name] = signed_in(here, name, PASSWORD)
    ended = {}
    for name, sign_out in SIGN_OUTS.items():
        login = logins[name]
        assert here.get(ME, login["access"])[0] == there.get(ME, login["access"])[0] == 200
        assert sign_out(here, root, login) in {200, 204}, name
        ended[name] = time.monotonic()
        assert here.get(ME, login["access"])[0] == 401, name
    waiting = set(SIGN_OUTS)
    while waiting:
        for name in sorted(waiting):
            if there.get(ME, logins[name]["access"])[0] == 401:
                waiting.remove(name)
            else:
                assert time.monotonic() - ended[name] <= TTL.seconds + 0.5, name
        time.sleep(0.05)

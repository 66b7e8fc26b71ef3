"""Audit trail of identity: every success, and repeated failures once."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from tests.adapters.http.conftest import PASSWORD, ApiFixture, build_api
from tests.adapters.http.identity.test_browser_sessions import HTTP, make_page
from tests.adapters.http.web.test_permission_matrix import ACTIONS, ALL, names_for
from workbell.adapters.http.app import make_operations
from workbell.domain.errors import Conflict
from workbell.domain.notifications.notice import Notice, NoticeKind
from workbell.services.notifications.dispatch import Notifier

NEW = "another good one, 7"
IDENTITY = (
    "people",
    "profile",
    "password",
    "second_factor",
    "sessions",
    "keys",
    "notifications",
)
WRITING = [
    one.name
    for one in make_operations(build_api(Path()).deps)
    if one.method != "GET" and ACTIONS.get(one.name, "").split(".")[0] in IDENTITY
]
PAGE = {"Sec-Fetch-Site": "same-origin"}


@frozen
class Deed:
    """A request to a route, and the audit entries that it must leave."""

    said: str
    body: Callable[[ApiFixture], Any] = lambda _: None
    caller: str | None = None
    headers: Mapping[str, str] = {}


def registration(_: ApiFixture) -> dict[str, str]:
    return {"email": "new@example.org", "password": NEW}


def named(api: ApiFixture) -> dict[str, str]:
    return {**registration(api), "username": "new", "first_name": "N", "last_name": "W"}


def login(_: ApiFixture) -> dict[str, str]:
    return {"username": "ada", "password": PASSWORD}


def by_address(_: ApiFixture) -> dict[str, str]:
    return {"email": "ada@example.org", "password": PASSWORD}


def refresh(api: ApiFixture) -> dict[str, str]:
    return {"refresh": api.deps.login.login("ada", PASSWORD).refresh}


def code(api: ApiFixture) -> dict[str, str]:
    api.deps.identity.resend_otp("una@example.org")
    return {"email": "una@example.org", "otp": api.mail.code()}


def reset(api: ApiFixture) -> dict[str, str]:
    api.deps.passwords.request_reset("ada@example.org")
    return {"email": "ada@example.org", "otp": api.mail.code(), "password": NEW}


def begun(api: ApiFixture) -> dict[str, str]:
    api.deps.second_factor.begin(api.actor("ada"), PASSWORD)
    return {"code": api.factor_code()}


def both(api: ApiFixture) -> dict[str, str]:
    api.enrol()
    return {"current_password": PASSWORD, "code": api.factor_code()}


def lost(api: ApiFixture) -> None:
    api.enrol()


def wrong_code(api: ApiFixture) -> dict[str, str]:
    with suppress(Conflict):
        begun(api)
    return {"code": "000000"}


def both_wrong(api: ApiFixture) -> dict[str, str]:
    if not api.get("/api/v1/auth/second-factor").json["is_active"]:
        api.enrol()
    return {"current_password": PASSWORD, "code": "000000"}


def theirs(api: ApiFixture) -> dict[str, Any]:
    account_id = api.account("ada")["id"]
    api.member(account_id, "bob")
    return {"email": "new@example.org", "account_id": account_id}


def invitation(api: ApiFixture) -> dict[str, Any]:
    return {"email": "new@example.org", "account_id": api.account("ada")["id"]}


def given(**body: Any) -> Callable[[ApiFixture], Any]:
    return lambda _: body


def nothing(_: ApiFixture) -> None:
    """Send no body."""


def unread(api: ApiFixture) -> dict[str, Any]:
    """Notify ada; the body marks all her notifications as read."""
    notice = Notice(
        kind=NoticeKind.MENTION, key="k", recipients=[api.users["ada"].id], title="A task"
    )
    with api.store.begin() as tx:
        Notifier(clock=api.clock).notify(tx, notice)
    return {}


SUCCESSES: Mapping[str, Deed] = {
    "register": Deed("REGISTER", registration),
    "insighthub_register": Deed("REGISTER", lambda api: {**named(api), "password_confirm": NEW}),
    "learnflow_register": Deed("REGISTER", named),
    "datamanager_register": Deed("REGISTER", registration),
    "jobprocessing_register": Deed("REGISTER", registration),
    "verify_email": Deed("VERIFY_EMAIL", code),
    "jobprocessing_verify_otp": Deed("VERIFY_EMAIL", code),
    "jobprocessing_verify_email": Deed("VERIFY_EMAIL", code),
    "resend_otp": Deed("SEND_OTP", given(email="una@example.org")),
    "login": Deed("LOGIN", login),
    "insighthub_login": Deed("LOGIN", login),
    "learnflow_login": Deed("LOGIN", login),
    "datamanager_login": Deed("LOGIN", by_address),
    "jobprocessing_login": Deed("LOGIN", by_address),
    "open_browser_session": Deed("LOGIN", login, headers=PAGE),
    "refresh": Deed("REFRESH", refresh),
    "insighthub_refresh": Deed("REFRESH", refresh),
    "learnflow_refresh": Deed("REFRESH", refresh),
    "close_browser_session": Deed("LOGOUT", nothing, "ada"),
    "logout": Deed("LOGOUT", nothing, "ada"),
    "datamanager_logout": Deed("LOGOUT", nothing, "ada"),
    "change_me": Deed("UPDATE", given(first_name="Augusta"), "ada"),
    "datamanager_change_user": Deed("UPDATE", given(first_name="Augusta"), "ada"),
    "set_notification_preferences": Deed(
        "UPDATE", given(reminders=False, reminder_time="07:30"), "ada"
    ),
    "mark_notifications_read": Deed("UPDATE", unread, "ada"),
    "change_password": Deed(
        "PASSWORD_CHANGE", given(current_password=PASSWORD, password=NEW), "ada"
    ),
    "request_password_reset": Deed("SEND_RESET", given(email="ada@example.org")),
    "reset_password": Deed("PASSWORD_RESET", reset),
    "begin_second_factor": Deed("SECOND_FACTOR_BEGIN", given(current_password=PASSWORD), "ada"),
    "confirm_second_factor": Deed("SECOND_FACTOR_ADD", begun, "ada"),
    "renew_recovery_codes": Deed("RECOVERY_CODES_RENEW", both, "ada"),
    "remove_second_factor": Deed("SECOND_FACTOR_REMOVE", both, "ada"),
    "remove_lost_second_factor": Deed("SECOND_FACTOR_REMOVE", lost, "root"),
    "revoke_session": Deed("REVOKE_SESSION", nothing, "ada"),
    "make_api_key": Deed("CREATE", given(name="k", scopes=["read"]), "ada"),
    "revoke_api_key": Deed("DELETE", nothing, "ada"),
    "change_user": Deed("UPDATE", given(tier="premium"), "root"),
    "sign_out_user": Deed("SIGN_OUT", nothing, "root"),
    "datamanager_invite": Deed("INVITE", invitation, "ada"),
    "invite_account_member": Deed("INVITE", given(email="new@example.org"), "ada"),
}

FAILURES: Mapping[str, Deed] = {
    **{
        name: Deed("LOGIN_FAILED", lambda _: {"username": "ada", "password": "wrong, 99"})
        for name in ("login", "insighthub_login", "learnflow_login")
    },
    **{
        name: Deed("LOGIN_FAILED", lambda _: {"email": "ada@example.org", "password": "wrong, 99"})
        for name in ("datamanager_login", "jobprocessing_login")
    },
    "open_browser_session": Deed(
        "LOGIN_FAILED", given(username="ada", password="wrong, 99"), headers=PAGE
    ),
    **{
        name: Deed("VERIFY_EMAIL_FAILED", given(email="una@example.org", otp="000000"))
        for name in ("verify_email", "jobprocessing_verify_otp", "jobprocessing_verify_email")
    },
    "resend_otp": Deed("SEND_OTP_REFUSED", given(email="nobody@example.org")),
    "request_password_reset": Deed("SEND_RESET_REFUSED", given(email="nobody@example.org")),
    "reset_password": Deed(
        "PASSWORD_RESET_FAILED", given(email="ada@example.org", otp="000000", password=NEW)
    ),
    "change_password": Deed(
        "PASSWORD_PROOF_FAILED", given(current_password="wrong, 99", password=NEW), "ada"
    ),
    "begin_second_factor": Deed(
        "PASSWORD_PROOF_FAILED", given(current_password="wrong, 99"), "ada"
    ),
    "confirm_second_factor": Deed("SECOND_FACTOR_FAILED", wrong_code, "ada"),
    "renew_recovery_codes": Deed("SECOND_FACTOR_FAILED", both_wrong, "ada"),
    "remove_second_factor": Deed("SECOND_FACTOR_FAILED", both_wrong, "ada"),
    "change_me": Deed(
        "PASSWORD_PROOF_FAILED", given(current_password="wrong, 99", email="x@example.org"), "ada"
    ),
    "datamanager_change_user": Deed(
        "PASSWORD_PROOF_FAILED", given(current_password="wrong, 99", password=NEW), "ada"
    ),
    **{
        name: Deed("CREDENTIAL_REFUSED", given(refresh="x.y.z"))
        for name in ("refresh", "insighthub_refresh", "learnflow_refresh")
    },
    **{
        name: Deed("DENIED", nothing, "ada")
        for name in ("change_user", "sign_out_user", "remove_lost_second_factor")
    },
    "datamanager_invite": Deed("DENIED", theirs, "bob"),
}


def audited(api: ApiFixture, said: str) -> list[Any]:
    with api.store.view() as tx:
        return [one for one in tx.audit.latest(limit=1000) if one.action == said]


def done(api: ApiFixture, name: str, deed: Deed) -> int:
    operation = ALL[name]
    path = operation.path.format(**names_for(api, operation))
    body = deed.body(api)
    before = len(audited(api, deed.said))
    answer = api.call(operation.method, path, deed.caller, body, headers=dict(deed.headers))
    assert len(audited(api, deed.said)) in {before, before + 1}
    return int(answer.status_code)


def test_every_route_that_changes_an_account_is_covered() -> None:
    assert set(SUCCESSES) == set(WRITING)


@pytest.mark.parametrize("name", SUCCESSES)
def test_a_successful_request_is_audited(api: ApiFixture, name: str) -> None:
    deed = SUCCESSES[name]
    if name == "close_browser_session":
        page = make_page(api, HTTP)
        page.login()
        assert page.ask("DELETE", ALL[name].path).status_code == 204
    else:
        assert done(api, name, deed) in {200, 201, 204}
    entry = audited(api, deed.said)[0]
    assert entry.address == "127.0.0.1" and entry.request_id
    for secret in (PASSWORD, NEW):
        assert secret not in str(entry)


@pytest.mark.parametrize("name", FAILURES)
def test_repeated_failures_are_audited_once(api: ApiFixture, name: str) -> None:
    deed = FAILURES[name]
    for _ in range(5):
        assert done(api, name, deed) in {200, 400, 401, 403}
    [entry] = audited(api, deed.said)
    for secret in (PASSWORD, NEW, "wrong, 99", "000000", "x.y.z"):
        assert secret not in str(entry)

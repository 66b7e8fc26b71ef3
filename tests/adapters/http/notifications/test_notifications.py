"""Notifications, preferences and unsubscribe links over HTTP."""

from typing import Any

import pytest

from tests.adapters.http.conftest import KEY, ApiFixture
from workbell.domain.notifications.notice import Notice, NoticeKind, Notification
from workbell.domain.notifications.unsubscribe import (
    EmailCategory,
    UnsubscribeTokens,
    Unsubscription,
)
from workbell.services.notifications.dispatch import Notifier

LIST = "/api/v1/notifications"
PREFERENCES = "/api/v1/notification-preferences"
LINK = "/api/v1/unsubscribe/"
EMAIL = {
    "assignment": True, "mention": True, "comment": False, "status": False, "sla_warning": True,
    "sla_breach": True, "sla_escalation": True, "daily_summary": False,
}  # fmt: skip
IN_APP = {**dict.fromkeys(EMAIL, True), "reminder": True}
DEFAULTS = {
    "reminders": True,
    "reminder_time": None,
    "daily_summary_time": None,
    "email": EMAIL,
    "in_app": IN_APP,
}


def notify(api: ApiFixture, *names: str, key: str = "k", **fields: Any) -> list[Notification]:
    values: dict[str, Any] = {
        "kind": NoticeKind.MENTION,
        "title": "<b>Door</b>",
        "actor_id": api.users["root"].id,
    }
    recipients = [api.users[name].id for name in names]
    with api.store.begin() as tx:
        notice = Notice(key=key, recipients=recipients, **values | fields)
        return list(Notifier(clock=api.clock).notify(tx, notice))


def test_a_user_sees_their_own_notifications_newest_first(api: ApiFixture) -> None:
    (first,) = notify(api, "ada", project_id=3, object_id=7, data={"path": "/tasks/7"})
    notify(api, "ada", key="second", kind=NoticeKind.STATUS)
    notify(api, "bob", key="third")

    page = api.get(LIST).json
    assert page["count"] == 2
    newest, oldest = page["results"]
    assert (newest["kind"], newest["mail"]) == ("status", {"state": "none", "reason": None})
    assert oldest == {
        "id": first.id,
        "kind": "mention",
        "title": "<b>Door</b>",
        "project": 3,
        "object_id": 7,
        "actor": api.users["root"].id,
        "data": {"path": "/tasks/7"},
        "mail": {"state": "pending", "reason": None},
        "created_at": "2026-05-04T12:00:00Z",
        "read_at": None,
    }


def test_pages_are_by_number_or_by_cursor(api: ApiFixture) -> None:
    for number in range(5):
        notify(api, "ada", key=str(number), object_id=number)
    second = api.get(f"{LIST}?page=2&page_size=2").json
    assert [each["object_id"] for each in second["results"]] == [2, 1]
    found, path = [], f"{LIST}?page_size=2&cursor="
    while path:
        page = api.get(path.removeprefix("http://localhost")).json
        found += [each["object_id"] for each in page["results"]]
        path = page["next"]
    assert found == [4, 3, 2, 1, 0]


def test_unread_notifications_are_marked_as_read(api: ApiFixture) -> None:
    rows = [notify(api, "ada", "bob", key=str(number)) for number in range(3)]
    (ada, bob) = rows[0]
    assert api.post(f"{LIST}/read", json={"ids": [ada.id, bob.id]}).json == {"marked": 1}
    assert api.get(f"{LIST}?unread=true").json["count"] == 2
    (read,) = api.get(f"{LIST}?unread=false").json["results"]
    assert (read["id"], read["read_at"]) == (ada.id, "2026-05-04T12:00:00Z")
    assert api.post(f"{LIST}/read", json={}).json == {"marked": 2}
    assert api.get(f"{LIST}?unread=true").json["count"] == 0
    assert api.get(f"{LIST}?unread=true", "bob").json["count"] == 3
    for wrong in ({"ids": ["x"]}, {"ids": list(range(501))}):
        refused = api.post(f"{LIST}/read", json=wrong)
        assert refused.status_code == 400
        assert any(name.startswith("ids") for name in refused.json["field_errors"])


def test_preferences_belong_to_the_caller(api: ApiFixture) -> None:
    assert api.get(PREFERENCES).json == DEFAULTS
    wanted = {
        **DEFAULTS,
        "reminder_time": "07:45",
        "daily_summary_time": "18:00",
        "email": {**EMAIL, "mention": False, "daily_summary": True},
        "in_app": {**IN_APP, "reminder": False},
    }
    assert api.call("PUT", PREFERENCES, "ada", wanted).json == wanted
    assert api.get(PREFERENCES).json == wanted
    assert api.get(PREFERENCES, "bob").json == DEFAULTS


def test_omitted_preferences_are_reset_to_their_defaults(api: ApiFixture) -> None:
    api.call("PUT", PREFERENCES, "ada", {**DEFAULTS, "email": dict.fromkeys(EMAIL, False)})
    partial = api.call("PUT", PREFERENCES, "ada", {"email": {"comment": True}}).json
    assert partial == {**DEFAULTS, "email": {**EMAIL, "comment": True}}
    assert api.call("PUT", PREFERENCES, "ada", {}).json == DEFAULTS


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"reminder_time": "07:50"}, "reminder_time"),
        ({"reminder_time": "24:00"}, "reminder_time"),
        ({"daily_summary_time": "7:30"}, "daily_summary_time"),
        ({"reminders": "yes"}, "reminders"),
        ({"email": {"comment": 1}}, "email.comment"),
        ({"email": {"reminder": True}}, "email.reminder"),
        ({"in_app": {"other": True}}, "in_app.other"),
        ({"in_app": None}, "in_app"),
    ],
)
def test_a_wrong_preference_is_named(api: ApiFixture, wrong: dict[str, Any], field: str) -> None:
    refused = api.call("PUT", PREFERENCES, "ada", wrong)
    assert refused.status_code == 400
    assert list(refused.json["field_errors"]) == [field]
    assert api.get(PREFERENCES).json == DEFAULTS


def find_link(api: ApiFixture, caller: str, category: EmailCategory) -> str:
    """Return the path of the unsubscribe link in an email."""
    token = UnsubscribeTokens([KEY]).make(Unsubscription(api.users[caller].id, category))
    return f"{LINK}{token}"


@pytest.mark.parametrize("category", EmailCategory)
def test_post_unsubscribes_and_get_changes_nothing(
    api: ApiFixture, category: EmailCategory
) -> None:
    link = find_link(api, "ada", category)
    wanted = {**DEFAULTS, "email": dict.fromkeys(EMAIL, True)}
    api.call("PUT", PREFERENCES, "ada", wanted)
    shown = api.get(link, None, headers={"Accept": "text/html,*/*"})
    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    assert "form-action 'self'" in shown.headers["content-security-policy"]
    assert '<form method="post">' in shown.text
    assert api.get(link, None).json == {"category": category, "unsubscribed": False}
    assert api.get(PREFERENCES).json == wanted

    click: dict[str, Any] = {
        "body": "List-Unsubscribe=One-Click",
        "headers": {"Content-Type": "application/x-www-form-urlencoded"},
    }
    for _ in range(2):
        done = api.post(link, None, **click)
        assert (done.status_code, done.json["unsubscribed"]) == (200, True)
    off = set(EMAIL) | {"reminders"} if category is EmailCategory.ALL else {str(category)}
    assert api.get(PREFERENCES).json == {
        **wanted,
        "reminders": "reminders" not in off,
        "email": {name: name not in off for name in EMAIL},
    }
    assert api.get(PREFERENCES, "bob").json == DEFAULTS
    page = api.post(link, None, headers={"Accept": "text/html"})
    assert f"no more {category.label}." in page.text


def test_a_tampered_link_is_404(api: ApiFixture) -> None:
    link = find_link(api, "ada", EmailCategory.MENTION)
    other_user = link.replace(f"-{api.users['ada'].id}-", f"-{api.users['bob'].id}-")
    other_kind = link.replace("mention", "all")
    for wrong in (other_user, other_kind, link[:-1], f"{LINK}x", f"{LINK}reminders-1-%00"):
        for method in ("GET", "POST"):
            assert api.call(method, wrong, None).status_code == 404
    assert api.get(PREFERENCES).json == DEFAULTS
    assert api.get(PREFERENCES, "bob").json == DEFAULTS

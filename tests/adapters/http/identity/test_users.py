"""User administration over HTTP."""

from tests.adapters.http.conftest import ApiFixture
from workbell.domain.identity.user import Role

BASE = "/api/v1/users"


def test_users_are_listed_filtered_and_ordered(api: ApiFixture) -> None:
    everybody = api.get(BASE, "root").json
    assert (everybody["count"], everybody["results"][0]["username"]) == (4, "ada")
    assert "password" not in str(everybody)
    for query, names in {
        "is_super_user=true": ["root"],
        "is_email_verified=false": ["una"],
        "role=ADMIN": ["root"],
        "tier=free&ordering=-username": ["una", "root", "bob", "ada"],
        "search=BO": ["bob"],
        "email=ADA@example.org": ["ada"],
        "is_active=false": [],
        "page=2&page_size=3": ["root"],
    }.items():
        found = api.get(f"{BASE}?{query}", "root")
        assert [one["username"] for one in found.json["results"]] == names, query
    for query in ("role=KING", "ordering=password_hash", "nonsense=1", "is_active=perhaps"):
        assert api.get(f"{BASE}?{query}", "root").status_code == 400
    assert api.get(f"{BASE}?page=9", "root").status_code == 404


def test_a_change_of_a_user_takes_effect_immediately(api: ApiFixture) -> None:
    path = f"{BASE}/{api.users['ada'].id}"
    assert api.get(path, "root").json["username"] == "ada"
    premium = api.call("PATCH", path, "root", {"tier": "premium"})
    assert premium.json["tier"] == "premium"
    assert api.get("/api/v1/auth/users/me").status_code == 200
    off = api.call("PATCH", path, "root", {"is_active": False})
    assert off.json["is_active"] is False
    assert api.get("/api/v1/auth/users/me").status_code == 401


def test_a_demoted_superuser_loses_access(api: ApiFixture) -> None:
    api.join("second", is_super_user=True)
    assert api.get(BASE, "second").status_code == 200
    path = f"{BASE}/{api.users['second'].id}"
    assert api.call("PATCH", path, "root", {"is_super_user": False}).status_code == 200
    assert api.get(BASE, "second").status_code == 401


def test_superusers_cannot_demote_themselves(api: ApiFixture) -> None:
    path = f"{BASE}/{api.users['root'].id}"
    assert api.call("PATCH", path, "root", {"is_super_user": False}).status_code == 409


def test_a_platform_role_does_not_permit_user_administration(api: ApiFixture) -> None:
    api.join("chief", role=Role.ADMIN)
    assert api.get(BASE, "chief").status_code == 403


def test_an_unknown_user_is_404(api: ApiFixture) -> None:
    assert api.get(f"{BASE}/999", "root").status_code == 404
    assert api.call("PATCH", f"{BASE}/999", "root", {"tier": "free"}).status_code == 404
    assert api.call("PATCH", f"{BASE}/1", "root", {"is_active": "no"}).status_code == 400


def test_a_user_is_signed_out_of_all_sessions(api: ApiFixture) -> None:
    path = f"{BASE}/{api.users['ada'].id}/sign_out"
    assert api.post(path, "bob").status_code == 403
    assert api.post(path, "root").json == {"message": "Sessions ended: 1."}
    assert api.get("/api/v1/auth/users/me").status_code == 401
    assert api.post(f"{BASE}/999/sign_out", "root").status_code == 404

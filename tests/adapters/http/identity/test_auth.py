"""Registration, email verification and sign-in over HTTP."""

from tests.adapters.http.conftest import PASSWORD, ApiFixture

BASE = "/api/v1/auth"
NEW = {
    "username": "grace",
    "email": "grace@example.org",
    "password": "a compiler, 1952",
    "password_confirm": "a compiler, 1952",
}


def test_from_registering_to_a_verified_session(empty: ApiFixture) -> None:
    made = empty.post(f"{BASE}/users", None, NEW)
    assert made.status_code == 201
    assert "password" not in made.text
    assert (made.json["username"], made.json["role"]) == ("grace", "MEMBER")
    assert made.json["is_email_verified"] is False
    code = {"email": "grace@example.org", "otp": empty.mail.code()}
    verified = empty.post(f"{BASE}/verify-otp", None, code)
    assert (verified.status_code, list(verified.json)) == (200, ["message"])
    assert empty.post(f"{BASE}/verify-otp", None, code).status_code == 400
    login = {"email": "GRACE@example.org", "password": NEW["password"]}
    signed_in = empty.post(f"{BASE}/login", None, login)
    assert list(signed_in.json) == ["access", "refresh", "user"]
    empty.tokens["grace"] = signed_in.json["access"]
    me = empty.get(f"{BASE}/users/me", "grace")
    assert me.json == signed_in.json["user"]
    assert me.json["is_email_verified"] is True


def test_a_taken_name_is_a_field_error(api: ApiFixture) -> None:
    taken = api.post(f"{BASE}/users", None, {**NEW, "username": "ADA"})
    assert taken.status_code == 400
    assert list(taken.json["field_errors"]) == ["username"]
    assert taken.json["code"] == "taken"


def test_requesting_privileges_at_registration_names_the_field(empty: ApiFixture) -> None:
    for field, value in {"role": "ADMIN", "is_super_user": True}.items():
        refused = empty.post(f"{BASE}/users", None, {**NEW, field: value})
        assert list(refused.json["field_errors"]) == [field]
    assert empty.post(f"{BASE}/users", None, {**NEW, "tier": "premium"}).status_code == 201


def test_wrong_credentials_are_401(api: ApiFixture) -> None:
    for name in ("ada", "nobody"):
        wrong = api.post(f"{BASE}/login", None, {"username": name, "password": "wrong"})
        assert (wrong.status_code, wrong.json["code"]) == (401, "wrong_credentials")
        assert wrong.headers["www-authenticate"]
    nameless = api.post(f"{BASE}/login", None, {"password": PASSWORD})
    assert list(nameless.json["field_errors"]) == ["username"]


def test_refresh_tokens_rotate(api: ApiFixture) -> None:
    login = api.post(f"{BASE}/login", None, {"username": "ada", "password": PASSWORD}).json
    pair = api.post(f"{BASE}/refresh", None, {"refresh": login["refresh"]})
    assert list(pair.json) == ["access", "refresh"]
    assert pair.json["refresh"] != login["refresh"]
    wrong = api.post(f"{BASE}/refresh", None, {"refresh": login["access"]})
    assert wrong.status_code == 401
    assert api.post(f"{BASE}/refresh", None, {}).status_code == 400


def test_requesting_a_new_code_discloses_no_account(api: ApiFixture) -> None:
    answers = [
        api.post(f"{BASE}/resend-otp", None, {"email": f"{name}@example.org"})
        for name in ("ada", "una", "nobody")
    ]
    assert len({answer.text for answer in answers}) == 1
    assert {answer.status_code for answer in answers} == {200}
    assert [message.to for message in api.mail.messages] == ["una@example.org"]

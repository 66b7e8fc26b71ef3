"""LearnFlow: registration, sign-in and usernames."""

from tests.adapters.http.conftest import ApiFixture

NEW = {"username": "grace", "email": "grace@example.org", "password": "a compiler, 1952"}


def test_learnflow_registers_with_a_tier_and_signs_in(empty: ApiFixture) -> None:
    names = {"first_name": "Grace", "last_name": "Hopper", "tier": "free"}
    made = empty.post("/api/user/", None, {**NEW, **names})
    assert made.status_code == 201
    assert made.json == {"id": 1, "username": "grace", "email": NEW["email"], **names}
    body = {"username": "grace", "password": NEW["password"]}
    pair = empty.post("/api/token/", None, body)
    assert list(pair.json) == ["access", "refresh"]
    again = empty.post("/api/token/refresh/", None, {"refresh": pair.json["refresh"]})
    assert list(again.json) == ["access", "refresh"]
    empty.tokens["grace"] = again.json["access"]
    assert empty.get("/api/users/", "grace").json == ["grace"]
    assert empty.get("/api/users/", None).status_code == 401
    wrong = empty.post("/api/token/", None, {**body, "password": "wrong"})
    assert wrong.status_code == 401

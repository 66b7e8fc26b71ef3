"""LearnFlow: registration, sign-in and usernames."""

import pytest

from tests.adapters.http.conftest import ApiFixture
from workbell.adapters.http.compat import learnflow

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


def test_usernames_are_returned_1000_at_a_time(
    empty: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learnflow, "MAX_USERNAMES", 2)
    for name in ("ann", "ben", "cem"):
        person = {**NEW, "username": name, "email": f"{name}@example.org"}
        assert empty.post("/api/user/", None, person).status_code == 201
    login = {"username": "ann", "password": NEW["password"]}
    empty.tokens["ann"] = empty.post("/api/token/", None, login).json["access"]
    first = empty.get("/api/users/", "ann")
    assert first.json == ["ann", "ben"]
    link = first.headers["Link"]
    assert link.endswith('; rel="next"')
    second = empty.get(link[link.index("/api/") : link.index(">")], "ann")
    assert second.json == ["cem"]
    assert "Link" not in second.headers
    assert empty.get("/api/users/?cursor=nope!", "ann").status_code == 400

"""Every route that changes something leaves an audit entry with before and after."""

from pathlib import Path
from typing import Any

import pytest

from tests.adapters.http.conftest import ApiFixture, build_api
from tests.adapters.http.web import mutations
from tests.adapters.http.web.mutations import NO_MUTATIONS
from tests.adapters.http.web.project_mutations import PROJECT_MUTATIONS
from tests.adapters.http.web.test_audit_trail import SUCCESSES
from tests.adapters.http.web.test_permission_matrix import names_for
from workbell.adapters.http.app import make_operations

MUTATIONS = {**mutations.MUTATIONS, **PROJECT_MUTATIONS}
ALL = {one.name: one for one in make_operations(build_api(Path()).deps)}
CHANGING = {name for name, one in ALL.items() if one.method not in {"GET", "HEAD"}}


def entries(api: ApiFixture) -> list[Any]:
    with api.store.view() as tx:
        return list(tx.audit.latest(limit=1000))


def test_every_route_other_than_get_has_a_request_or_a_reason() -> None:
    """A new route needs an entry in `mutations.py`."""
    known = [*MUTATIONS, *NO_MUTATIONS, *SUCCESSES]
    assert len(known) == len(set(known))
    assert set(known) == CHANGING


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_change_leaves_one_entry_with_before_and_after(api: ApiFixture, name: str) -> None:
    mutation, operation = MUTATIONS[name], ALL[name]
    names = {} if name in PROJECT_MUTATIONS else dict(names_for(api, operation))
    names |= mutation.prepare(api, names) or {}
    body, before = mutation.body(api, names), len(entries(api))
    path = operation.path.format(**names)
    answer = api.call(operation.method, path, mutation.caller, body)
    assert answer.status_code in {200, 201, 202, 204}, answer.json

    new = entries(api)[: len(entries(api)) - before]
    kind = (mutation.action, mutation.model_name)
    [entry] = [one for one in new if (one.action, one.model_name) == kind]
    assert entry.user_id == api.users[mutation.caller].id
    assert entry.address == "127.0.0.1" and entry.request_id and entry.object_id
    assert entry.changes
    for values in entry.changes.values():
        assert len(values) == 2
    if mutation.action == "CREATE":
        assert any(old is None and new is not None for old, new in entry.changes.values())
    elif mutation.action in {"UPDATE", "DELETE"}:
        assert any(old != new for old, new in entry.changes.values())


@pytest.mark.parametrize("name", sorted(NO_MUTATIONS))
def test_a_route_without_entry_has_a_reason(name: str) -> None:
    assert NO_MUTATIONS[name].endswith(".")


def test_the_deletion_of_an_account_has_an_entry_for_each_destination(api: ApiFixture) -> None:
    account_id = api.account()["id"]
    urls = [api.destination(account_id)["url"] for _ in range(3)]
    assert api.call("DELETE", f"/api/v1/accounts/{account_id}", "ada").status_code == 204
    deleted = [one for one in entries(api) if one.action == "DELETE"]
    assert [one.model_name for one in deleted] == ["account", *["destination"] * 3]
    assert [one.changes["url"][0] for one in deleted[1:]] == urls
    assert len({one.request_id for one in deleted}) == 1


def test_secrets_in_parameters_do_not_reach_the_log(api: ApiFixture) -> None:
    secret = "hunter2-hunter2"
    parameters = {"request": {"headers": {"Authorization": secret}}, "api_key": secret, "n": 1}
    body = {"task_definition": "echo", "cron_expression": "0 9 * * *", "parameters": parameters}
    made = api.post("/api/v1/schedules", "ada", body)
    assert made.status_code == 201, made.json
    path = f"/api/v1/schedules/{made.json['id']}"
    changed = api.call("PATCH", path, "ada", {"parameters": {**parameters, "n": 2}})
    assert changed.status_code == 200, changed.json
    assert api.call("DELETE", path, "ada").status_code == 204
    assert secret not in str(entries(api))
    [update] = [one for one in entries(api) if one.action == "UPDATE"]
    assert [each["n"] for each in update.changes["parameters"]] == [1, 2]

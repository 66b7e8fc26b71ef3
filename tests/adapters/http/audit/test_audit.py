"""The audit log over HTTP: visible entries, verification, erasure."""

from datetime import timedelta
from urllib.parse import urlsplit

from attrs import evolve

from tests.adapters.http.conftest import KEY, ApiFixture, checkpoint_log
from workbell.domain.audit.checkpoint import CheckpointSigner
from workbell.domain.audit.entry import AuditEntry
from workbell.domain.audit.query import AuditFilter
from workbell.services.audit.sealing import AuditSealer

LOGS = "/api/v1/audit/logs"


def seal(api: ApiFixture) -> int:
    """Seal all entries, as a scheduler process does later."""
    api.clock.at += timedelta(minutes=1)
    log = checkpoint_log(api.files.folder)
    signer = CheckpointSigner.of([KEY])
    return AuditSealer(store=api.store, clock=api.clock, signer=signer, log=log).seal()


def test_an_entry_shows_who_did_what_from_where(api: ApiFixture) -> None:
    schedule = api.schedule()
    [entry] = api.get(f"{LOGS}?model_name=schedule").json["results"]
    ada = api.users["ada"].id
    assert entry["user"] == ada
    assert entry["user_detail"] == {
        "id": ada,
        "username": "ada",
        "email": "ada@example.org",
        "full_name": "ada",
    }
    assert (entry["action"], entry["object_id"]) == ("CREATE", str(schedule["id"]))
    assert entry["changes"]["cron_expression"] == [None, "0 9 * * *"]
    assert (entry["ip_address"], entry["is_erased"], entry["project"]) == ("127.0.0.1", False, None)
    assert entry["request_id"] and entry["user_agent"] and entry["timestamp"]


def test_users_read_their_own_entries_and_superusers_all(api: ApiFixture) -> None:
    api.schedule("ada")
    api.goal("bob")
    for name, models in {"ada": {"schedule"}, "bob": {"goal"}}.items():
        page = api.get(f"{LOGS}?page_size=100", name).json["results"]
        assert {one["user"] for one in page} == {api.users[name].id}
        assert {one["model_name"] for one in page} - {"session"} == models
    everything = api.get(f"{LOGS}?page_size=100", "root").json["results"]
    assert {one["user_detail"]["username"] for one in everything} >= {"ada", "bob"}
    ada = api.users["ada"].id
    assert api.get(f"{LOGS}?user={ada}", "bob").json["results"] == []
    assert api.get(f"{LOGS}?user={ada}&action=CREATE", "root").json["count"] == 1


def test_superusers_do_not_see_the_values_of_private_goals(api: ApiFixture) -> None:
    api.goal("bob", goal_name="Therapy")
    api.log(1, "bob", progress="Hard", logged_hours="01:00:00")
    own = api.get(f"{LOGS}?model_name=goal", "bob").json["results"]
    assert own[0]["changes"]["goal_name"] == [None, "Therapy"]
    for model in ("goal", "progress"):
        [entry] = api.get(f"{LOGS}?model_name={model}", "root").json["results"]
        assert "Therapy" not in str(entry) and "Hard" not in str(entry)
        for old, new in entry["changes"].values():
            assert (old, new) in {(None, None), (None, "********")}


def test_an_administrator_of_a_project_reads_its_entries(api: ApiFixture) -> None:
    ada, bob = api.users["ada"].id, api.users["bob"].id
    with api.store.begin() as tx:
        for project_id in (7, 8):
            tx.audit.add(
                AuditEntry(
                    user_id=bob,
                    action="UPDATE",
                    model_name="task",
                    object_id=str(project_id),
                    project_id=project_id,
                    at=api.clock.now(),
                )
            )
    log = evolve(
        api.deps.audit_log,
        administered_projects=lambda _, user_id: [7] if user_id == ada else [],
    )
    page, total = log.find(api.actor("ada"), AuditFilter(model_name="task"))
    assert ([one.entry.project_id for one in page], total) == ([7], 1)


def test_the_log_is_read_by_cursor_newest_first(api: ApiFixture) -> None:
    made = [api.goal(goal_name=f"Goal {n}")["goal_num"] for n in range(5)]
    assert made == [1, 2, 3, 4, 5]
    seen: list[str] = []
    path = f"{LOGS}?model_name=goal&page_size=2&cursor="
    while path:
        page = api.get(path).json
        assert "count" not in page
        seen += [one["changes"]["goal_name"][1] for one in page["results"]]
        path = page["next"] and f"{LOGS}?{urlsplit(page['next']).query}"
    assert seen == [f"Goal {n}" for n in range(4, -1, -1)]


def test_entries_of_a_period_are_found(api: ApiFixture) -> None:
    for n in range(3):
        api.goal(goal_name=f"Goal {n}")
        api.clock.at += timedelta(minutes=4)
    first, last = "2026-05-04T12:03:00Z", "2026-05-04T12:05:00Z"
    page = api.get(f"{LOGS}?model_name=goal&date_from={first}&date_to={last}").json
    assert [one["changes"]["goal_name"][1] for one in page["results"]] == ["Goal 1"]


def test_wrong_filters_are_named(api: ApiFixture) -> None:
    for query in ("user=0", "user=x", "date_from=yesterday", "colour=red", "cursor=!"):
        answer = api.get(f"{LOGS}?{query}")
        assert answer.status_code == 400
        assert query.split("=")[0] in str(answer.json)


def test_superusers_verify_the_log(api: ApiFixture) -> None:
    api.goal()
    sealed = seal(api)
    api.goal(goal_name="Not sealed yet")
    report = api.get("/api/v1/audit/verify", "root").json
    assert (report["is_intact"], report["verified"], report["fault"]) == (True, sealed, None)
    assert report["unsealed"] >= 1 and report["checkpoints"] == 1
    [checkpoint] = api.get("/api/v1/audit/checkpoints", "root").json["results"]
    assert checkpoint["seal_seq"] == sealed
    assert len(checkpoint["signature"]) == 64

    table = api.store._tables.audit
    row = table.rows[1]
    table.put(1, evolve(row, record=evolve(row.record, action="FORGED")))
    report = api.get("/api/v1/audit/verify", "root").json
    assert not report["is_intact"]
    assert (report["fault"]["seal_seq"], report["fault"]["id"]) == (1, 1)
    for path in ("verify", "checkpoints"):
        assert api.get(f"/api/v1/audit/{path}").status_code == 403


def test_superusers_erase_the_personal_data_of_a_user(api: ApiFixture) -> None:
    api.goal()
    seal(api)
    ada = api.users["ada"].id
    path = f"/api/v1/users/{ada}/personal-data"
    assert api.call("DELETE", path, "bob").status_code == 403
    erased = api.call("DELETE", path, "root")
    assert (erased.status_code, erased.json["erased"] >= 1) == (200, True)
    [entry] = api.get(f"{LOGS}?model_name=goal&user={ada}", "root").json["results"]
    assert (entry["is_erased"], entry["ip_address"], entry["user_agent"]) == (True, "", "")
    report = api.get("/api/v1/audit/verify", "root").json
    assert report["is_intact"] and report["erased"] >= 1
    [erasure] = api.get(f"{LOGS}?action=ERASE", "root").json["results"]
    assert (erasure["object_id"], erasure["ip_address"]) == (str(ada), "127.0.0.1")
    assert api.call("DELETE", "/api/v1/users/999/personal-data", "root").status_code == 404

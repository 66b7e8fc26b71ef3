"""Faults that users of comparable systems reported, over HTTP."""

from typing import Any

import pytest

from tests.adapters.http.conftest import ApiFixture
from tests.adapters.http.workspace import PROJECTS, TASKS, Workspace
from workbell.services.projects.notification_hooks import may_receive

SCRIPTS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](jAvAsCrIpT:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "<svg/onload=alert(1)>",
    "![x](javascript:alert(1))",
    "<a href='vbscript:x'>x</a>",
    '<mark onclick="alert(1)">x</mark>',
    "[x]: javascript:alert(1)\n[x]",
    "<javascript:alert(1)>",
]
ACTIVE = ("<script", "<img", "<svg", "<iframe", 'href="java', 'href="data', 'href="vb', "<mark on")


@pytest.fixture
def work(api: ApiFixture) -> Workspace:
    """Return ada's workspace: project 1 with the MEMBERS una and bob, board 1."""
    made = Workspace(api)
    made.board(made.project(una="MEMBER", bob="MEMBER"))
    return made


def kinds(api: ApiFixture, caller: str) -> list[str]:
    return [each["kind"] for each in api.get("/api/v1/notifications", caller).json["results"]]


def remove(api: ApiFixture, name: str) -> None:
    body = {"user_id": api.users[name].id}
    assert api.call("DELETE", f"{PROJECTS}/1/remove_member", "ada", body).status_code == 204


def test_a_removed_reporter_assignee_and_watcher_gets_no_more_notices(
    api: ApiFixture, work: Workspace
) -> None:
    task = Workspace(api, "bob").task(1, title="Plan")
    assert api.post(f"{TASKS}/{task}/watch", "bob").status_code == 200
    body = {"assignee_id": api.users["bob"].id}
    assert api.post(f"{TASKS}/{task}/assign", "una", body).status_code == 200
    assert kinds(api, "bob") == ["assignment"]
    remove(api, "bob")
    assert api.post(f"{TASKS}/{task}/move", "una", {"status": "TODO"}).status_code == 200
    Workspace(api, "una").comment(task, content="Secret @bob")
    overdue = {"due_date": "2020-01-01T00:00:00Z"}
    assert api.call("PATCH", f"{TASKS}/{task}", "una", overdue).status_code == 200
    assert api.get(f"{TASKS}/{task}").json["sla_breached"] is True
    assert kinds(api, "bob") == ["assignment"]
    assert "Secret" not in api.get("/api/v1/notifications", "bob").text


def test_removed_members_do_not_receive_mail_that_was_queued(
    api: ApiFixture, work: Workspace
) -> None:
    body = {"title": "Plan", "board": 1, "assignee": api.users["bob"].id}
    assert api.post(TASKS, "ada", body).status_code == 201
    with api.store.view() as tx:
        [notice], _ = tx.notices.list_page(api.users["bob"].id, limit=10)
    with api.store.view() as tx:
        assert may_receive(tx, api.users["bob"].id, notice)
    remove(api, "bob")
    with api.store.view() as tx:
        assert not may_receive(tx, api.users["bob"].id, notice)


@pytest.mark.parametrize(
    "text",
    [
        "park.", '"', "a:b", "C++", "NOT", "(" * 2_000, "AND OR NEAR", "*", "-", "-x", '""', "' OR 1=1",
        "\\", "%_", "a* b*", "^title", "{a b}", "title:x", "项目", "u\u0308ber", "\u200b", "𝔘", "x" * 9_999,
        "-" * 500, '"a', "status:TODO", "a OR", "<->", "a & b | !c", "+a -b >c <d ~e", "@8",
    ],
)  # fmt: skip
def test_no_search_text_is_an_error(api: ApiFixture, work: Workspace, text: str) -> None:
    work.task(1, title="park. C++ 新项目计划 über")
    for path in (TASKS, f"{TASKS}/export"):
        answer = api.get(path, params={"search": text})
        assert answer.status_code == 200, (text, answer.text[:300])


def test_two_characters_of_an_unspaced_title_and_composed_umlauts_are_found(
    api: ApiFixture, work: Workspace
) -> None:
    task = work.task(1, title="新しい項目を追加する", description="Gro\u0308ße")
    for text in ("項目", "追加", "größe"):
        found = api.get(TASKS, params={"search": text}).json["results"]
        assert [each["id"] for each in found] == [task], text


def test_500_tasks_of_one_bulk_edit_have_500_entries_of_one_request(
    api: ApiFixture, work: Workspace
) -> None:
    ids = [work.task(1) for _ in range(500)]
    body = {"ids": ids, "set": {"priority": "HIGH"}}
    answer = api.post(f"{TASKS}/bulk", "una", body)
    assert (answer.status_code, answer.json["changed"]) == (200, 500)
    with api.store.view() as tx:
        entries = [one for one in tx.audit.latest(limit=600) if one.action == "UPDATE"]
    assert {int(entry.object_id) for entry in entries} == set(ids)
    assert len(entries) == 500
    assert {entry.request_id for entry in entries} == {answer.headers["x-request-id"]}
    assert all(entry.changes["priority"] == ["MEDIUM", "HIGH"] for entry in entries)


def test_a_refused_write_leaves_no_trace_of_a_change(api: ApiFixture, work: Workspace) -> None:
    task = work.task(1)

    def entries() -> int:
        with api.store.view() as tx:
            return len([one for one in tx.audit.latest(limit=100) if one.action != "DENIED"])

    before = entries()
    path = f"{TASKS}/{task}"
    stale = {"If-Match": '"v9"'}
    refused: list[Any] = [
        api.call("PATCH", path, "una", {"title": "B"}, headers=stale),
        api.call("PATCH", path, "una", {"title": ""}),
        api.call("PATCH", path, "una", {"board": 99}),
        api.post(f"{path}/move", "una", {"before": 99}),
        api.post(f"{TASKS}/bulk", "una", {"ids": [task, 99], "set": {"priority": "LOW"}}),
        api.call("DELETE", path, "una"),
    ]
    assert {each.status_code for each in refused} == {400, 403, 409, 412}
    assert entries() == before


@pytest.mark.parametrize("text", SCRIPTS)
def test_scripts_are_inert_wherever_html_is_handed_out(
    api: ApiFixture, work: Workspace, text: str
) -> None:
    content = f"{text} word"
    task = work.task(1, title=content[:255].replace("\n", " "), description=content, labels=["<b>"])
    work.comment(task, content=content)
    shown = api.get(f"{TASKS}/{task}").json
    assert (shown["description"], shown["comments"][0]["content"]) == (content, content)
    [listed] = api.get(TASKS, params={"search": "word"}).json["results"]
    marks = listed["highlights"]
    for html in (
        shown["comments"][0]["content_html"], marks["title"], marks["description"], *marks["comments"],
    ):  # fmt: skip
        assert not [each for each in ACTIVE if each in html.lower()], html
    assert "<mark>word</mark>" in marks["title"]
    assert marks["comments"]

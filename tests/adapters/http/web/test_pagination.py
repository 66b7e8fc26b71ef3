"""Pagination by number and by cursor."""

import pytest

from tests.adapters.http.conftest import ApiFixture

BASE = "/api/v1/jobs"


def local(url: str) -> str:
    return url.removeprefix("http://localhost")


def test_links_traverse_all_pages_with_the_same_filters(api: ApiFixture) -> None:
    for _ in range(5):
        api.job()
    first = api.get(BASE, query_string="page_size=2&status=pending,running").json
    assert (first["count"], first["previous"]) == (5, None)
    second = api.get(local(first["next"])).json
    third = api.get(local(second["next"])).json
    assert third["next"] is None
    ids = [row["id"] for page in (first, second, third) for row in page["results"]]
    assert ids == [5, 4, 3, 2, 1]
    assert api.get(local(third["previous"])).json["results"] == second["results"]
    assert "status=pending%2Crunning" in first["next"]


def test_the_first_page_always_exists_and_pages_beyond_the_last_do_not(api: ApiFixture) -> None:
    for path in (BASE, "/api/v1/schedules", "/api/schedules", "/api/jobs", "/api/v1/workers"):
        empty = api.get(path, "root").json
        assert empty == {"count": 0, "next": None, "previous": None, "results": []}
        beyond = api.get(path, "root", query_string="page=2")
        assert (beyond.status_code, beyond.json["code"]) == (404, "not_found")
        assert api.get(path, "root", query_string=f"page={2**63 - 1}").status_code == 404


def test_a_page_has_twenty_entries_by_default_and_at_most_a_hundred(api: ApiFixture) -> None:
    for _ in range(101):
        api.job()
    assert len(api.get(BASE).json["results"]) == 20
    assert len(api.get(BASE, query_string="page_size=1000").json["results"]) == 100


def test_a_cursor_traverses_a_history_without_counting(api: ApiFixture) -> None:
    for _ in range(5):
        api.job()
    page = api.get(BASE, query_string="cursor=&page_size=2").json
    assert "count" not in page
    ids = [row["id"] for row in page["results"]]
    api.job()
    while page["next"]:
        page = api.get(local(page["next"])).json
        ids += [row["id"] for row in page["results"]]
    assert ids == [5, 4, 3, 2, 1]


@pytest.mark.parametrize("cursor", ["x", "MA", "LTE", "====", "OTk5OTk5OTk5OTk5OTk5OTk5OTk"])
def test_an_invalid_cursor_is_refused(api: ApiFixture, cursor: str) -> None:
    refused = api.get(BASE, query_string=f"cursor={cursor}")
    assert (refused.status_code, list(refused.json["field_errors"])) == (400, ["cursor"])


def test_a_cursor_cannot_be_combined_with_an_ordering(api: ApiFixture) -> None:
    refused = api.get(BASE, query_string="cursor=&ordering=name")
    assert list(refused.json["field_errors"]) == ["ordering"]

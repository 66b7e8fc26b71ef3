"""Schemathesis: generated requests never cause a 5xx response."""

import os
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error

from tests.adapters.http.conftest import PASSWORD, build_api
from tests.adapters.http.workspace import Workspace
from workbell.adapters.http.web.middleware import HttpSettings

API = build_api(Path("/nonexistent"), HttpSettings())
API.join("root", is_super_user=True)
API.schedule("root", is_active=False)
API.job("root")
API.goal("root")
API.log(1, "root")
API.account("root")
API.destination(1, "root")
API.publish(1, "root")
Workspace(API, "root").fill()
HEADERS = {"Host": "localhost", "Authorization": f"Bearer {API.tokens['root']}"}

CANONICAL = "^/api/v1/"

schema = schemathesis.openapi.from_wsgi("/api/schema/", API.client.app, headers=HEADERS)
# its requests with boundary values take more time than all others: WORKBELL_TEST_FULL=1
schema.config.phases.coverage.enabled = os.environ.get("WORKBELL_TEST_FULL") == "1"


def examples(most: int) -> settings:
    """Return settings for a number of deterministic requests per operation."""
    return settings(
        max_examples=most,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),  # pyright: ignore[reportArgumentType]
    )


def answer(case: Any) -> None:
    """Send the request as root; sign in again after a request that has signed out."""
    checked = case.call_and_validate(headers=HEADERS, checks=[not_a_server_error])
    if checked.status_code == 401:
        HEADERS["Authorization"] = f"Bearer {API.deps.login.login('root', PASSWORD).access}"


@pytest.mark.filterwarnings("ignore")
@schema.include(path_regex=CANONICAL).parametrize()
@examples(15)
def test_no_canonical_request_causes_a_server_error(case: Any) -> None:
    answer(case)


@pytest.mark.filterwarnings("ignore")
@schema.exclude(path_regex=CANONICAL).parametrize()
@examples(5)
def test_no_compatibility_request_causes_a_server_error(case: Any) -> None:
    """Fewer requests: most compatibility routes share the canonical code."""
    answer(case)

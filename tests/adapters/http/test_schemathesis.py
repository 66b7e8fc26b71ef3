"""Schemathesis: requests made up from the OpenAPI document, and no 5xx."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error

from workbell.adapters.http.face import FaceSettings

from .conftest import PASSWORD, build_world

WORLD = build_world(Path("/nonexistent"), FaceSettings())
WORLD.join("root", is_super_user=True)
WORLD.schedule("root", is_active=False)
WORLD.job("root")
WORLD.goal("root")
WORLD.log(1, "root")
HEADERS = {"Host": "localhost", "Authorization": f"Bearer {WORLD.tokens['root']}"}

schema = schemathesis.openapi.from_wsgi("/api/schema/", WORLD.client.app, headers=HEADERS)


@pytest.mark.filterwarnings("ignore")
@schema.parametrize()
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),  # pyright: ignore[reportArgumentType]
)
def test_no_request_is_answered_by_a_server_error(case: Any) -> None:
    token = WORLD.parts.signing_in.login("root", PASSWORD).access  # some requests sign out
    headers = {**HEADERS, "Authorization": f"Bearer {token}"}
    case.call_and_validate(headers=headers, checks=[not_a_server_error])

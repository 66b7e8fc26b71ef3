"""Clients of the tests."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from workbell.adapters.webhook_client.client import Urllib3WebhookClient

MakeClient = Callable[..., Urllib3WebhookClient]


@pytest.fixture
def make_client() -> Iterator[MakeClient]:
    made: list[Urllib3WebhookClient] = []

    def make(**options: Any) -> Urllib3WebhookClient:
        given: dict[str, Any] = {"user_agent": "Workbell/1.0", "allow_private": True}
        made.append(Urllib3WebhookClient(**given | options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: MakeClient) -> Urllib3WebhookClient:
    """Return a client that may connect to this host."""
    return make_client()

"""One client per process, with the settings of the installation."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from typing import Any

import pytest

from tests.adapters.webhook_client.receivers import answering, post, receiving
from workbell.domain.errors import Invalid
from workbell.domain.identity.actor import SYSTEM
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings
from workbell.services.jobs.requests import NewJob

pytestmark = pytest.mark.integration


@contextmanager
def application(**settings: Any) -> Iterator[Application]:
    with closing(build(Settings(database_url="memory://", **settings))) as built:
        built.migrate_and_register()
        yield built


def test_private_destinations_are_refused_unless_the_setting_allows_them() -> None:
    with receiving(answering()) as receiver:
        new = NewJob(task_definition="http.request", parameters={"url": receiver.url()})
        with application() as built:
            with pytest.raises(Invalid, match=r"parameters\.url"):
                built.jobs.create(SYSTEM, new)
            assert built.webhook_client.send(post(receiver.url())).error == "refused_address"
        with application(allow_private_destinations=True) as built:
            job, _ = built.jobs.create(SYSTEM, new)
            assert job.task == "http.request"
            assert built.webhook_client.send(post(receiver.url())).is_success
    (request,) = receiver.requests
    assert f"\r\nUser-Agent: Workbell/{version('workbell')}\r\n".encode() in request


@pytest.mark.parametrize("setting", ["port", "metrics_port"])
def test_the_ports_of_the_service_are_refused(setting: str) -> None:
    with receiving(answering()) as receiver:
        ports = {setting: receiver.port}
        with application(allow_private_destinations=True, **ports) as built:
            assert built.webhook_client.send(post(receiver.url())).error == "refused_address"
    assert receiver.connections == 0


def test_the_client_is_closed_with_the_application() -> None:
    with receiving(answering()) as receiver:
        with application(allow_private_destinations=True) as built:
            for _ in range(2):
                assert built.webhook_client.send(post(receiver.url())).is_success
            assert receiver.connections == 1
        built.webhook_client.send(post(receiver.url()))
        assert receiver.connections == 2

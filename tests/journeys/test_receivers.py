"""The receivers of the guide accept signed deliveries and refuse everything else."""

import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest
from attrs import define

from workbell.domain.delivery.event import MAX_DATA_BYTES
from workbell.domain.delivery.signature import format_secret, sign, signature_headers

pytestmark = pytest.mark.integration

GUIDE = Path(__file__).parents[2] / "docs/receiving-webhooks.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PORT = "9000"
PATIENCE = 20.0
KEY, NEW_KEY = bytes(range(32)), bytes(range(32, 64))
BODY = b'{ "f" : 1.0,"s":"\\/\xc3\xa9\\u00e9" }'


@define
class Receiver:
    """A running receiver and the file to which it writes what it processes."""

    port: int
    output: Path

    def send(
        self, headers: Mapping[str, str], body: bytes = b"", method: str = "POST", query: str = ""
    ) -> int:
        """Send a request and return the status of the response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, f"/webhooks{query}", body, dict(headers))
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()

    def processed(self) -> list[str]:
        """Return the ids of the webhooks that it has processed."""
        lines = self.output.read_text("utf-8").splitlines()
        return [line.removeprefix("processing ") for line in lines]


def program(language: str) -> str:
    """Return the server of the guide in a language."""
    blocks: list[tuple[str, str]] = BLOCK.findall(GUIDE.read_text("utf-8"))
    (found,) = [text for name, text in blocks if name == language and "WEBHOOK_SECRET" in text]
    return found


def interpreter(language: str) -> str:
    """Return the program that runs a language; skips the test if it is missing."""
    if language == "python":
        return sys.executable
    if (node := shutil.which("node")) is None:
        if "node" in os.environ.get("WORKBELL_TEST_REQUIRE", "").split(","):
            pytest.fail("required, but not installed: node")
        pytest.skip("not installed: node")
    return node


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a process listens on a port."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, "the receiver ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"the receiver does not listen after {PATIENCE:.0f} s")


@pytest.fixture(scope="module", params=["python", "javascript"])
def receiver(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Receiver]:
    """Run a server of the guide as printed, on a free port."""
    command, folder, port = interpreter(request.param), tmp_path_factory.mktemp("r"), free_port()
    script = folder / ("receiver.py" if request.param == "python" else "receiver.mjs")
    script.write_text(program(request.param).replace(PORT, str(port)), "utf-8")
    output, log = folder / "output", folder / "log"
    with output.open("wb") as stdout, log.open("wb") as stderr:
        process = subprocess.Popen(
            [command, script],
            cwd=folder,
            env=os.environ | {"WEBHOOK_SECRET": format_secret(KEY)},
            stdout=stdout,
            stderr=stderr,
        )
        try:
            wait_for(port, process)
            yield Receiver(port, output)
            assert process.poll() is None, log.read_text("utf-8")
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE)


def signed(
    message_id: str, payload: bytes, *, keys: tuple[bytes, ...] = (KEY,), age: int = 0
) -> dict[str, str]:
    """Return the headers with which a delivery is sent."""
    headers = signature_headers(keys, message_id, int(time.time()) - age, payload)
    return {"Content-Type": "application/json", **headers}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_delivery_with_a_body_is_accepted(receiver: Receiver, method: str) -> None:
    assert receiver.send(signed(f"evt_{method}", BODY), BODY, method) == 200
    assert receiver.processed()[-1] == f"evt_{method}"


def test_a_delivery_by_get_is_accepted_by_its_raw_query_string(receiver: Receiver) -> None:
    query = "source=shop&s=%C3%A9%20x&n=1.0&list=%5B1%2C2%5D&again=a?b"
    assert receiver.send(signed("evt_get", query.encode()), method="GET", query=f"?{query}") == 200
    assert receiver.send(signed("evt_none", b""), method="GET") == 200
    changed = query.replace("%20", "+")
    assert receiver.send(signed("evt_x", query.encode()), method="GET", query=f"?{changed}") == 400


def test_a_repeated_delivery_is_accepted_and_processed_once(receiver: Receiver) -> None:
    for _ in range(3):
        assert receiver.send(signed("evt_repeated", BODY), BODY) == 200
    assert receiver.processed().count("evt_repeated") == 1


def test_a_delivery_during_a_rotation_is_accepted(receiver: Receiver) -> None:
    """The receiver has the previous secret, whose signature is the second."""
    assert receiver.send(signed("evt_both", BODY, keys=(NEW_KEY, KEY)), BODY) == 200
    assert receiver.send(signed("evt_new", BODY, keys=(NEW_KEY,)), BODY) == 400


@pytest.mark.parametrize(("age", "status"), [(290, 200), (-290, 200), (310, 400), (-310, 400)])
def test_a_delivery_is_accepted_within_five_minutes(
    receiver: Receiver, age: int, status: int
) -> None:
    assert receiver.send(signed(f"evt_age{age}", BODY, age=age), BODY) == status


def test_the_largest_body_is_accepted(receiver: Receiver) -> None:
    body = b'"%b"' % (b"x" * (MAX_DATA_BYTES - 2))
    assert receiver.send(signed("evt_large", body), body) == 200
    assert receiver.send(signed("evt_larger", body + b" "), body + b" ") == 400


def test_a_changed_body_or_header_is_refused(receiver: Receiver) -> None:
    headers = signed("evt_changed", BODY)
    now = int(headers["webhook-timestamp"])
    signature = headers["webhook-signature"]
    assert receiver.send(headers, BODY.replace(b"1.0", b"1")) == 400
    assert receiver.send(headers | {"webhook-id": "evt_other"}, BODY) == 400
    for wrong in (str(now + 1), f"{now}.0", f"+{now}", "NaN", "", "9" * 400):
        assert receiver.send(headers | {"webhook-timestamp": wrong}, BODY) == 400
    for wrong in (signature.replace("v1,", "v1a,"), signature[3:], signature[:-1], "v1,", "", "v1"):
        assert receiver.send(headers | {"webhook-signature": wrong}, BODY) == 400
    assert "evt_changed" not in receiver.processed()


def test_a_missing_header_is_refused(receiver: Receiver) -> None:
    headers = signed("evt_missing", BODY)
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        assert receiver.send({k: v for k, v in headers.items() if k != name}, BODY) == 400
    assert receiver.send({}) == 400


def test_an_id_with_a_dot_is_refused(receiver: Receiver) -> None:
    """Otherwise a part of a signed body could be presented as a webhook of its own."""
    now = int(time.time())
    moved = signature_headers([KEY], f"evt.{now}", now, BODY)
    assert moved["webhook-signature"] == sign(KEY, "evt", now, b"%d.%b" % (now, BODY))
    assert receiver.send(moved, BODY) == 400


def test_a_receiver_survives_a_broken_request(receiver: Receiver) -> None:
    for half in (b"POST /webhooks HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf", b"\0\xff\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=PATIENCE) as broken:
            broken.sendall(half)
    assert receiver.send(signed("evt_after", BODY), BODY) == 200

"""A service in a process of its own, to be killed, and a client for it."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from attrs import define, field

HERE = Path(__file__).parent
PASSWORD = "correct-horse-battery"


class GoneError(Exception):
    """The service did not answer, or stopped answering half-way."""


@define
class Service:
    """`workbell up` on a scratch folder; its state outlives its processes."""

    folder: Path
    port: int
    environ: dict[str, str] = field(factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self, patience: float = 30.0) -> None:
        """Start the process and wait until it is ready."""
        environ = {
            **{k: v for k, v in os.environ.items() if not k.startswith("WORKBELL_")},
            "WORKBELL_DATA_DIR": str(self.folder / "data"),
            "WORKBELL_PORT": str(self.port),
            "WORKBELL_LEASE_SECONDS": "2",
            "WORKBELL_ADMIN_PASSWORD": PASSWORD,
            "WORKBELL_TASKS": "fault_tasks",
            "WORKBELL_RATE_LIMIT_ANON": "off",
            "WORKBELL_RATE_LIMIT_USER": "off",
            "WORKBELL_LOG_FILE": str(self.folder / "service.log"),
            "PYTHONPATH": str(HERE),
            **self.environ,
        }
        command = [sys.executable, "-m", "workbell", "up"]
        self.process = subprocess.Popen(
            command, env=environ, cwd=self.folder, stdout=subprocess.DEVNULL
        )
        until = time.monotonic() + patience
        while time.monotonic() < until:
            try:
                if self.call("GET", "/readyz")[0] == 200:
                    return
            except GoneError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.02)
        log = self.folder / "service.log"
        raise AssertionError(log.read_text() if log.exists() else "the service did not start")

    def kill(self) -> None:
        """End the process as the machine would: at once."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self, patience: float = 30.0) -> int:
        """Ask the process to stop, and return its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(patience)

    def call(
        self, method: str, path: str, body: Any = None, token: str | None = None
    ) -> tuple[int, Any]:
        """
        Return the status and the decoded body of one request.

        Raises:
            GoneError: There was no whole answer.
        """
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise GoneError(str(error)) from error
        finally:
            connection.close()
        kind = answer.getheader("Content-Type", "")
        return answer.status, json.loads(content) if content and "json" in kind else content

    def login(self, username: str = "admin") -> str:
        """Return an access token."""
        body = {"username": username, "password": PASSWORD}
        status, answer = self.call("POST", "/api/v1/auth/login", body)
        assert status == 200, answer
        return str(answer["access"])

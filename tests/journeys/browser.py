"""A headless Chromium, controlled by the DevTools protocol over pipes."""

import json
import os
import select
import shutil
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

PATIENCE = 30.0


@define
class Browser:
    """A headless browser with its events and network log."""

    process: subprocess.Popen[bytes]
    write_fd: int
    read_fd: int
    net_log: Path
    session: str | None = None
    last_id: int = 0
    unread: bytes = b""
    events: list[Mapping[str, Any]] = field(factory=list[Mapping[str, Any]])

    def send(self, method: str, **parameters: Any) -> Any:
        """Send a command; return its result; events received before are stored."""
        self.last_id += 1
        command = {"id": self.last_id, "method": method, "params": parameters}
        if self.session is not None:
            command["sessionId"] = self.session
        os.write(self.write_fd, json.dumps(command).encode() + b"\0")
        while (message := self._next()).get("id") != self.last_id:
            self.events.append(message)
        assert "error" not in message, message
        return message["result"]

    def _next(self) -> Mapping[str, Any]:
        while b"\0" not in self.unread:
            assert select.select([self.read_fd], [], [], PATIENCE)[0], "the browser sent no message"
            part = os.read(self.read_fd, 1 << 16)
            assert part, "the browser has ended"
            self.unread += part
        message, self.unread = self.unread.split(b"\0", 1)
        return dict(json.loads(message))

    def visit(self, address: str) -> None:
        """Open a page in a new tab."""
        self.session = None
        tab = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        for part in ("Runtime", "Log"):
            self.send(f"{part}.enable")
        self.send("Page.navigate", url=address)

    def run(self, script: str) -> Any:
        """Evaluate an expression on the page; return its value."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def text(self) -> str:
        """Return the visible text of the page."""
        return str(self.run("document.body ? document.body.innerText : ''"))

    def list_problems(self) -> Sequence[str]:
        """Return exceptions, errors and warnings, including policy violations."""
        found = []
        for event in self.events:
            about = event.get("params", {})
            level = about.get("entry", about).get("level", about.get("type"))
            if event["method"] == "Runtime.exceptionThrown" or level in {"error", "warning"}:
                found.append(json.dumps(about))
        return found

    def close(self) -> None:
        """Close the browser, which completes its network log."""
        self.session = None
        self.send("Browser.close")
        self.process.wait(PATIENCE)

    def list_requests(self) -> set[str]:
        """
        Return all URLs requested by pages and their workers.

        They are read from the network log of the closed browser; its own
        requests have no page as initiator.
        """
        events = json.loads(self.net_log.read_text())["events"]
        entries = [event.get("params", {}) for event in events]
        return {
            entry["url"]
            for entry in entries
            if "url" in entry and "://" in entry.get("initiator", "")
        }


@contextmanager
def open_browser(folder: Path) -> Generator[Browser]:
    """Open a browser with a new profile; skip if not installed, fail if required."""
    program = shutil.which("chromium")
    if program is None:
        if "chromium" in os.environ.get("WORKBELL_TEST_REQUIRE", "").split(","):
            pytest.fail("chromium is required")
        pytest.skip("chromium is not installed")
    net_log = folder / "net.json"
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--disable-extensions", "--no-proxy-server", "--remote-debugging-pipe",
        f"--user-data-dir={folder / 'profile'}", f"--log-net-log={net_log}",
    ]  # fmt: skip
    child_input, write_fd = os.pipe()
    read_fd, child_output = os.pipe()
    # Chromium reads commands from descriptor 3 and writes to 4
    shell = f'exec "$0" "$@" 3<&{child_input} 4>&{child_output}'
    process = subprocess.Popen(
        ["bash", "-c", shell, program, *options, "about:blank"],
        pass_fds=(child_input, child_output),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(child_input)
    os.close(child_output)
    try:
        yield Browser(process, write_fd, read_fd, net_log)
    finally:
        process.kill()
        process.wait()
        os.close(write_fd)
        os.close(read_fd)

"""A headless Chromium, driven through a pipe by the DevTools protocol."""

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
    """A browser without a window, and what it told of itself."""

    process: subprocess.Popen[bytes]
    to_it: int
    from_it: int
    net_log: Path
    session: str | None = None
    asked: int = 0
    unread: bytes = b""
    events: list[Mapping[str, Any]] = field(factory=list[Mapping[str, Any]])

    def ask(self, method: str, **parameters: Any) -> Any:
        """Return the result of a command; events that come before it are kept."""
        self.asked += 1
        command = {"id": self.asked, "method": method, "params": parameters}
        if self.session is not None:
            command["sessionId"] = self.session
        os.write(self.to_it, json.dumps(command).encode() + b"\0")
        while (message := self._next()).get("id") != self.asked:
            self.events.append(message)
        assert "error" not in message, message
        return message["result"]

    def _next(self) -> Mapping[str, Any]:
        while b"\0" not in self.unread:
            assert select.select([self.from_it], [], [], PATIENCE)[0], "the browser said nothing"
            part = os.read(self.from_it, 1 << 16)
            assert part, "the browser is gone"
            self.unread += part
        message, self.unread = self.unread.split(b"\0", 1)
        return dict(json.loads(message))

    def visit(self, address: str) -> None:
        """Open a page in a new tab."""
        self.session = None
        tab = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        for part in ("Runtime", "Log"):
            self.ask(f"{part}.enable")
        self.ask("Page.navigate", url=address)

    def run(self, script: str) -> Any:
        """Return the value of an expression on the page."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def text(self) -> str:
        """Return what the page shows now."""
        return str(self.run("document.body ? document.body.innerText : ''"))

    def complaints(self) -> Sequence[str]:
        """Return what was thrown, or logged as an error or a warning, refusals of policies too."""
        found = []
        for event in self.events:
            about = event.get("params", {})
            level = about.get("entry", about).get("level", about.get("type"))
            if event["method"] == "Runtime.exceptionThrown" or level in {"error", "warning"}:
                found.append(json.dumps(about))
        return found

    def close(self) -> None:
        """End the browser, which writes its log to the end."""
        self.session = None
        self.ask("Browser.close")
        self.process.wait(PATIENCE)

    def asked_by_pages(self) -> set[str]:
        """
        Return every address that a page, or a worker of one, has asked for.

        It is read from the closed browser's log of its network; what the
        browser asks for itself has no page as its initiator.
        """
        events = json.loads(self.net_log.read_text())["events"]
        told = [event.get("params", {}) for event in events]
        return {
            entry["url"] for entry in told if "url" in entry and "://" in entry.get("initiator", "")
        }


@contextmanager
def open_browser(folder: Path) -> Generator[Browser]:
    """Open a browser that nobody has used; skip, or fail where it is required."""
    program = shutil.which("chromium")
    if program is None:
        if "chromium" in os.environ.get("WORKBELL_TEST_REQUIRE", "").split(","):
            pytest.fail("chromium is required")
        pytest.skip("no chromium")
    net_log = folder / "net.json"
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--disable-extensions", "--no-proxy-server", "--remote-debugging-pipe",
        f"--user-data-dir={folder / 'profile'}", f"--log-net-log={net_log}",
    ]  # fmt: skip
    its_input, to_it = os.pipe()
    from_it, its_output = os.pipe()
    # it reads commands from 3 and writes to 4, wherever our ends are
    shell = f'exec "$0" "$@" 3<&{its_input} 4>&{its_output}'
    process = subprocess.Popen(
        ["bash", "-c", shell, program, *options, "about:blank"],
        pass_fds=(its_input, its_output),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(its_input)
    os.close(its_output)
    try:
        yield Browser(process, to_it, from_it, net_log)
    finally:
        process.kill()
        process.wait()
        os.close(to_it)
        os.close(from_it)

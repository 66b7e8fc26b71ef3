"""The documentation pages in a real browser."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.journeys.browser import Browser, open_browser
from tests.journeys.conftest import Client, eventually

PAGES = ("/api/docs/", "/api/schema/swagger-ui/", "/api/redoc/", "/api/schema/redoc/")
TRIED = "document.querySelector('#operations-operations-get_readiness')"


def scroll(browser: Browser) -> None:
    """Scroll by a screen, or back to the top: long lists render visible rows only."""
    browser.run(
        "scrollY + innerHeight < document.documentElement.scrollHeight - 1"
        " ? scrollBy(0, innerHeight) : scrollTo(0, 0)"
    )


def read_through(browser: Browser, lines: set[str]) -> None:
    """Scroll until all of these lines have been shown."""
    seen: set[str] = set()

    def is_read() -> bool:
        seen.update(browser.text().splitlines())
        scroll(browser)
        return lines <= seen

    eventually(is_read)


def try_an_operation(browser: Browser) -> None:
    """Execute an operation in Swagger UI and wait for the response."""

    def is_found() -> bool:
        found = bool(browser.run(f"{TRIED} !== null && ({TRIED}.scrollIntoView(), true)"))
        if not found:
            scroll(browser)
        return found

    eventually(is_found)
    for button in (".opblock-summary-control", ".try-out__btn", ".execute"):
        found = f"{TRIED}.querySelector('{button}')"
        eventually(lambda found=found: browser.run(f"{found} !== null"))  # type: ignore[misc]
        browser.run(f"{found}.click()")
    answer = f"{TRIED}.querySelector('.live-responses-table .response')?.innerText"
    assert str(eventually(lambda: browser.run(answer))).startswith("200")


@pytest.mark.integration
def test_every_operation_is_shown_without_external_requests(client: Client, tmp_path: Path) -> None:
    """There are no errors or warnings, and no request leaves this machine."""
    paths = client.get("/api/schema/")["paths"]
    summaries = {operation["summary"] for path in paths.values() for operation in path.values()}
    assert len(summaries) > 50
    with open_browser(tmp_path) as browser:
        for page in PAGES:
            browser.visit(f"http://localhost:{client.port}{page}")
            read_through(browser, summaries)
            if browser.run("'SwaggerUIBundle' in window"):
                try_an_operation(browser)
        assert browser.list_problems() == []
        browser.close()
        asked = {urlsplit(address) for address in browser.list_requests()}
    assert {address.netloc for address in asked} == {f"localhost:{client.port}"}
    assert {"/api/schema/", "/readyz"} <= {address.path for address in asked}

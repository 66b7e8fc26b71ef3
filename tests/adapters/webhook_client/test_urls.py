"""URLs are parsed strictly."""

import pytest

from workbell.adapters.webhook_client.urls import parse_url
from workbell.domain.errors import Invalid

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("url", "origin", "path"),
    [
        ("https://example.com", ("https", "example.com", 443), "/"),
        ("http://example.com/", ("http", "example.com", 80), "/"),
        ("HTTP://EXAMPLE.com:8080/A?b=C", ("http", "example.com", 8080), "/A?b=C"),
        ("https://example.com.?a=1", ("https", "example.com", 443), "/?a=1"),
        ("https://example.com/a%20b//..?x=/?&y", ("https", "example.com", 443), "/a%20b//..?x=/?&y"),
        ("https://my_host-1.internal/", ("https", "my_host-1.internal", 443), "/"),
        ("https://bücher.example/", ("https", "xn--bcher-kva.example", 443), "/"),
        ("https://BÜCHER.example./", ("https", "xn--bcher-kva.example", 443), "/"),
        ("https://xn--fa-hia.de/", ("https", "xn--fa-hia.de", 443), "/"),
        ("https://8.8.8.8/", ("https", "8.8.8.8", 443), "/"),
        ("https://8.8.8.8./", ("https", "8.8.8.8", 443), "/"),
        ("https://[2606:4700::1]:1/", ("https", "2606:4700::1", 1), "/"),
        ("https://[2606:4700:0:0::1]/", ("https", "2606:4700::1", 443), "/"),
        ("https://[::ffff:8.8.8.8]/", ("https", "8.8.8.8", 443), "/"),
        ("https://1e100.net/", ("https", "1e100.net", 443), "/"),
        ("https://a.0xg/", ("https", "a.0xg", 443), "/"),
    ],
)  # fmt: skip
def test_valid_urls_are_parsed(url: str, origin: tuple[str, str, int], path: str) -> None:
    target = parse_url(url)
    assert (target.origin, target.path) == (origin, path)
    assert (target.address is None) == any(letter in target.host for letter in "ghijklmnopq")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "begin with http"),
        ("example.com", "begin with http"),
        ("ftp://example.com/", "begin with http"),
        ("file:///etc/passwd", "begin with http"),
        ("http:/example.com", "begin with http"),
        ("http://", "have a host"),
        ("http:///a", "have a host"),
        ("http://?a", "have a host"),
        ("http://:80/", "have a host"),
        ("http://a:b:80/", "port only as a number"),
        ("http://a:/", "port only as a number"),
        ("http://a:+80/", "port only as a number"),
        ("http://a:٨٠/", "port only as a number"),
        ("http://a:0/", "port from 1"),
        ("http://a:65536/", "port from 1"),
        ("http://user@example.com/", "user name"),
        ("http://user:hunter2@example.com/", "user name"),
        ("http://@example.com/", "user name"),
        (" http://example.com/", "spaces"),
        ("http://example.com/a b", "spaces"),
        ("http://example.com/\n", "spaces"),
        ("http://exam\tple.com/", "spaces"),
        ("http://example.com\\a/", "backslashes"),
        ("http://example.com/\x7f", "control"),
        ("http://example.com/#a", "fragment"),
        ("http://example.com/ü", "percent-encoded"),
        ("http://example.com/?a=é", "percent-encoded"),
        ("http://a..b/", "valid host name"),
        ("http://-a.com/", "valid host name"),
        ("http://a-.com/", "valid host name"),
        ("http://a!b.com/", "valid host name"),
        ("http://a%2eb.com/", "valid host name"),
        ("http://.../", "valid host name"),
        (f"http://{'a' * 64}.com/", "valid host name"),
        (f"http://{'a.' * 130}com/", "valid host name"),
        ("http://faß.de/", "xn-- form"),
        ("http://ex\u00adample.com/", "xn-- form"),
        ("http://℀.com/", "xn-- form"),
        ("http://a\u200d.com/", "xn-- form"),
        (f"http://{'ü' * 64}.com/", "xn-- form"),
        ("http://[]/", "have a host"),
        ("http://[1.2.3.4]/", "IPv6"),
        ("http://[v1.a]/", "IPv6"),
        ("http://[2606:4700::1%1]/", "zone"),
        ("http://1.2.3/", "four decimal numbers"),
        ("http://a.1/", "four decimal numbers"),
        ("http://1.2.3.04/", "four decimal numbers"),
        ("http://0x8.8.8.8/", "four decimal numbers"),
    ],
)
def test_invalid_urls_are_refused(url: str, message: str) -> None:
    with pytest.raises(Invalid, match=message) as caught:
        parse_url(url)
    assert list(caught.value.field_errors) == ["url"]
    assert "hunter2" not in caught.value.detail

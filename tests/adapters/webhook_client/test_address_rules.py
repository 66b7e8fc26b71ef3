"""The table of addresses that must not be reached, at saving and at dialling."""

from ipaddress import ip_address
from typing import Any

import pytest

from tests.adapters.webhook_client.conftest import MakeClient
from tests.adapters.webhook_client.receivers import (
    OK,
    Connection,
    ScriptedResolver,
    answering,
    post,
    receiving,
)
from workbell.adapters.webhook_client import client as client_module
from workbell.adapters.webhook_client.addresses import IpAddress, refusal
from workbell.domain.errors import Invalid

LITERALS = [
    # this network, loopback, private, shared, link-local, metadata
    "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254", "10.0.0.1", "10.255.255.255",
    "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255", "100.64.0.1",
    "100.100.100.200", "100.127.255.255", "169.254.0.1", "169.254.169.254", "168.63.129.16",
    # protocol assignments, documentation, relays, benchmarking, multicast, reserved
    "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255",
    # IPv6
    "[::]", "[::1]", "[100::1]", "[2001:10::1]", "[2001:20::1]", "[2001:2::1]", "[2001:db8::1]",
    "[3fff::1]", "[5f00::1]", "[fc00::1]", "[fd00:ec2::254]", "[fe80::1]", "[fec0::1]",
    "[ff02::1]", "[4000::1]", "[1::1]",
    # IPv4 in IPv6: mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]",
    "[::127.0.0.1]", "[::7f00:1]", "[::169.254.169.254]", "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b::10.0.0.1]",
    "[64:ff9b:1::127.0.0.1]", "[64:ff9b:1::8.8.8.8]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]",
    "[2002:808:808::1]", "[2001:0:7f00:1::1]", "[2001::80ff:fffe]", "[2001:0:808:808::5601:5601]",
    "[2001:470:1f00::5efe:10.0.0.1]", "[2001:470:1f00::200:5efe:a9fe:a9fe]",
]  # fmt: skip
SPELLINGS = [
    "2130706433", "0x7f000001", "017700000001", "127.1", "127.0.1", "0177.0.0.1", "0x7f.0.0.1",
    "0x7f.1", "127.0.0.1.", "127.0.0.01", "１２７.0.0.1", "127。0。0。1", "①②⑦.0.0.1", "0", "0x",
    "127.0.0.1%00", "%31%32%37.0.0.1", "[fe80::1%25eth0]", "[fe80::1%eth0]", "[::1", "::1",
    "[127.0.0.1]", "user@127.0.0.1", "127.0.0.1\\@example.com", "127.0.0.1\t", "127.0.0.1 ",
    "example.com@127.0.0.1", "127.0.0.1#@example.com", "256.1.1.1", "1.2.3.4.5", "localhost",
    "LOCALHOST", "localhost.", "app.localhost", "ｌocalhost",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8", "1.1.1.1", "9.255.255.255", "172.32.0.1", "100.128.0.1", "[2606:4700:4700::1111]",
    "[2a00:1450:4001::1]", "[::ffff:8.8.8.8]", "[64:ff9b::8.8.8.8]", "223.255.255.254",
]  # fmt: skip


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Record the addresses that are dialled; none can be reached."""
    found: list[tuple[str, int]] = []

    def refuse(address: IpAddress, port: int, _: float) -> Any:
        found.append((str(address), port))
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(client_module, "open_socket", refuse)
    return found


@pytest.mark.unit
@pytest.mark.parametrize("host", LITERALS)
def test_an_address_that_is_not_public_is_refused(
    host: str, make_client: MakeClient, dialled: list[Any]
) -> None:
    client = make_client(allow_private=False)
    with pytest.raises(Invalid, match="url"):
        client.check_url(f"http://{host}/")
    result = client.send(post(f"https://{host}:8443/hook"))
    assert (result.error, result.status_code, dialled) == ("refused_address", None, [])


@pytest.mark.unit
@pytest.mark.parametrize("host", SPELLINGS)
def test_another_notation_of_an_address_is_refused(
    host: str, make_client: MakeClient, dialled: list[Any]
) -> None:
    client = make_client(allow_private=False, resolver=ScriptedResolver([["127.0.0.1"]]))
    with pytest.raises(Invalid, match="url"):
        client.check_url(f"http://{host}/")
    assert client.send(post(f"http://{host}/")).error in {"invalid_url", "refused_address"}
    assert dialled == []


@pytest.mark.unit
@pytest.mark.parametrize("host", PUBLIC)
def test_a_public_address_is_dialled(
    host: str, make_client: MakeClient, dialled: list[tuple[str, int]]
) -> None:
    client = make_client(allow_private=False)
    client.check_url(f"http://{host}/")
    assert client.send(post(f"https://{host}/")).error == "connect_error"
    expected = ip_address(host.strip("[]").removeprefix("::ffff:"))
    assert dialled == [(str(expected), 443)]


# names


PRIVATE_ANSWERS = [
    ["10.1.2.3"],
    ["8.8.8.8", "192.168.1.1"],
    ["2606:4700::1111", "::1"],
    ["::ffff:127.0.0.1"],
    ["64:ff9b::a9fe:a9fe"],
    ["fe80::1%eth0"],
]


@pytest.mark.unit
@pytest.mark.parametrize("answer", PRIVATE_ANSWERS, ids=str)
def test_a_name_with_an_address_that_is_not_public_is_refused_whole(
    answer: list[str], make_client: MakeClient, dialled: list[Any]
) -> None:
    client = make_client(allow_private=False, resolver=ScriptedResolver([answer]))
    with pytest.raises(Invalid, match="public address"):
        client.check_url("http://hooks.example.test/")
    assert client.send(post("http://hooks.example.test/")).error == "refused_address"
    assert dialled == []


@pytest.mark.integration
@pytest.mark.parametrize(
    "changed", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"]], ids=str
)
def test_a_name_whose_answer_changes_after_saving_receives_nothing(
    changed: list[str], make_client: MakeClient
) -> None:
    resolver = ScriptedResolver([["8.8.8.8"], changed])
    client = make_client(allow_private=False, resolver=resolver)
    with receiving(answering()) as receiver:
        url = receiver.url(host="rebind.example.test")
        client.check_url(url)
        assert client.send(post(url)).error == "refused_address"
    assert (receiver.connections, receiver.requests) == (0, [])


@pytest.mark.integration
def test_a_name_is_resolved_once_per_request(make_client: MakeClient) -> None:
    resolver = ScriptedResolver([["127.0.0.1"], ["127.0.0.9"]])
    with receiving(answering()) as receiver:
        result = make_client(resolver=resolver).send(post(receiver.url(host="a.example.test")))
    assert (result.status_code, result.address, resolver.calls) == (200, "127.0.0.1", 1)


@pytest.mark.unit
def test_a_name_that_does_not_resolve_may_be_saved(make_client: MakeClient) -> None:
    failure = OSError(-2, "Name or service not known")
    client = make_client(allow_private=False, resolver=ScriptedResolver([failure]))
    client.check_url("https://later.example.test/")
    result = client.send(post("https://later.example.test/"))
    assert (result.error, result.detail) == ("dns_error", "Name or service not known")


@pytest.mark.unit
def test_a_name_without_addresses_is_a_failed_connection(make_client: MakeClient) -> None:
    client = make_client(allow_private=False, resolver=ScriptedResolver([[]]))
    assert client.send(post("https://empty.example.test/")).error == "connect_error"


# redirects


@pytest.mark.integration
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int, make_client: MakeClient) -> None:
    with receiving(answering()) as other:

        def redirect(connection: Connection) -> None:
            connection.read_request()
            location = other.url().encode()
            connection.send(
                b"HTTP/1.1 %d Moved\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n"
                % (status, location)
            )
            connection.wait()

        with receiving(redirect) as receiver:
            result = make_client().send(post(receiver.url()))
        assert (result.status_code, result.error, result.is_success) == (status, None, False)
        assert result.response_headers["location"] == other.url()
    assert (other.connections, other.requests) == (0, [])


# the setting, and the own address of the service


@pytest.mark.integration
def test_the_setting_lifts_the_check_of_addresses_and_nothing_else(
    make_client: MakeClient,
) -> None:
    client = make_client(allow_private=True)
    client.check_url("http://localhost/")
    client.check_url("http://10.0.0.1/")
    for url in ("ftp://localhost/", "http://2130706433/", "http://a@10.0.0.1/"):
        with pytest.raises(Invalid):
            client.check_url(url)
    with receiving(answering()) as receiver:
        assert client.send(post(receiver.url())).status_code == 200


@pytest.mark.integration
@pytest.mark.parametrize("own", ["127.0.0.1", "0.0.0.0", "[::]", "localhost"])
def test_the_address_of_the_service_itself_is_refused(own: str, make_client: MakeClient) -> None:
    with receiving(answering()) as receiver, receiving(answering()) as other:
        client = make_client(own_addresses=[(own, receiver.port)])
        result = client.send(post(receiver.url()))
        assert (result.error, receiver.connections) == ("refused_address", 0)
        assert client.send(post(other.url())).status_code == 200


@pytest.mark.unit
def test_an_address_of_another_host_with_the_same_port_is_not_the_own_one(
    make_client: MakeClient, dialled: list[tuple[str, int]]
) -> None:
    client = make_client(own_addresses=[("0.0.0.0", 80), ("::", 80), ("127.0.0.1", 80)])
    assert client.send(post("http://8.8.8.8/")).error == "connect_error"
    assert client.send(post("http://[2606:4700::1]/")).error == "connect_error"
    assert dialled == [("8.8.8.8", 80), ("2606:4700::1", 80)]


@pytest.mark.integration
def test_a_connection_that_leads_to_another_address_is_not_used(make_client: MakeClient) -> None:
    with receiving(answering(OK)) as receiver:
        result = make_client().send(post(receiver.url(host="0.0.0.0")))  # becomes 127.0.0.1
    assert (result.error, receiver.requests) == ("refused_address", [])


@pytest.mark.unit
def test_every_block_around_the_public_ones_is_covered() -> None:
    """Each refused network ends where it should."""
    outside = ["1.0.0.0", "11.0.0.0", "100.63.255.255", "128.0.0.0", "169.253.255.255"]
    outside += ["172.15.255.255", "192.0.1.0", "192.167.255.255", "198.17.255.255", "198.20.0.0"]
    outside += ["168.63.129.17", "2001:200::", "2003::", "3ffe:ffff::", "3fff:1000::"]
    assert {address: refusal(ip_address(address)) for address in outside} == dict.fromkeys(outside)

"""The client of destinations: resolve, vet, connect, send, read."""

import ssl
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from http.client import HTTPException
from time import monotonic
from typing import Final

from attrs import define, field

from workbell.adapters.logs import get_logger
from workbell.adapters.webhook_client.addresses import IpAddress, parse_address, refusal
from workbell.adapters.webhook_client.connections import (
    BoundedSocket,
    PinnedConnection,
    PinnedTlsConnection,
    RefusedAddress,
    ResponseTooLarge,
    is_local,
    make_tls_context,
    open_socket,
)
from workbell.adapters.webhook_client.keep_alive import IdlePool
from workbell.adapters.webhook_client.resolver import Resolver, SystemResolver
from workbell.adapters.webhook_client.responses import (
    clean_headers,
    is_persistent,
    read_snippet,
)
from workbell.adapters.webhook_client.trace import SendTrace
from workbell.adapters.webhook_client.urls import RequestTarget, parse_url
from workbell.domain.delivery.delivery import SendResult
from workbell.domain.delivery.destination import RESERVED_HEADERS
from workbell.domain.errors import Invalid
from workbell.ports.webhook_client import OutgoingRequest

CHECK_SECONDS: Final = 3.0
"""Time limit of name resolution when a URL is saved."""
MAX_TRIED: Final = 4
"""Addresses of a name that are tried until one accepts the connection."""
_STALE: Final = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
_FAILURES: Final = (OSError, HTTPException, ValueError, Invalid, RefusedAddress, ResponseTooLarge)

_log = get_logger(__name__)


@define(eq=False, kw_only=True)
class Urllib3WebhookClient:
    """
    Sends requests by urllib3, on connections to vetted addresses.

    `own_addresses` are the hosts and ports on which this service listens.
    `allow_private` lifts the check of addresses, but not that of the own ones.
    """

    user_agent: str
    allow_private: bool = False
    own_addresses: Collection[tuple[str, int]] = ()
    resolver: Resolver = field(factory=SystemResolver)
    tls: Callable[[], ssl.SSLContext] = make_tls_context
    _idle: IdlePool = field(factory=IdlePool, init=False)

    def check_url(self, url: str) -> None:
        """Check a URL before it is saved; see the port."""
        target = parse_url(url)
        if self.allow_private:
            return
        if target.is_local_name:
            raise Invalid.field("url", "must not be localhost or a name below it")
        try:
            addresses = self._resolve(target, CHECK_SECONDS)
        except OSError:
            return
        for address in addresses:
            if (reason := refusal(address)) is not None:
                message = f"must have a public address, and this one is not ({reason})"
                raise Invalid.field("url", message)

    def send(self, request: OutgoingRequest) -> SendResult:
        """Send a request; see the port."""
        trace = SendTrace(monotonic() + request.timeout_seconds)
        try:
            target = parse_url(request.url)
            addresses = self._vetted_addresses(target, trace)
            return self._exchange(target, addresses, request, trace)
        except _FAILURES as error:
            return trace.failure(error)
        except Exception as error:  # noqa: BLE001 - the port never raises
            _log.error("webhook_request_failed", exc_info=True)
            return trace.failure(error)

    def close(self) -> None:
        """Close the idle connections."""
        self._idle.close()

    @cached_property
    def _tls_context(self) -> ssl.SSLContext:
        return self.tls()

    def _resolve(self, target: RequestTarget, timeout: float) -> Sequence[IpAddress]:
        if target.address is not None:
            return (target.address,)
        return self.resolver.resolve(target.host, timeout)

    def _vetted_addresses(self, target: RequestTarget, trace: SendTrace) -> Sequence[IpAddress]:
        """Return the addresses to try; one that is refused refuses them all."""
        addresses = self._resolve(target, trace.remaining())
        if target.address is None:
            trace.leave()
        for address in addresses:
            if not self.allow_private and (reason := refusal(address)) is not None:
                raise RefusedAddress(f"the address is not public ({reason})")
            if self._is_own(address, target.port):
                raise RefusedAddress("the address is one of this service")
        return addresses[:MAX_TRIED]

    def _is_own(self, address: IpAddress, port: int) -> bool:
        return any(
            port == own_port and _is_bound_by(own_host, address)
            for own_host, own_port in self.own_addresses
        )

    def _exchange(
        self,
        target: RequestTarget,
        addresses: Sequence[IpAddress],
        request: OutgoingRequest,
        trace: SendTrace,
    ) -> SendResult:
        """Send on an idle connection or, if that turns out to be stale, on a new one."""
        connection = self._idle.take(target, addresses)
        if connection is not None:
            used = connection.sock
            try:
                return self._send_on(connection, target, request, trace)
            except _STALE:
                if used.received:
                    raise
        connection = self._connect(target, addresses, trace)
        return self._send_on(connection, target, request, trace)

    def _connect(
        self, target: RequestTarget, addresses: Sequence[IpAddress], trace: SendTrace
    ) -> PinnedConnection:
        connection = self._make_connection(target)
        trace.enter("connect")
        connection.address, connection.pinned = _open_first(addresses, target.port, trace)
        trace.address = str(connection.address)
        trace.leave()
        try:
            if target.scheme == "https":
                trace.enter("tls")
                connection.pinned.settimeout(trace.remaining())
                connection.connect()
                trace.leave()
            else:
                connection.connect()
        except BaseException:
            connection.pinned.close()  # without effect once TLS has taken it over
            connection.close()
            raise
        return connection

    def _make_connection(self, target: RequestTarget) -> PinnedConnection:
        if target.scheme == "https":
            return PinnedTlsConnection(target.host, target.port, ssl_context=self._tls_context)
        return PinnedConnection(target.host, target.port)

    def _send_on(
        self,
        connection: PinnedConnection,
        target: RequestTarget,
        request: OutgoingRequest,
        trace: SendTrace,
    ) -> SendResult:
        """Send a request on an open connection; then store it for reuse, or close it."""
        used, is_reusable = connection.sock, False
        trace.address = str(connection.address)
        trace.enter("first_byte")
        used.start(trace.deadline)
        headers = self._headers(request.headers)
        try:
            # a receiver may respond and close before it has read everything
            with suppress(ConnectionError):
                connection.request(request.method, target.path, request.body, headers)
                connection.flush()
            with connection.get_head() as response:
                trace.leave(used.first_byte_at)
                snippet, is_complete = read_snippet(response)
            is_reusable = is_complete and not used.is_dirty and is_persistent(response)
        finally:
            if is_reusable:
                self._idle.put(target, connection)
            else:
                connection.close()
        trace.end()
        return SendResult(
            status_code=response.status,
            address=trace.address,
            response_headers=clean_headers(response.headers),
            snippet=snippet,
            timings=trace.timings,
        )

    def _headers(self, given: Mapping[str, str]) -> dict[str, str]:
        own = {"Accept-Encoding": "identity", "User-Agent": self.user_agent}
        return own | {
            name: value for name, value in given.items() if name.lower() not in RESERVED_HEADERS
        }


def _open_first(
    addresses: Sequence[IpAddress], port: int, trace: SendTrace
) -> tuple[IpAddress, BoundedSocket]:
    """Connect to the first address that accepts; each gets its share of the time."""
    error: OSError = OSError("the name has no addresses")
    for n, address in enumerate(addresses):
        share = trace.remaining() / (len(addresses) - n)
        try:
            return address, open_socket(address, port, monotonic() + share)
        except OSError as failure:
            error = failure
    raise error


def _is_bound_by(host: str, address: IpAddress) -> bool:
    """Whether a listener on a host, as configured, may accept connections to an address."""
    try:
        own = parse_address(host.strip("[]"))
    except ValueError:
        return is_local(address)  # the host is a name of this host
    return is_local(address) if own.is_unspecified else own == address

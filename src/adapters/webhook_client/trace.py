"""The course of one request: its deadline, phases, timings and failure."""

import ssl
from http.client import HTTPException, LineTooLong
from time import monotonic
from typing import Final

from attrs import define, field

from workbell.adapters.webhook_client.connections import RefusedAddress, ResponseTooLarge
from workbell.adapters.webhook_client.responses import clean_line
from workbell.domain.delivery.delivery import SendResult
from workbell.domain.errors import Invalid

MAX_DETAIL: Final = 300
_PHASE_ERRORS: Final = {"dns": "dns_error", "connect": "connect_error", "tls": "tls_error"}
_PHASE_TIMEOUTS: Final = {
    "dns": "the name was not resolved in time",
    "connect": "no connection was established in time",
    "tls": "the TLS handshake did not end in time",
}


@define
class SendTrace:
    """
    Phase, address and timings of a request so far.

    `deadline` is a time of the monotonic clock. The phases are dns, connect, tls
    and first_byte; those that did not happen have no timing.
    """

    deadline: float
    phase: str = "dns"
    address: str = ""
    timings: dict[str, float] = field(factory=dict[str, float])
    _started_at: float = field(factory=monotonic, init=False)
    _phase_began_at: float = field(factory=monotonic, init=False)

    def remaining(self) -> float:
        """Return the seconds until the deadline; raises TimeoutError after it."""
        if (seconds := self.deadline - monotonic()) <= 0:
            raise TimeoutError
        return seconds

    def enter(self, phase: str) -> None:
        """Begin a phase."""
        self.phase, self._phase_began_at = phase, monotonic()

    def leave(self, at: float | None = None) -> None:
        """Record the duration of the phase, until now or a time."""
        ended_at = monotonic() if at is None else at
        self.timings[self.phase] = _milliseconds(ended_at - self._phase_began_at)

    def end(self) -> None:
        """Record the total duration."""
        self.timings["total"] = _milliseconds(monotonic() - self._started_at)

    def failure(self, error: Exception) -> SendResult:
        """Return the result of a request that failed in the current phase."""
        self.end()
        return SendResult(
            error=_error_class(error, self.phase),
            detail=clean_line(_detail(error, self.phase), MAX_DETAIL),
            address=self.address,
            timings=self.timings,
        )


def _error_class(error: Exception, phase: str) -> str:
    match error:
        case Invalid():
            return "invalid_url"
        case RefusedAddress():
            return "refused_address"
        case TimeoutError():
            return "timeout"
        case ssl.SSLError():
            return "tls_error"
        case OSError():
            return _PHASE_ERRORS.get(phase, "reset")
        case ResponseTooLarge() | LineTooLong():
            return "response_too_large"
        case HTTPException() if type(error) is HTTPException:  # too many headers
            return "response_too_large"
    return "protocol_error"


def _detail(error: Exception, phase: str) -> str:
    match error:
        case Invalid():
            return error.detail
        case TimeoutError():
            return _PHASE_TIMEOUTS.get(phase, "the response was not complete in time")
        case ssl.SSLCertVerificationError():
            return error.verify_message
        case OSError() if error.strerror:
            return error.strerror
    return str(error)


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1_000, 2)

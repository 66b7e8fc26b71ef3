"""The verification helper for receivers accepts valid webhooks and nothing else."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from email.message import Message
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

import workbell
from workbell.domain.delivery.signature import format_secret, signature_headers
from workbell.domain.delivery.signature import sign as sign_with_key
from workbell.webhooks import VerificationError, VerifiedWebhook, sign, verify

pytestmark = pytest.mark.unit

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
SECRET = format_secret(KEY)
NOW = datetime(2026, 11, 29, 12, 0, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
BODY = b'{"f" : 1.0, "s": "\xc3\xa9"}'
HEADERS = sign(SECRET, BODY, message_id="evt_1", now=NOW)
EXPECTED = VerifiedWebhook("evt_1", NOW)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def check(headers: Any = HEADERS, body: Any = BODY, **options: Any) -> VerifiedWebhook:
    """Verify at the time of sending."""
    arguments: dict[str, Any] = {"secret": SECRET, "now": NOW} | options
    return verify(headers=headers, body=body, **arguments)


def refuse(
    headers: Any = HEADERS, body: Any = BODY, *, match: str | None = None, **options: Any
) -> None:
    """Check that a webhook is refused, if given with a message that matches."""
    with pytest.raises(VerificationError, match=match):
        check(headers, body, **options)


def test_a_valid_webhook_has_its_id_and_time() -> None:
    assert check() == EXPECTED


def test_a_result_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        check().id = "evt_2"  # type: ignore[misc]


def test_the_secret_may_lack_its_prefix_and_the_body_may_be_text() -> None:
    assert check(body=BODY.decode(), secret=SECRET.removeprefix("whsec_")) == EXPECTED


@pytest.mark.parametrize("change", [str.upper, str.title, str.lower])
def test_header_names_may_have_any_letter_case(change: Callable[[str], str]) -> None:
    headers = {change(name): value for name, value in HEADERS.items()}
    assert check(headers | {"Content-Type": "application/json"}) == EXPECTED


def test_headers_may_be_those_of_http_server() -> None:
    headers = Message()
    for name, value in HEADERS.items():
        headers[name.title()] = value
    assert check(headers) == EXPECTED


def test_of_a_get_request_the_raw_query_string_is_the_payload() -> None:
    query = "source=shop&s=%C3%A9&n=1.0&list=%5B1%2C2%5D"
    headers = sign(SECRET, query, message_id="evt_1", now=NOW)
    assert check(headers, query) == check(headers, query.encode()) == EXPECTED
    refuse(headers, query.replace("%C3%A9", "é"))


@given(message_id=st.from_regex(r"[A-Za-z0-9_:-]{1,128}", fullmatch=True), body=TEXTS)
def test_a_webhook_signed_by_the_public_library_is_accepted(message_id: str, body: str) -> None:
    signature = Webhook(SECRET).sign(message_id, NOW, body)
    headers = {**HEADERS, "webhook-id": message_id, "webhook-signature": signature}
    assert check(headers, body) == VerifiedWebhook(message_id, NOW)


@given(body=TEXTS)
def test_the_public_library_accepts_what_sign_returns(body: str) -> None:
    """It parses the body as JSON, so the text is sent as a JSON string."""
    payload = json.dumps(body)
    assert Webhook(SECRET).verify(payload, sign(SECRET, payload)) == body


def test_one_of_several_signatures_is_enough() -> None:
    """In a rotation, receivers have the old or the new secret."""
    headers = signature_headers([OTHER_KEY, KEY], "evt_1", SECONDS, BODY)
    for secret in (SECRET, format_secret(OTHER_KEY)):
        assert check(headers, secret=secret) == EXPECTED
    refuse(headers, secret=format_secret(bytes(32)), match="No signature")


def test_only_signatures_of_version_1_count() -> None:
    signature = sign_with_key(KEY, "evt_1", SECONDS, BODY)
    content = signature.removeprefix("v1,")
    ed25519 = f"v1a,{content}"
    assert check({**HEADERS, "webhook-signature": f"{ed25519} {signature}"}) == EXPECTED
    for wrong in (ed25519, f"v2,{content}", f"V1,{content}", content, f"v1 {content}", "v1,", ""):
        refuse({**HEADERS, "webhook-signature": wrong}, match="No signature")


def test_any_change_of_id_time_or_body_is_refused() -> None:
    refuse({**HEADERS, "webhook-id": "evt_2"}, match="No signature")
    refuse({**HEADERS, "webhook-timestamp": str(SECONDS + 1)}, match="No signature")
    refuse(body=BODY + b" ", match="No signature")
    refuse(body=BODY.replace(b" ", b""), match="No signature")
    refuse(secret=format_secret(OTHER_KEY), match="No signature")


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_a_webhook_within_the_tolerance_is_accepted(seconds: int) -> None:
    assert check(now=NOW + timedelta(seconds=seconds)) == EXPECTED


@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
def test_a_webhook_from_another_time_is_refused(seconds: int) -> None:
    refuse(now=NOW + timedelta(seconds=seconds), match=f"{abs(seconds)} s from the current time")
    assert check(now=NOW + timedelta(seconds=seconds), tolerance_seconds=86_400) == EXPECTED


def test_the_current_time_may_be_in_any_zone_and_defaults_to_the_clock() -> None:
    assert check(now=NOW.astimezone(timezone(timedelta(hours=9)))) == EXPECTED
    refuse(now=NOW.replace(tzinfo=None), match="time zone")
    assert verify(SECRET, sign(SECRET, BODY), BODY).id == "evt_test"
    refuse(now=None)


def test_a_dot_in_the_id_is_refused_because_it_moves_the_signed_parts() -> None:
    """`evt_1` at 5 with the body `6.x` and `evt_1.5` at 6 with `x` have one signature."""
    headers = signature_headers([KEY], "evt_1", SECONDS, b"%d.x" % SECONDS)
    moved = {**headers, "webhook-id": f"evt_1.{SECONDS}"}
    assert sign_with_key(KEY, moved["webhook-id"], SECONDS, b"x") == headers["webhook-signature"]
    refuse(moved, b"x", match="without dots")


@pytest.mark.parametrize("name", HEADERS)
def test_each_header_is_required_once(name: str) -> None:
    refuse({k: v for k, v in HEADERS.items() if k != name}, match=f"{name} is missing")
    refuse({**HEADERS, name.upper(): HEADERS[name]}, match=f"{name} is missing, repeated")


@pytest.mark.parametrize(
    "value",
    [None, 1, b"v1", ["v1"], "", " ", "\0", "é", "\ud800", "x" * 1_000_000, "v1,===", "v1,\0", "."],
)
@pytest.mark.parametrize("name", HEADERS)
def test_a_malformed_header_is_refused(name: str, value: Any) -> None:
    refuse({**HEADERS, name: value})


@pytest.mark.parametrize(
    "timestamp",
    ["-1", "+1", "1.5", "1e9", "0x10", "007", " 1", "1_000", "١", "9" * 12, "9" * 10_000, "nan"],
)
def test_a_timestamp_that_is_no_plain_number_is_refused(timestamp: str) -> None:
    refuse({**HEADERS, "webhook-timestamp": timestamp}, match="timestamp")


def test_headers_of_another_kind_are_refused() -> None:
    """Such as the raw pairs of ASGI."""
    pairs = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
    for headers in (None, 7, "webhook-id", pairs, dict(pairs), dict, list(HEADERS.items())):
        refuse(headers)


def test_headers_that_fail_when_they_are_read_are_refused() -> None:
    class Failing(Message):
        def items(self) -> Any:
            raise RuntimeError("the connection was closed")

    refuse(Failing(), match="headers")


@pytest.mark.parametrize("body", [None, {"key": "value"}, [], 1, memoryview(BODY), "\ud800"])
def test_a_body_that_is_neither_bytes_nor_text_is_refused(body: Any) -> None:
    refuse(body=body, match="body")


@pytest.mark.parametrize(
    "secret", [None, b"whsec_key", 7, "", "whsec_", "whsec_é", "whsec_\0", "no base64", "A" * 4_000]
)
def test_an_unusable_secret_is_refused(secret: Any) -> None:
    refuse(secret=secret, match="secret")
    with pytest.raises(VerificationError, match="secret"):
        sign(secret, BODY)


@pytest.mark.parametrize(
    "tolerance", [None, "300", -1, float("nan"), float("-inf"), -(10**400), 3j]
)
def test_an_unusable_tolerance_is_refused(tolerance: Any) -> None:
    refuse(tolerance_seconds=tolerance)


@pytest.mark.parametrize("now", [0, "2026-11-29", NOW.date()])
def test_an_unusable_time_is_refused(now: Any) -> None:
    refuse(now=now)


@pytest.mark.parametrize("message_id", [None, 7, b"evt", "", "a.b", "a b", "é", "a\n"])
def test_an_unusable_id_is_not_signed(message_id: Any) -> None:
    with pytest.raises(VerificationError, match="id"):
        sign(SECRET, BODY, message_id=message_id)


@pytest.mark.parametrize("now", [7, NOW.replace(tzinfo=None), datetime(1969, 1, 1, tzinfo=UTC)])
def test_an_unusable_time_is_not_signed(now: Any) -> None:
    with pytest.raises(VerificationError):
        sign(SECRET, BODY, now=now)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda each: st.lists(each) | st.dictionaries(st.text() | st.binary(), each),
)
VALUES = st.sampled_from(["v1,AAAA", "v1a,AAAA v1,", str(10**11), "9" * 5_000]) | ANYTHING
SOME_HEADERS = st.fixed_dictionaries(
    {name: st.just(value) | VALUES for name, value in HEADERS.items()},
    optional={"Webhook-Id": VALUES, "webhook-SIGNATURE": VALUES, "accept": VALUES},
)


@given(
    secret=st.just(SECRET) | ANYTHING,
    headers=st.just(HEADERS) | SOME_HEADERS | ANYTHING,
    body=st.just(BODY) | ANYTHING,
    tolerance=st.sampled_from([300, 10**400, float("inf")]) | ANYTHING,
    now=st.just(NOW) | st.datetimes(timezones=st.none() | st.timezones()) | ANYTHING,
)
def test_bad_input_raises_the_verification_error_only(
    secret: Any, headers: Any, body: Any, tolerance: Any, now: Any
) -> None:
    try:
        found = verify(secret, headers, body, tolerance_seconds=tolerance, now=now)
    except VerificationError:
        return
    assert found == EXPECTED


@given(headers=SOME_HEADERS)
def test_bad_headers_raise_the_verification_error_only(headers: Any) -> None:
    """With valid other arguments, so that every header is examined."""
    try:
        assert check(headers, tolerance_seconds=float("inf")) == EXPECTED
    except VerificationError:
        assert headers != HEADERS


@given(secret=ANYTHING, body=ANYTHING, message_id=ANYTHING, now=st.just(NOW) | ANYTHING)
def test_sign_raises_the_verification_error_only(
    secret: Any, body: Any, message_id: Any, now: Any
) -> None:
    for usable in (secret, SECRET):
        try:
            headers = sign(usable, body, message_id=message_id, now=now)
        except VerificationError:
            continue
        verify(usable, headers, body, now=now)


def test_the_error_belongs_to_the_family_of_invalid_input() -> None:
    """Its code is stable, and nothing of the secret is shown."""
    with pytest.raises(workbell.Invalid) as failure:
        check(body=b"other")
    assert isinstance(failure.value, VerificationError)
    assert failure.value.code == "verification_failed"
    assert SECRET.removeprefix("whsec_") not in str(failure.value)


def test_the_module_imports_the_standard_library_only() -> None:
    """Receivers load neither the service nor its dependencies."""
    script = "import sys, workbell.webhooks; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = {name for name in done.stdout.split() if not name.startswith("__editable__")}
    own = {name for name in loaded if name.partition(".")[0] == "workbell"}
    assert own == {
        "workbell",
        "workbell.domain",
        "workbell.domain.delivery",
        "workbell.domain.delivery.signature",
        "workbell.domain.errors",
        "workbell.webhooks",
    }
    assert {"attr", "attrs", "falcon", "sqlalchemy"}.isdisjoint(loaded)


def test_the_public_names_of_the_package_are_imported_on_use() -> None:
    for name in workbell.__all__:
        assert getattr(workbell, name).__name__ in {name, "open_client"}
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        workbell.nothing  # type: ignore[attr-defined]  # noqa: B018

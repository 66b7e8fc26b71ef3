"""Signatures of deliveries agree with Standard Webhooks and its public library."""

from base64 import b64encode
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from workbell.domain.delivery.signature import (
    MAX_SECRET_BYTES,
    MIN_SECRET_BYTES,
    SECRET_BYTES,
    format_secret,
    parse_secret,
    sign,
    signature_headers,
)
from workbell.domain.errors import Invalid

pytestmark = pytest.mark.unit

KEY, NEW_KEY = bytes(range(32)), bytes(range(32, 64))
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
BODY = b'{ "f" : 1.0,"s":"\\/\xc3\xa9\\u00e9" }'
KEYS = st.binary(min_size=MIN_SECRET_BYTES, max_size=MAX_SECRET_BYTES)
IDS = st.from_regex(r"[A-Za-z0-9_:-]{1,128}", fullmatch=True)


def library(key: bytes) -> Webhook:
    """Return the public library's signer and verifier for a key."""
    return Webhook(format_secret(key))


def is_accepted(key: bytes, headers: dict[str, str], payload: bytes) -> bool:
    """Whether the public library accepts a webhook with this key."""
    try:
        library(key).verify(payload, headers)
    except WebhookVerificationError:
        return False
    return True


def test_a_signature_is_that_of_the_specification() -> None:
    """The secret, message and signature are those of the reference implementations' tests."""
    key = parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(key=KEYS, message_id=IDS, payload=st.text(st.characters(exclude_categories=["Cs"])))
def test_a_signature_equals_that_of_the_public_library(
    key: bytes, message_id: str, payload: str
) -> None:
    signature = sign(key, message_id, SECONDS, payload.encode())
    assert signature == library(key).sign(message_id, NOW, payload)


def test_the_public_library_accepts_the_headers_and_body_as_sent() -> None:
    seconds = int(datetime.now(UTC).timestamp())
    headers = signature_headers([KEY], "evt_1", seconds, BODY)
    assert headers["webhook-id"] == "evt_1"
    assert headers["webhook-timestamp"] == str(seconds)
    assert is_accepted(KEY, headers, BODY)
    assert not is_accepted(KEY, headers, BODY.replace(b"1.0", b"1"))
    assert not is_accepted(NEW_KEY, headers, BODY)


def test_during_a_rotation_receivers_accept_with_the_old_and_the_new_secret() -> None:
    seconds = int(datetime.now(UTC).timestamp())
    both = signature_headers([NEW_KEY, KEY], "evt_1", seconds, BODY)
    new, old = both["webhook-signature"].split(" ")
    assert (new, old) == (sign(NEW_KEY, "evt_1", seconds, BODY), sign(KEY, "evt_1", seconds, BODY))
    assert is_accepted(KEY, both, BODY)
    assert is_accepted(NEW_KEY, both, BODY)

    after = signature_headers([NEW_KEY], "evt_1", seconds, BODY)
    assert is_accepted(NEW_KEY, after, BODY)
    assert not is_accepted(KEY, after, BODY)


def test_id_time_and_payload_are_signed() -> None:
    signature = sign(KEY, "evt_1", SECONDS, BODY)
    assert signature != sign(KEY, "evt_2", SECONDS, BODY)
    assert signature != sign(KEY, "evt_1", SECONDS + 1, BODY)
    assert signature != sign(KEY, "evt_1", SECONDS, BODY + b" ")


@given(key=KEYS)
def test_a_formatted_secret_parses_to_its_key_with_and_without_the_prefix(key: bytes) -> None:
    secret = format_secret(key)
    assert secret == f"whsec_{b64encode(key).decode()}"
    assert parse_secret(secret) == parse_secret(secret.removeprefix("whsec_")) == key


def test_a_generated_secret_has_an_allowed_length() -> None:
    assert MIN_SECRET_BYTES <= SECRET_BYTES <= MAX_SECRET_BYTES


@pytest.mark.parametrize("size", [0, 1, 23, 65, 1_000])
def test_a_key_of_another_length_is_refused_with_its_length(size: int) -> None:
    with pytest.raises(Invalid, match=rf"24 to 64 bytes, not {size}\."):
        parse_secret(format_secret(bytes(size)))


@pytest.mark.parametrize(
    "secret",
    [
        "whsec_not base64!",
        "whsec_" + "A" * 33,
        "whsec_" + "A" * 43 + "=\n",
        "whsec_" + "é" * 32,
        "whpk_" + "A" * 40,
        "A" * 31 + "\0",
    ],
)
def test_a_secret_that_is_not_base64_is_refused(secret: str) -> None:
    with pytest.raises(Invalid, match="base64"):
        parse_secret(secret)

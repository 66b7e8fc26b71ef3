"""Signed tokens: JWT with HS256."""

import hashlib
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self

import jwt
from attrs import field, frozen

from workbell.domain.errors import Unauthenticated
from workbell.domain.identity.session import Claims, TokenExpired, TokenKind
from workbell.domain.identity.user import UserId
from workbell.ports.system import Clock

MIN_KEY_BYTES = 32
"""As long as the hash (RFC 7518, section 3.2)."""
MAX_TOKEN_LENGTH = 4096

_ALGORITHM = "HS256"
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_OPAQUE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_USER_ID = re.compile(r"[1-9][0-9]{0,17}")
_HEADER_NAMES = frozenset({"alg", "kid", "typ"})
_CLAIM_NAMES = frozenset({"aud", "exp", "iat", "iss", "jti", "sid", "sub", "ver"})


@frozen
class JwtTokens:
    """
    JSON Web Tokens, signed with HMAC-SHA-256 only.

    The first key signs; all keys verify, each by the `kid` that is derived
    from it. Tokens that differ from the form `issue` writes are refused
    before the signature is verified.
    """

    _keys: Mapping[str, bytes] = field(repr=False)
    _clock: Clock
    _issuer: str
    _audience: str

    @classmethod
    def create(
        cls, keys: Sequence[bytes], clock: Clock, *, issuer: str, audience: str = "workbell"
    ) -> Self:
        """
        Return a signer and verifier with these keys, the newest first.

        Raises:
            ValueError: There is no key, or one is shorter than 32 bytes.
        """
        if not keys or any(len(key) < MIN_KEY_BYTES for key in keys):
            raise ValueError(f"Signing needs keys of at least {MIN_KEY_BYTES} bytes.")
        return cls({_key_id(key): key for key in keys}, clock, issuer, audience)

    def issue(self, claims: Claims) -> str:
        """Return a signed token; the same claims give the same token."""
        key_id, key = next(iter(self._keys.items()))
        payload = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(claims.user_id),
            "sid": claims.session_id,
            "jti": claims.jti,
            "ver": claims.version,
            "iat": int(claims.issued_at.timestamp()),
            "exp": int(claims.expires_at.timestamp()),
        }
        headers = {"kid": key_id, "typ": claims.kind.value}
        return jwt.encode(payload, key, algorithm=_ALGORITHM, headers=headers)

    def read(self, token: str, kind: TokenKind) -> Claims:
        """Return the claims of a token; raise Unauthenticated if not valid."""
        header, payload = _parse(token)
        key = self._keys.get(str(header["kid"]))
        if header["alg"] != _ALGORITHM or header["typ"] != kind.value or key is None:
            raise Unauthenticated("This token cannot be used here.")
        self._check_signature(token, key)
        claims = _parse_claims(kind, payload)
        if self._clock.now() >= claims.expires_at:
            raise TokenExpired("This token has expired.")
        return claims

    def _check_signature(self, token: str, key: bytes) -> None:
        """Check signature, issuer and audience; `read` checks the expiry."""
        try:
            jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except jwt.InvalidTokenError as error:
            raise Unauthenticated("This token was not issued by this service.") from error


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"workbell key id\0" + key).hexdigest()[:16]


def _parse(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and payload of a token in the form `issue` writes."""
    segments = token.split(".") if len(token) <= MAX_TOKEN_LENGTH else []
    try:
        if len(segments) != 3:
            raise ValueError("not three segments")
        header, payload, _ = (_decode_segment(segment) for segment in segments)
        return _parse_object(header, _HEADER_NAMES), _parse_object(payload, _CLAIM_NAMES)
    except (ValueError, RecursionError) as error:
        raise Unauthenticated("The token is malformed.") from error


def _decode_segment(segment: str) -> bytes:
    """Decode a segment, which must be canonical base64url."""
    if not _SEGMENT.fullmatch(segment):
        raise ValueError("not base64url without padding")
    content = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    if urlsafe_b64encode(content).rstrip(b"=").decode("ascii") != segment:
        raise ValueError("not the canonical base64url")
    return content


def _parse_object(content: bytes, names: frozenset[str]) -> dict[str, Any]:
    pairs = json.loads(content, object_pairs_hook=_refuse_duplicates)
    if not isinstance(pairs, dict) or pairs.keys() != names:
        raise ValueError("not the expected members")
    return pairs


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice")
    return members


def _parse_claims(kind: TokenKind, payload: Mapping[str, Any]) -> Claims:
    numbers = [payload[name] for name in ("iat", "exp", "ver")]
    opaque = [payload[name] for name in ("jti", "sid")]
    is_valid = (
        all(type(number) is int for number in numbers)
        and all(isinstance(text, str) and _OPAQUE.fullmatch(text) for text in opaque)
        and all(isinstance(payload[name], str) for name in ("sub", "aud", "iss"))
        and _USER_ID.fullmatch(payload["sub"])
    )
    if not is_valid:
        raise Unauthenticated("The claims of this token are not valid.")
    return Claims(
        kind=kind,
        user_id=UserId(int(payload["sub"])),
        session_id=payload["sid"],
        jti=payload["jti"],
        version=payload["ver"],
        issued_at=_to_datetime(payload["iat"]),
        expires_at=_to_datetime(payload["exp"]),
    )


def _to_datetime(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Unauthenticated("The claims of this token are not valid.") from error

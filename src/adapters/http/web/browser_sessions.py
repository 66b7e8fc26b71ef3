"""Browser sessions: HttpOnly cookies and CSRF protection."""

from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from attrs import frozen

from workbell.domain.errors import NotAllowed, Unauthenticated
from workbell.domain.identity.actor import Actor, ClientInfo
from workbell.domain.identity.opaque_token import OpaqueToken, csrf_matches, csrf_token
from workbell.domain.identity.session import SessionKind
from workbell.services.identity.login import LoginService, OpaqueLogin

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_HEADER = "X-CSRF-Token"
_SAME_SITE = frozenset({"same-origin", "none"})

Headers = Callable[[str], str | None]
"""Returns a request header by name."""


def cookie_name(public_url: str) -> str:
    """Return the name of the session cookie; prefixed `__Host-` for HTTPS."""
    return "__Host-workbell" if public_url.startswith("https://") else "workbell"


@frozen(kw_only=True)
class BrowserSessions:
    """
    Authenticates browsers by a session cookie.

    The cookie holds an opaque token. It is HttpOnly and SameSite=Lax, and with
    an HTTPS public URL also Secure with the prefix `__Host-`. Requests from
    another origin (by Sec-Fetch-Site or Origin) are rejected, and unsafe
    methods require the CSRF token of the session.
    """

    login_service: LoginService
    public_url: str

    def login(
        self, headers: Headers, identifier: str, password: str, origin: ClientInfo, code: str = ""
    ) -> OpaqueLogin:
        """
        Open a session and end the previous one of the browser.

        Raises:
            NotAllowed: The request comes from another origin.
            WrongCredentials, EmailNotVerified, SecondFactorRequired,
            WrongSecondFactor, TooMany, Unavailable: See `LoginService.login`.
        """
        self.check_origin(headers)
        previous = self._token(headers)
        return self.login_service.login_opaque(
            identifier,
            password,
            origin,
            code=code,
            kind=SessionKind.BROWSER,
            replaces=previous.id if previous else "",
        )

    def has_cookie(self, headers: Headers) -> bool:
        """Whether the request has a session cookie, valid or not."""
        return f"{cookie_name(self.public_url)}=" in (headers("Cookie") or "")

    def actor(self, method: str, headers: Headers, origin: ClientInfo) -> Actor:
        """
        Return the user of the session cookie, after origin and CSRF checks.

        Raises:
            Unauthenticated: There is no cookie, or its session has ended.
            NotAllowed: The request comes from another origin or lacks the CSRF token.
        """
        token = self._token(headers)
        if token is None:
            raise Unauthenticated("Sign in first.")
        self.check_origin(headers, read_only=method in SAFE_METHODS)
        if method not in SAFE_METHODS and not csrf_matches(
            token.secret, headers(CSRF_HEADER) or ""
        ):
            raise NotAllowed(f"The header {CSRF_HEADER} is missing or wrong: reload the page.")
        return self.login_service.authenticator.by_session(token.text, SessionKind.BROWSER, origin)

    def csrf(self, headers: Headers) -> str | None:
        """Return the CSRF token of the session, or None without a session cookie."""
        token = self._token(headers)
        return csrf_token(token.secret) if token is not None else None

    def check_origin(self, headers: Headers, *, read_only: bool = False) -> None:
        """
        Check that the request comes from a page of this service.

        Read-only requests may lack both headers, as old browsers omit them.

        Raises:
            NotAllowed: Sec-Fetch-Site or Origin names another origin, or both
                are missing.
        """
        site, origin = headers("Sec-Fetch-Site"), headers("Origin")
        is_same_site = site is None or site.strip().lower() in _SAME_SITE
        is_own_origin = origin is None or origin in self._origins(headers)
        has_header = read_only or site is not None or origin is not None
        if not (is_same_site and is_own_origin and has_header):
            raise NotAllowed("The request does not come from a page of this service.")

    def cookie(self, login: OpaqueLogin | None) -> str:
        """Return the Set-Cookie header of a session, or its deletion for None."""
        value, expiry = (login.token.text, "") if login else ("", "; Max-Age=0")
        secure = "; Secure" if self.public_url.startswith("https://") else ""
        name = cookie_name(self.public_url)
        return f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{expiry}"

    def _origins(self, headers: Headers) -> frozenset[str]:
        """Return the origins of the public URL and of the (allowed) Host header."""
        public = urlsplit(self.public_url)
        return frozenset(
            f"{public.scheme}://{host}" for host in (public.netloc, headers("Host") or "") if host
        )

    def _token(self, headers: Headers) -> OpaqueToken | None:
        """Return the token of the cookie; None without one, or with duplicates."""
        header, name = headers("Cookie") or "", cookie_name(self.public_url)
        if header.count(f"{name}=") != 1:
            return None
        try:
            cookie = SimpleCookie(header).get(name)
            return OpaqueToken.parse(cookie.value) if cookie is not None else None
        except (CookieError, Unauthenticated):
            return None

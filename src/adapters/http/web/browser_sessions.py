"""Browser sessions: a cookie that scripts cannot read, and CSRF checks."""

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
_OURS = frozenset({"same-origin", "none"})

Headers = Callable[[str], str | None]
"""The headers of a request, by name."""


def cookie_name(public_url: str) -> str:
    """Return what the cookie is called; the prefix ties it to one host, over TLS."""
    return "__Host-workbell" if public_url.startswith("https://") else "workbell"


@frozen(kw_only=True)
class BrowserSessions:
    """
    Sessions of browsers: one row in the store, one cookie in the browser.

    The cookie holds an opaque token and nothing else. It is HttpOnly and
    SameSite=Lax; where the service is reached by https it is also Secure and
    bears the prefix `__Host-`. With it only our own pages ask: what comes
    from another origin, by Sec-Fetch-Site or Origin, is refused; and what
    changes something needs the session's CSRF token besides.
    """

    signing_in: LoginService
    public_url: str

    def login(
        self, headers: Headers, identifier: str, password: str, origin: ClientInfo, code: str = ""
    ) -> OpaqueLogin:
        """
        Open a session, and end the one that the browser had.

        Raises:
            NotAllowed: The request comes from a page of somebody else's.
            WrongCredentials, EmailNotVerified, SecondFactorRequired,
            WrongSecondFactor, TooMany, Unavailable: As `login` does.
        """
        self.check_page(headers)
        before = self._token(headers)
        return self.signing_in.login_opaque(
            identifier,
            password,
            origin,
            code=code,
            kind=SessionKind.BROWSER,
            replaces=before.id if before else "",
        )

    def has_cookie(self, headers: Headers) -> bool:
        """Whether the request bears a cookie of ours, whatever it is worth."""
        return f"{cookie_name(self.public_url)}=" in (headers("Cookie") or "")

    def actor(self, method: str, headers: Headers, origin: ClientInfo) -> Actor:
        """
        Return who asks with the cookie; what changes something is checked for CSRF.

        Raises:
            Unauthenticated: There is no cookie, or its session has ended.
            NotAllowed: The request was not made by a page of ours.
        """
        token = self._token(headers)
        if token is None:
            raise Unauthenticated("Sign in first.")
        self.check_page(headers, reads=method in SAFE_METHODS)
        if method not in SAFE_METHODS and not csrf_matches(
            token.secret, headers(CSRF_HEADER) or ""
        ):
            raise NotAllowed("The CSRF token is missing or wrong: load the page again.")
        return self.signing_in.authenticator.by_session(token.text, SessionKind.BROWSER, origin)

    def csrf(self, headers: Headers) -> str | None:
        """Return the token that pages of this session send along, if there is one."""
        token = self._token(headers)
        return csrf_token(token.secret) if token is not None else None

    def check_page(self, headers: Headers, *, reads: bool = False) -> None:
        """
        Refuse what a page of another origin asks for.

        What only reads may come without a word of where from: old browsers
        send none then.

        Raises:
            NotAllowed: Sec-Fetch-Site or Origin says so, or neither is there.
        """
        site, origin = headers("Sec-Fetch-Site"), headers("Origin")
        by_site = site is None or site.strip().lower() in _OURS
        by_origin = origin is None or origin in self._origins(headers)
        known = reads or site is not None or origin is not None
        if not (by_site and by_origin and known):
            raise NotAllowed("This request was not made by a page of this service.")

    def cookie(self, opened: OpaqueLogin | None) -> str:
        """Return the Set-Cookie header of a session, or the one that takes it back."""
        value, more = (opened.token.text, "") if opened else ("", "; Max-Age=0")
        secure = "; Secure" if self.public_url.startswith("https://") else ""
        name = cookie_name(self.public_url)
        return f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{more}"

    def _origins(self, headers: Headers) -> frozenset[str]:
        """Return our own origins: the public one, and the host that was asked, an allowed one."""
        public = urlsplit(self.public_url)
        return frozenset(
            f"{public.scheme}://{host}" for host in (public.netloc, headers("Host") or "") if host
        )

    def _token(self, headers: Headers) -> OpaqueToken | None:
        """Return the token of the cookie; two cookies of the name are as good as none."""
        header, name = headers("Cookie") or "", cookie_name(self.public_url)
        if header.count(f"{name}=") != 1:
            return None
        try:
            found = SimpleCookie(header).get(name)
            return OpaqueToken.parse(found.value) if found is not None else None
        except (CookieError, Unauthenticated):
            return None

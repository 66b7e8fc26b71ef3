"""Browser sessions: a cookie that scripts cannot read, and CSRF checks."""

from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

import falcon
from attrs import frozen

from ...domain.errors import NotAllowed, Unauthenticated
from ...domain.identity import Actor, Origin
from ...domain.opaque import Opaque, csrf_fits, csrf_token
from ...domain.sessions import SessionKind
from ...services.signing_in import Opened, SigningIn

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_HEADER = "X-CSRF-Token"
_OURS = frozenset({"same-origin", "none"})


@frozen(kw_only=True)
class Browser:
    """
    Sessions of the console: one row in the store, one cookie in the browser.

    The cookie holds an opaque token and nothing else. It is HttpOnly and
    SameSite=Lax; where the service is reached by https it is also Secure and
    bears the prefix `__Host-`. What changes something needs a request from our
    own pages: by Sec-Fetch-Site or Origin, and by the session's CSRF token.
    The API takes no cookies, so it needs none of this.
    """

    signing_in: SigningIn
    public_url: str

    @property
    def secure(self) -> bool:
        """Whether browsers reach the service by https."""
        return self.public_url.startswith("https://")

    @property
    def cookie(self) -> str:
        """The cookie's name."""
        return "__Host-workbell" if self.secure else "workbell"

    def login(
        self, req: falcon.Request, resp: falcon.Response, identifier: str, password: str
    ) -> Opened:
        """
        Open a session, set its cookie, and end the one that the browser had.

        Raises:
            NotAllowed: The request comes from a page of somebody else's.
            WrongCredentials, EmailNotVerified, Unavailable: As `login` does.
        """
        self.check_page(req)
        before = self._token(req)
        opened = self.signing_in.login_opaque(
            identifier,
            password,
            req.context.origin,
            kind=SessionKind.BROWSER,
            replaces=before.id if before else "",
        )
        self._set(resp, opened.token.text, "")
        return opened

    def actor(self, req: falcon.Request) -> Actor:
        """
        Return who asks with the cookie; what changes something is checked for CSRF.

        Raises:
            Unauthenticated: There is no cookie, or its session has ended.
            NotAllowed: The request was not made by a page of ours.
        """
        token = self._token(req)
        if token is None:
            raise Unauthenticated("Sign in first.")
        if req.method not in SAFE_METHODS:
            self.check_page(req)
            self._check_csrf(req, token)
        origin: Origin = req.context.origin
        return self.signing_in.recognition.by_session(token.text, SessionKind.BROWSER, origin)

    def csrf(self, req: falcon.Request) -> str:
        """
        Return the token that pages of this session send along.

        Raises:
            Unauthenticated: There is no cookie.
        """
        if (token := self._token(req)) is None:
            raise Unauthenticated("Sign in first.")
        return csrf_token(token.secret)

    def logout(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        End the session, and take the cookie back with all that is stored.

        Raises:
            Unauthenticated, NotAllowed: As `actor` does.
        """
        self.signing_in.logout(self.actor(req))
        self._set(resp, "", "; Max-Age=0")
        resp.set_header("Clear-Site-Data", '"cache", "storage"')

    def check_page(self, req: falcon.Request) -> None:
        """
        Refuse what a page of another origin asks for.

        Raises:
            NotAllowed: Sec-Fetch-Site or Origin says so, or neither is there.
        """
        site, origin = req.get_header("Sec-Fetch-Site"), req.get_header("Origin")
        by_site = site is None or site.strip().lower() in _OURS
        by_origin = origin is None or origin == self._origin()
        if not (by_site and by_origin) or (site is None and origin is None):
            raise NotAllowed("This request was not made by a page of this service.")

    def _check_csrf(self, req: falcon.Request, token: Opaque) -> None:
        if not csrf_fits(token.secret, req.get_header(CSRF_HEADER) or ""):
            raise NotAllowed("The CSRF token is missing or wrong: load the page again.")

    def _origin(self) -> str:
        public = urlsplit(self.public_url)
        return f"{public.scheme}://{public.netloc}"

    def _token(self, req: falcon.Request) -> Opaque | None:
        """Return the token of the cookie; two cookies of the name are as good as none."""
        header = req.get_header("Cookie") or ""
        if header.count(f"{self.cookie}=") != 1:
            return None
        try:
            found = SimpleCookie(header).get(self.cookie)
            return Opaque.read(found.value) if found is not None else None
        except (CookieError, Unauthenticated):
            return None

    def _set(self, resp: falcon.Response, value: str, more: str) -> None:
        secure = "; Secure" if self.secure else ""
        cookie = f"{self.cookie}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{more}"
        resp.append_header("Set-Cookie", cookie)
        resp.set_header("Cache-Control", "no-store")

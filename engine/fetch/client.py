"""A small HTTP client: certificates as pip's, a login for one host, errors in the user's words."""

from __future__ import annotations

import base64
import functools
import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit, urlunsplit

from engine.errors import ConfigError

TIMEOUT_S = 30.0


class HttpStatus(ConfigError):
    """The server answered, but not with what was asked for; ``status`` is HTTP's number."""

    def __init__(self, url: str, status: int) -> None:
        super().__init__(f"{host(url)} answered HTTP {status} for {public(url)}.")
        self.status = status


class ConnectionLost(ConfigError):
    """The server could not be reached, or went silent."""


@dataclass(frozen=True)
class Client:
    """Fetches http and https URLs.

    ``cafile``: PEM file of the certificate authorities to trust, None for the system's.
    ``login_url``: a URL whose user and password, if any, are sent to its own host only.
    """

    cafile: str | None = None
    login_url: str = ""
    timeout_s: float = field(default=TIMEOUT_S)

    @functools.cached_property
    def _opener(self) -> urllib.request.OpenerDirector:
        # Built by hand: the default opener would also follow file: and ftp: addresses.
        opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(context=_tls(self.cafile)),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.UnknownHandler(),
        ):
            opener.add_handler(handler)
        return opener

    def get(self, url: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """Open ``url``; ConfigError (HttpStatus, ConnectionLost) when that cannot be done."""
        require_http(url)
        request = urllib.request.Request(public(url), headers=dict(headers))
        request.add_header("User-Agent", "tailbound-fetch")
        authorization = self._authorization(url)
        if authorization:  # unredirected: a login must not follow a redirect to another host
            request.add_unredirected_header("Authorization", authorization)
        with explained(url):
            response: http.client.HTTPResponse = self._opener.open(request, timeout=self.timeout_s)
        return response

    def _authorization(self, url: str) -> str | None:
        login, asked = urlsplit(self.login_url), urlsplit(url)
        origin = (login.scheme, login.hostname, login.port)
        if login.username is None or origin != (asked.scheme, asked.hostname, asked.port):
            return None
        pair = f"{unquote(login.username)}:{unquote(login.password or '')}"
        return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn what goes wrong between here and the server of ``url`` into a ConfigError."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        raise HttpStatus(url, error.code) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise ConfigError(
                f"{host(url)} has a certificate that is not trusted here "
                f"({reason.verify_message}). Name your authorities' PEM file in PIP_CERT or "
                "SSL_CERT_FILE."
            ) from error
        raise ConnectionLost(
            f"{host(url)} cannot be reached ({reason or type(error).__name__}). Check the network "
            "and HTTPS_PROXY, or name a mirror of the package index in PIP_INDEX_URL (for npm: "
            "npm_config_registry)."
        ) from error


def require_http(url: str) -> None:
    """Raise ConfigError unless ``url`` is an http or https address."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:  # not shown in full: it may hold a password
        raise ConfigError(
            f"{url.rpartition('@')[2]!r} is not an http or https address. Correct PIP_INDEX_URL "
            "or pip's own setting 'index-url' (for npm: npm_config_registry)."
        )


def host(url: str) -> str:
    """Host and port of ``url``, without a login."""
    return urlsplit(url).netloc.rpartition("@")[2]


def public(url: str) -> str:
    """``url`` without the login and the fragment that it may carry."""
    return urlunsplit(urlsplit(url)._replace(netloc=host(url), fragment=""))


def _tls(cafile: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=cafile)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"The certificate file {cafile} cannot be used ({error}). Correct PIP_CERT, or pip's "
            "own setting 'cert'."
        ) from error
    paths = ssl.get_default_verify_paths()
    if not (cafile or paths.cafile or paths.capath or context.cert_store_stats()["x509_ca"]):
        try:  # a Python that came without authorities
            import certifi
        except ImportError:
            return context
        context.load_verify_locations(certifi.where())
    return context

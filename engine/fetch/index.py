"""Where an archive lies: asks the Python package index that the user's pip is configured for.

The index speaks the Simple API, as JSON (PEP 691) or as HTML (PEP 503).
"""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from engine.errors import ConfigError
from engine.fetch.catalogue import Source
from engine.fetch.client import Client, HttpStatus, explained, host, public, require_http

PYPI = "https://pypi.org/simple"
MAX_PAGE_BYTES = 64_000_000
_JSON = "application/vnd.pypi.simple.v1+json"
_ACCEPT = f"{_JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"


def index_url() -> str:
    """Address of the package index: PIP_INDEX_URL, pip's configuration, or PyPI."""
    chosen = os.environ.get("PIP_INDEX_URL") or _setting("index-url") or PYPI
    require_http(chosen)
    return chosen.rstrip("/")


def cafile() -> str | None:
    """PEM file of trusted authorities as set for pip; None leaves it to SSL_CERT_FILE."""
    return os.environ.get("PIP_CERT") or _setting("cert") or os.environ.get("REQUESTS_CA_BUNDLE")


def locate(source: Source, index: str, client: Client) -> str:
    """URL of the archive ``source`` in ``index``; ConfigError when the index does not list it."""
    name = re.sub(r"[-_.]+", "-", source.package).lower()
    page = f"{index}/{name}/"
    try:
        files = _files(page, client)
    except HttpStatus as error:
        if error.status != 404:
            raise
        raise ConfigError(
            f"The package index {public(index)} has no package {source.package}. "
            "Name another index in PIP_INDEX_URL."
        ) from error
    if source.file not in files:
        raise ConfigError(
            f"The package index {public(index)} lists {source.package}, but not {source.file}. "
            "Name another index in PIP_INDEX_URL."
        )
    url, sha256 = files[source.file]
    if sha256 is not None and sha256 != source.sha256:
        raise ConfigError(
            f"{public(index)} offers another {source.file} than the catalogue: its SHA-256 is "
            f"{sha256}, not {source.sha256}. Nothing was downloaded."
        )
    return url


def _files(page: str, client: Client) -> dict[str, tuple[str, str | None]]:
    """File name -> (URL, SHA-256 if the index gives one), of one project's page."""
    with client.get(page, {"Accept": _ACCEPT}) as response:
        with explained(page):
            body = response.read(MAX_PAGE_BYTES + 1)
        kind, base = response.headers.get_content_type(), response.geturl()
    if len(body) > MAX_PAGE_BYTES:
        raise ConfigError(f"{public(page)} is larger than {MAX_PAGE_BYTES} bytes: no index page.")
    try:
        read = _from_json if kind.endswith("json") else _from_html
        return read(body.decode("utf-8"), base)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{host(page)} answered with something that is not a package index page "
            f"({public(page)}, {kind}). Check PIP_INDEX_URL."
        ) from error


def _from_json(text: str, base: str) -> dict[str, tuple[str, str | None]]:
    return {
        item["filename"]: (urljoin(base, item["url"]), item.get("hashes", {}).get("sha256"))
        for item in json.loads(text)["files"]
    }


def _from_html(text: str, base: str) -> dict[str, tuple[str, str | None]]:
    anchors = _Anchors()
    anchors.feed(text)
    anchors.close()
    if not anchors.links and "<html" not in text.lower():
        raise ValueError("no HTML")
    files = {}
    for link in anchors.links:
        url = urljoin(urljoin(base, anchors.base), link)
        parts = urlsplit(url)
        hashed = re.fullmatch(r"sha256=([0-9a-f]{64})", parts.fragment)
        files[unquote(parts.path.rpartition("/")[2])] = (url, hashed and hashed[1])
    return files


class _Anchors(HTMLParser):
    """Collects the targets of a page's links."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.base = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href")
        if target and tag == "a":
            self.links.append(target)
        elif target and tag == "base":
            self.base = target


def _setting(key: str) -> str | None:
    settings = pip_settings()
    return settings.get(f"download.{key}") or settings.get(f"global.{key}")


@functools.cache
def pip_settings() -> Mapping[str, str]:
    """pip's own configuration as ``section.key`` -> value; empty where there is no pip."""
    command = [sys.executable, "-P", "-m", "pip", "config", "list"]
    environment = os.environ | {"PYTHONWARNINGS": "ignore", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return parse_settings(done.stdout) if done.returncode == 0 else {}


def parse_settings(listing: str) -> dict[str, str]:
    """Read the lines ``section.key='value'`` that ``pip config list`` prints."""
    settings = {}
    for line in listing.splitlines():
        key, equals, value = line.partition("=")
        try:
            parsed: Any = ast.literal_eval(value) if equals else None
        except (ValueError, SyntaxError):
            continue
        if isinstance(parsed, str):
            settings[key.strip()] = parsed.strip()
    return settings

"""Finds a package's archive in an npm registry."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

from engine.errors import ConfigError
from engine.fetch.catalogue import Source
from engine.fetch.client import Client, HttpStatus, explained, host, public, require_http

NPM = "https://registry.npmjs.org"
VARIABLE = "npm_config_registry"
MAX_PAGE_BYTES = 16_000_000


def index_url() -> str:
    """Address of the registry: npm_config_registry, the user's .npmrc, or npm's own."""
    chosen = os.environ.get(VARIABLE) or os.environ.get(VARIABLE.upper()) or _npmrc() or NPM
    require_http(chosen)
    return chosen.rstrip("/")


def locate(source: Source, index: str, client: Client) -> str:
    """URL of the archive ``source`` in ``index``; ConfigError when the registry lacks it."""
    page = f"{index}/{quote(source.package, safe='@')}/{quote(source.version)}"
    try:
        with client.get(page, {"Accept": "application/json"}) as response, explained(page):
            body = response.read(MAX_PAGE_BYTES + 1)
    except HttpStatus as error:
        if error.status != 404:
            raise
        raise ConfigError(
            f"The npm registry {public(index)} has no {source.package} {source.version}. "
            f"Name another registry in {VARIABLE}."
        ) from error
    try:
        url: str = json.loads(body)["dist"]["tarball"]
        require_http(url)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{host(page)} answered with something that is no npm package ({public(page)}). "
            f"Check {VARIABLE}."
        ) from error
    return url


def _npmrc() -> str | None:
    """The registry that the user's .npmrc names."""
    try:
        lines = (Path.home() / ".npmrc").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError, RuntimeError):
        return None
    pairs = (line.partition("=") for line in lines)
    return {key.strip(): value.strip() for key, _, value in pairs}.get("registry") or None

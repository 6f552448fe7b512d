from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.fetch import __main__ as command
from engine.fetch.catalogue import Entry
from engine.fetch.client import Client
from engine.fetch.npm import NPM, index_url, locate


@pytest.fixture(autouse=True)
def _no_npm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test depends on how npm is configured on this machine."""
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def package(index: Any, toys: Entry) -> Entry:
    """The toy entry as an npm package, which ``index`` serves as a registry does."""
    tarball = {"dist": {"tarball": index.file_url(toys.source.file)}}
    index.pages["/npm/toy/1.0"] = json.dumps(tarball).encode()
    return dataclasses.replace(
        toys, source=dataclasses.replace(toys.source, kind="npm", package="toy")
    )


def test_finds_the_tarball(index: Any, package: Entry) -> None:
    registry = f"http://{index.address}/npm"
    assert locate(package.source, registry, Client()) == index.file_url("toy-1.0.whl")


def test_fetches_from_a_registry(
    index: Any, package: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: Any
) -> None:
    monkeypatch.setenv("npm_config_registry", f"http://{index.address}/npm")
    command.fetch(package, tmp_path / "toys")
    assert all((tmp_path / "toys" / name).read_bytes() == photos[name] for name in photos)


def test_a_package_that_is_not_there(index: Any, package: Entry) -> None:
    other = dataclasses.replace(package.source, version="9.9")
    with pytest.raises(ConfigError, match=r"has no toy 9\.9.*npm_config_registry"):
        locate(other, f"http://{index.address}/npm", Client())


@pytest.mark.parametrize(
    "page", [b"please log in", b"{}", b"[]", b'{"dist": {"tarball": "file:///etc/passwd"}}']
)
def test_a_page_that_is_none_is_refused(index: Any, package: Entry, page: bytes) -> None:
    index.pages["/npm/toy/1.0"] = page
    with pytest.raises(ConfigError):
        locate(package.source, f"http://{index.address}/npm", Client())


def test_the_registry_is_the_environments_then_npmrcs_then_npms(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert index_url() == NPM
    (tmp_path / ".npmrc").write_text("audit = false\nregistry = https://mirror.example/npm/\n")
    assert index_url() == "https://mirror.example/npm"
    monkeypatch.setenv("npm_config_registry", "https://own.example/")
    assert index_url() == "https://own.example"
    monkeypatch.setenv("npm_config_registry", "file:///srv")
    with pytest.raises(ConfigError, match="not an http or https address"):
        index_url()

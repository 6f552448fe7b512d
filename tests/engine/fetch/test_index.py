from __future__ import annotations

import base64
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.fetch import index as index_module
from engine.fetch.catalogue import Entry
from engine.fetch.client import Client, public
from engine.fetch.index import PYPI, cafile, index_url, locate, parse_settings

READ_PIP = index_module.pip_settings  # before a fixture takes its place


@pytest.mark.parametrize("as_json", [True, False])
def test_finds_the_file_in_both_forms_of_the_simple_api(
    index: Any, toys: Entry, as_json: bool
) -> None:
    index.as_json = as_json
    found = locate(toys.source, index.url, Client())
    assert public(found) == index.file_url("toy-1.0.whl")
    assert [path for path, _ in index.requests] == ["/simple/toy-package/"]
    assert index.requests[0][1]["Accept"].startswith("application/vnd.pypi.simple.v1+json")


@pytest.mark.parametrize("as_json", [True, False])
def test_another_hash_in_the_index_is_refused(index: Any, toys: Entry, as_json: bool) -> None:
    index.as_json, index.hashes = as_json, {"toy-1.0.whl": "ab" * 32}
    with pytest.raises(ConfigError, match=r"another toy-1\.0\.whl than the catalogue"):
        locate(toys.source, index.url, Client())


def test_no_such_file_no_such_package_no_service(index: Any, toys: Entry) -> None:
    index.files["toy-2.0.whl"] = index.files.pop("toy-1.0.whl")
    with pytest.raises(ConfigError, match=r"lists Toy_Package, but not toy-1\.0\.whl"):
        locate(toys.source, index.url, Client())
    index.status = 404
    with pytest.raises(ConfigError, match="has no package Toy_Package"):
        locate(toys.source, index.url, Client())
    index.status = 503
    with pytest.raises(ConfigError, match="answered HTTP 503"):
        locate(toys.source, index.url, Client())


@pytest.mark.parametrize("page", [b"please log in", b"\xff\xfe", b""])
def test_a_page_that_is_none_is_said_to_be_none(index: Any, toys: Entry, page: bytes) -> None:
    index.page = page
    with pytest.raises(ConfigError, match="not a package index page"):
        locate(toys.source, index.url, Client())


def test_a_file_address_from_the_index_is_not_followed(index: Any, toys: Entry) -> None:
    index.page = b'<html><a href="file:///etc/toy-1.0.whl">toy-1.0.whl</a></html>'
    url = locate(toys.source, index.url, Client())
    with pytest.raises(ConfigError, match="not an http or https address"):
        Client().get(url, {})


def test_the_login_goes_to_the_index_alone_and_is_not_shown(index: Any, toys: Entry) -> None:
    private = f"http://me:p%40ss@{index.address}/simple"
    client = Client(login_url=private)
    client.get(locate(toys.source, private, client), {}).close()
    expected = "Basic " + base64.b64encode(b"me:p@ss").decode()
    assert [headers["Authorization"] for _, headers in index.requests] == [expected] * 2
    elsewhere = Client(login_url="http://me:secret@example.org/simple")
    elsewhere.get(index.file_url("toy-1.0.whl"), {}).close()
    assert "Authorization" not in index.requests[-1][1]
    with pytest.raises(ConfigError) as caught:
        index.status = 403
        locate(toys.source, private, client)
    assert "me" not in str(caught.value).split() and "p%40ss" not in str(caught.value)


def test_the_index_is_the_environments_then_pips_then_pypi(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert index_url() == PYPI and cafile() is None
    configured = {"global.index-url": "https://mirror.example/simple/", "global.cert": "/a.pem"}
    monkeypatch.setattr(index_module, "pip_settings", lambda: configured)
    assert index_url() == "https://mirror.example/simple" and cafile() == "/a.pem"
    configured["download.index-url"] = "https://closer.example/simple"
    assert index_url() == "https://closer.example/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://own.example/simple/")
    monkeypatch.setenv("PIP_CERT", "/b.pem")
    assert index_url() == "https://own.example/simple" and cafile() == "/b.pem"


@pytest.mark.parametrize(
    "address", ["file:///srv/simple", "mirror", "https://", "http://a:b:c/", "https://u:pw@x:y/"]
)
def test_an_index_that_is_no_http_address_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", address)
    with pytest.raises(ConfigError, match="not an http or https address") as caught:
        index_url()
    assert "pw" not in str(caught.value)


def test_reads_what_pip_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    listing = "global.index-url='https://x/simple'\nbroken\na.b=[1\n:env:.cert='/c.pem'\n"
    assert parse_settings(listing) == {
        "global.index-url": "https://x/simple",
        ":env:.cert": "/c.pem",
    }
    path = tmp_path / "pip.conf"
    path.write_text("[global]\nindex-url = https://mirror.example/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(path))
    READ_PIP.cache_clear()
    try:
        assert READ_PIP()["global.index-url"] == "https://mirror.example/simple"
    finally:
        READ_PIP.cache_clear()


def test_without_pip_nothing_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    READ_PIP.cache_clear()
    monkeypatch.setattr("sys.executable", "/no/such/python")
    try:
        assert READ_PIP() == {}
    finally:
        READ_PIP.cache_clear()


def test_a_certificate_file_that_is_none_is_named(tmp_path: Any) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("nothing")
    for path in (bad, tmp_path / "missing.pem"):
        with pytest.raises(ConfigError, match=f"{path} cannot be used"):
            Client(str(path)).get("https://127.0.0.1:1/", {})

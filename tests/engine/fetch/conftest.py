"""A package index on 127.0.0.1, and entries whose archives it serves."""

from __future__ import annotations

import dataclasses
import hashlib
import html
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from engine.fetch import index as index_module
from engine.fetch.catalogue import Entry, Member, Source

PHOTOS = {f"toy/data/imagenet_{n:02}_{7 * n}.jpg": bytes([n]) * (40_000 + n) for n in range(5)}


@dataclass
class FakeIndex:
    """What the server answers, to be changed by a test, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    as_json: bool = True
    hashes: dict[str, str] = field(default_factory=dict)
    page: bytes | None = None
    pages: dict[str, bytes] = field(default_factory=dict)
    status: int = 200
    ranges: bool = True
    range_shift: int = 0
    break_after: list[int] = field(default_factory=list)
    stall_after: int | None = None
    released: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    address: str = ""

    @property
    def url(self) -> str:
        return f"http://{self.address}/simple"

    def file_url(self, name: str) -> str:
        return f"http://{self.address}/files/{name}"

    def asked(self, under: str) -> list[dict[str, str]]:
        """Headers of the requests whose path begins with ``under``."""
        return [headers for path, headers in self.requests if path.startswith(under)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    index: FakeIndex

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.close_connection = True
        self.index.requests.append((self.path, dict(self.headers)))
        if self.index.status != 200:
            self._answer(self.index.status, b"no", {})
        elif self.path.startswith("/files/"):
            self._file(self.index.files[self.path.removeprefix("/files/")])
        elif self.path in self.index.pages:
            self._answer(200, self.index.pages[self.path], {"Content-Type": "application/json"})
        elif self.path == "/simple/toy-package/":
            self._page()
        else:
            self._answer(404, b"not here", {})

    def _page(self) -> None:
        if self.index.page is not None:
            return self._answer(200, self.index.page, {"Content-Type": "text/html"})
        if self.index.as_json:
            files = [
                {"filename": name, "url": f"/files/{name}", "hashes": {"sha256": digest}}
                for name, digest in self._digests()
            ]
            kind = "application/vnd.pypi.simple.v1+json"
            return self._answer(200, json.dumps({"files": files}).encode(), {"Content-Type": kind})
        links = [
            f'<a href="../../files/{html.escape(name)}#sha256={digest}">{name}</a><br/>'
            for name, digest in self._digests()
        ]
        page = f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()
        return self._answer(200, page, {"Content-Type": "text/html; charset=utf-8"})

    def _digests(self) -> Iterator[tuple[str, str]]:
        for name, content in self.index.files.items():
            yield name, self.index.hashes.get(name) or hashlib.sha256(content).hexdigest()

    def _file(self, content: bytes) -> None:
        asked = self.headers.get("Range")
        if asked is None or not self.index.ranges:
            return self._answer(200, content, {})
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, end = int(first) + self.index.range_shift, int(last or len(content) - 1)
        if start >= len(content):
            return self._answer(416, b"", {})
        span = f"bytes {start}-{end}/{len(content)}"
        return self._answer(206, content[start : end + 1], {"Content-Range": span})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        is_file = self.path.startswith("/files/") and status < 300
        if is_file and self.index.break_after:
            body = body[: self.index.break_after.pop(0)]
        if is_file and self.index.stall_after is not None:
            self.wfile.write(body[: self.index.stall_after])
            self.wfile.flush()
            self.index.released.wait(30)
            return
        self.wfile.write(body)


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeIndex]:
    """The index, running, and set as the one that pip uses."""
    fake = FakeIndex()
    handler = type("Handler", (_Handler,), {"index": fake})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = False
        fake.address = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("PIP_INDEX_URL", fake.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield fake
        fake.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on how pip is configured on this machine."""
    for name in ("PIP_INDEX_URL", "PIP_CERT", "REQUESTS_CA_BUNDLE", "TAILBOUND_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(index_module, "pip_settings", dict)


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip archive of ``members``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return buffer.getvalue()


def tarred(*members: tarfile.TarInfo | tuple[str, bytes]) -> bytes:
    """A tar.gz archive of files (name, content) and of members without content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                packed.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            packed.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


def sums_of(files: dict[str, bytes]) -> str:
    """What ``NAME.sha256`` says of ``files``."""
    pairs = [(hashlib.sha256(files[name]).hexdigest(), name) for name in sorted(files)]
    return "".join(f"{digest}  {name}\n" for digest, name in pairs)


def entry_of(archive: bytes, file: str, **changes: Any) -> Entry:
    """A catalogue entry for ``archive`` that wants the toy photographs."""
    source = Source(
        kind="pypi",
        package="Toy_Package",
        version="1.0",
        file=file,
        size_bytes=len(archive),
        sha256=hashlib.sha256(archive).hexdigest(),
    )
    entry = Entry(
        name="toys",
        description="five toy photographs",
        source=source,
        members=[Member(pattern=r"toy/data/imagenet_\d+_(?P<label>\d+)\.jpg")],
        label_map="val_map.txt",
        max_unpacked_bytes=1_000_000,
        sums_sha256="0" * 64,
        licence=["Toys: MIT."],
        next=["first", "python -m engine"],
        next_paths={"dataset.path": "."},
    )
    return dataclasses.replace(entry, **changes)


@pytest.fixture
def photos() -> dict[str, bytes]:
    """The files that the toy entry becomes: name -> content."""
    files = {Path(name).name: content for name, content in PHOTOS.items()}
    lines = [f"{name} {name.split('_')[2].removesuffix('.jpg')}\n" for name in sorted(files)]
    return files | {"val_map.txt": "".join(lines).encode()}


@pytest.fixture
def toys(index: FakeIndex, photos: dict[str, bytes]) -> Entry:
    """The toy entry, its archive served by ``index``."""
    archive = zipped(PHOTOS | {"toy/__init__.py": b"raise SystemExit"})
    index.files["toy-1.0.whl"] = archive
    digest = hashlib.sha256(sums_of(photos).encode()).hexdigest()
    return entry_of(archive, "toy-1.0.whl", sums_sha256=digest)


@pytest.fixture
def seen() -> Callable[[Path], dict[str, bytes]]:
    """Reads a folder: name -> content, of everything in it, hidden files included."""
    return lambda folder: {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def make() -> Any:
    """The builders above, for tests that need archives of their own."""
    from types import SimpleNamespace

    return SimpleNamespace(zip=zipped, tar=tarred, entry=entry_of, sums=sums_of)

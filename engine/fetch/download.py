"""Brings one file of known size and hash to this machine, going on where it was left."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from http.client import HTTPResponse
from pathlib import Path

from engine.cache import sha256_of
from engine.errors import ConfigError
from engine.fetch.catalogue import Source
from engine.fetch.client import Client, ConnectionLost, HttpStatus, explained, host

ATTEMPTS = 4
CHUNK_BYTES = 1 << 16
_RANGE_NOT_SATISFIABLE = 416


def sized(client: Client, url: str, source: Source) -> Source:
    """``source`` with its size, asked of the server where the catalogue does not know it."""
    if source.size_bytes:
        return source
    with client.get(url, {"Range": "bytes=0-0"}) as response:
        ranged = re.fullmatch(r"bytes 0-0/(\d+)", response.headers.get("Content-Range", ""))
        told = ranged[1] if ranged else response.headers.get("Content-Length", "")
    if not told.isdigit() or int(told) == 0 or (response.status == 206 and not ranged):
        raise ConfigError(f"{host(url)} does not say how large {source.file} is.")
    return dataclasses.replace(source, size_bytes=int(told))


def download(
    client: Client, url: str, part: Path, source: Source, report: Callable[[int], None]
) -> None:
    """Complete ``part`` to the file at ``url``; ``report`` is told the bytes there so far.

    What ``part`` holds already is kept and only the rest is asked for. A file that turns out
    wrong after such a resumption is fetched once more from its beginning. ConfigError when the
    server's file is not the one expected, or when it keeps breaking off; ``part`` then stays.
    """
    resumed = _present(part) > 0
    _complete(client, url, part, source, report)
    if source.sha256 in ("", sha256_of(part)):
        return
    if resumed:
        part.unlink()
        _complete(client, url, part, source, report)
    found = sha256_of(part)
    if found != source.sha256:
        part.unlink()
        raise ConfigError(
            f"The file that {host(url)} sent is not the one in the catalogue: its SHA-256 is "
            f"{found}, not {source.sha256}. It was deleted; nothing of it was used."
        )


def _complete(
    client: Client, url: str, part: Path, source: Source, report: Callable[[int], None]
) -> None:
    lost: ConfigError | None = None
    for _ in range(ATTEMPTS):
        have = _present(part)
        if have > source.size_bytes:
            part.unlink()
            have = 0
        if have == source.size_bytes:
            return
        try:
            _append(client, url, part, have, source, report)
        except ConnectionLost as error:
            if _present(part) <= have:
                raise
            lost = error
        except HttpStatus as error:
            if error.status != _RANGE_NOT_SATISFIABLE or not have:
                raise
            part.unlink()
    if _present(part) != source.size_bytes:
        raise ConfigError(
            f"{host(url)} broke off {ATTEMPTS} times; {part} has {_present(part)} of "
            f"{source.size_bytes} bytes. Run the same command again to go on from there."
        ) from lost


def _append(
    client: Client, url: str, part: Path, have: int, source: Source, report: Callable[[int], None]
) -> None:
    with client.get(url, {"Range": f"bytes={have}-"} if have else {}) as response:
        start = _start(response)
        if start not in (0, have):
            part.unlink()  # a server that sends another range than asked for: begin anew
            return
        _check_size(response, url, start, source.size_bytes)
        with part.open("ab" if start else "wb") as file:
            report(start)
            while chunk := _read(response, url):
                file.write(chunk)
                report(file.tell())
                if file.tell() > source.size_bytes:
                    break
            file.flush()
            os.fsync(file.fileno())


def _read(response: HTTPResponse, url: str) -> bytes:
    with explained(url):
        return response.read1(CHUNK_BYTES)


def _start(response: HTTPResponse) -> int:
    """Offset of the first byte that the server sends."""
    if response.status != 206:
        return 0
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _check_size(response: HTTPResponse, url: str, start: int, size_bytes: int) -> None:
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and start + int(length) != size_bytes:
        raise ConfigError(
            f"The file at {host(url)} has {start + int(length)} bytes where the catalogue says "
            f"{size_bytes}: it is another file. Nothing was downloaded."
        )


def _present(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0

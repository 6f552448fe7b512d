from __future__ import annotations

import dataclasses
import socket
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.fetch.catalogue import Source
from engine.fetch.client import Client, ConnectionLost, HttpStatus
from engine.fetch.download import ATTEMPTS, download, sized

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def source(index: Any, make: Any) -> Source:
    index.files["big.zip"] = CONTENT
    return make.entry(CONTENT, "big.zip").source


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "big.zip.part"


def get(index: Any, source: Source, part: Path) -> list[int]:
    done: list[int] = []
    download(Client(timeout_s=5), index.file_url("big.zip"), part, source, done.append)
    return done


def ranges(index: Any) -> list[str | None]:
    return [headers.get("Range") for headers in index.asked("/files/")]


def test_downloads_and_reports_every_byte(index: Any, source: Source, part: Path) -> None:
    done = get(index, source, part)
    assert part.read_bytes() == CONTENT
    assert done == sorted(done) and done[0] == 0 and done[-1] == len(CONTENT)


def test_goes_on_where_it_was_left(index: Any, source: Source, part: Path) -> None:
    part.write_bytes(CONTENT[:100_000])
    assert get(index, source, part)[0] == 100_000
    assert part.read_bytes() == CONTENT and ranges(index) == ["bytes=100000-"]


def test_begins_anew_when_the_server_ignores_ranges(index: Any, source: Source, part: Path) -> None:
    index.ranges = False
    part.write_bytes(CONTENT[:100_000])
    assert get(index, source, part)[0] == 0
    assert part.read_bytes() == CONTENT


def test_begins_anew_when_the_server_sends_another_range(
    index: Any, source: Source, part: Path
) -> None:
    index.range_shift = 5
    part.write_bytes(CONTENT[:100_000])
    get(index, source, part)
    assert part.read_bytes() == CONTENT and ranges(index) == ["bytes=100000-", None]


def test_begins_anew_when_the_server_refuses_the_range(
    index: Any, source: Source, part: Path
) -> None:
    index.range_shift = len(CONTENT)
    part.write_bytes(CONTENT[:100_000])
    get(index, source, part)
    assert part.read_bytes() == CONTENT and ranges(index) == ["bytes=100000-", None]


@pytest.mark.parametrize("length", [100_000, len(CONTENT), len(CONTENT) + 1])
def test_what_was_left_and_is_wrong_is_fetched_again(
    length: int, index: Any, source: Source, part: Path
) -> None:
    part.write_bytes(b"?" * length)
    get(index, source, part)
    assert part.read_bytes() == CONTENT
    assert ranges(index) == ([f"bytes={length}-"] if length < len(CONTENT) else []) + [None]


def test_a_complete_part_needs_no_server(source: Source, part: Path) -> None:
    part.write_bytes(CONTENT)
    download(Client(), "http://127.0.0.1:1/big.zip", part, source, print)


def test_a_broken_connection_is_taken_up_again(index: Any, source: Source, part: Path) -> None:
    index.break_after = [70_000, 50_000]
    get(index, source, part)
    assert part.read_bytes() == CONTENT
    assert ranges(index) == [None, "bytes=70000-", "bytes=120000-"]


def test_a_server_that_keeps_breaking_off_leaves_the_part(
    index: Any, source: Source, part: Path
) -> None:
    index.break_after = [1000] * ATTEMPTS
    with pytest.raises(ConfigError, match=f"broke off {ATTEMPTS} times.*{1000 * ATTEMPTS} of"):
        get(index, source, part)
    assert part.read_bytes() == CONTENT[: 1000 * ATTEMPTS]
    get(index, source, part)
    assert part.read_bytes() == CONTENT


def test_a_silent_server_is_given_up(index: Any, source: Source, part: Path) -> None:
    index.stall_after = 0
    with pytest.raises(ConnectionLost, match=r"cannot be reached .*timed out"):
        download(Client(timeout_s=0.2), index.file_url("big.zip"), part, source, print)


def test_a_wrong_file_of_the_right_size_is_deleted(index: Any, source: Source, part: Path) -> None:
    index.files["big.zip"] = CONTENT[::-1]
    with pytest.raises(ConfigError, match=f"not the one in the catalogue.*{source.sha256}"):
        get(index, source, part)
    assert not part.exists() and len(ranges(index)) == 1


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_of_another_size_is_not_downloaded(
    change: int, index: Any, source: Source, part: Path
) -> None:
    other = dataclasses.replace(source, size_bytes=source.size_bytes + change)
    with pytest.raises(ConfigError, match=f"has {len(CONTENT)} bytes where the catalogue says"):
        get(index, other, part)
    assert not part.exists()


def test_no_server_and_no_file_are_one_message(index: Any, source: Source, part: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/big.zip"
        with pytest.raises(ConnectionLost, match=r"cannot be reached .*PIP_INDEX_URL"):
            download(Client(), url, part, source, print)
    with pytest.raises(ConnectionLost, match="cannot be reached"):
        download(Client(), "http://no-such-host.invalid/big.zip", part, source, print)
    index.status = 410
    with pytest.raises(HttpStatus, match="HTTP 410"):
        get(index, source, part)


@pytest.mark.parametrize("ranges", [True, False])
def test_an_unknown_size_is_asked_of_the_server(index: Any, source: Source, ranges: bool) -> None:
    index.ranges = ranges
    unknown = dataclasses.replace(source, size_bytes=0)
    client, url = Client(timeout_s=5), index.file_url("big.zip")
    assert sized(client, url, unknown) == source
    asked = len(index.requests)
    assert sized(client, url, source) is source and len(index.requests) == asked
    index.files["big.zip"] = b""
    with pytest.raises(ConfigError, match=r"does not say how large big\.zip is|answered HTTP 416"):
        sized(client, url, unknown)

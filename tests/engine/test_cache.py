from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cache import Cache, key_of
from engine.errors import ConfigError

KEY = key_of("test", 1)


def write(content: bytes):
    def build(path: Path) -> None:
        path.write_bytes(content)

    return build


def refuse(path: Path) -> None:
    raise AssertionError("built again")


def test_builds_once_and_then_reads(tmp_path):
    first = Cache(tmp_path / "new" / "folder").file(KEY, ".bin", write(b"content"))
    again = Cache(tmp_path / "new" / "folder").file(KEY, ".bin", refuse)
    assert first == again
    assert again.path.read_bytes() == b"content"
    assert [p.name for p in again.path.parent.iterdir()] == [first.path.name]


def test_keys_differ_with_every_part():
    keys = {key_of("a", 1), key_of("a", 2), key_of("a", "1"), key_of("a1"), key_of("a", 1, None)}
    assert len(keys) == 5


@pytest.mark.parametrize("damage", [b"Xontent", b"cont", b"", b"content and more"])
def test_damaged_file_is_built_anew_with_a_warning(tmp_path, caplog, damage):
    cache = Cache(tmp_path)
    path = cache.file(KEY, ".bin", write(b"content")).path
    path.write_bytes(damage)
    with caplog.at_level(logging.WARNING, "engine.cache"):
        again = cache.file(KEY, ".bin", write(b"content"))
    assert again.path.read_bytes() == b"content"
    assert "damaged" in caplog.text and str(path) in caplog.text


def test_a_resumable_build_finds_what_it_had_written(tmp_path):
    found = []

    def build(path: Path) -> None:
        found.append(path.read_bytes())
        with path.open("ab") as file:
            file.write(b"half")
        if len(found) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Cache(tmp_path).file(KEY, ".bin", build, resumable=True)
    made = Cache(tmp_path).file(KEY, ".bin", build, resumable=True)
    assert found == [b"", b"half"] and made.path.read_bytes() == b"halfhalf"
    assert list(tmp_path.iterdir()) == [made.path]


def test_two_do_not_go_on_with_the_same_file(tmp_path):
    def build(path: Path) -> None:
        assert path.read_bytes() == b""
        path.write_bytes(b"content")
        if path.name.endswith("unfinished.bin"):  # while that is locked, another comes
            Cache(tmp_path).file(KEY, ".bin", build, resumable=True)

    made = Cache(tmp_path).file(KEY, ".bin", build, resumable=True)
    assert list(tmp_path.iterdir()) == [made.path]


def test_failed_build_leaves_nothing(tmp_path):
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Cache(tmp_path).file(KEY, ".bin", fail)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made_is_named(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"file/cache.*cache_dir="):
        Cache(blocker / "cache").file(KEY, ".bin", write(b"x"))
    with pytest.raises(ConfigError, match="cache_dir="):
        Cache(blocker / "cache").folder("x")


def test_full_disk_is_a_config_error_and_leaves_nothing(tmp_path):
    def full(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, os.strerror(28))

    with pytest.raises(ConfigError, match=r"No space left.*cache_dir="):
        Cache(tmp_path).file(KEY, ".bin", full)
    assert list(tmp_path.iterdir()) == []


BUILD_WITH_ANOTHER = """
import sys, time
from pathlib import Path
from engine.cache import Cache, key_of
root, mine, other = map(Path, sys.argv[1:])
def build(path):
    mine.touch()
    end = time.monotonic() + 20
    while not other.exists() and time.monotonic() < end:
        time.sleep(0.005)
    path.write_bytes(b"shared" * 100_000)
print(Cache(root).file(key_of("test", 1), ".bin", build).path)
"""


def test_two_processes_building_at_once_both_get_a_sound_file(tmp_path):
    marks = [str(tmp_path / "one"), str(tmp_path / "other")]
    root = tmp_path / "cache"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", BUILD_WITH_ANOTHER, str(root), *order],
            stdout=subprocess.PIPE,
            text=True,
        )
        for order in (marks, marks[::-1])
    ]
    paths = [Path(worker.communicate(timeout=60)[0].strip()) for worker in workers]
    cached = Cache(root).file(KEY, ".bin", refuse)
    assert paths == [cached.path, cached.path]
    assert cached.path.read_bytes() == b"shared" * 100_000

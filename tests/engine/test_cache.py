from __future__ import annotations

import logging
import multiprocessing
import os
from pathlib import Path

import pytest

from engine.cache import Cache, Cached, key_of
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


def _build_in_process(root: str, barrier, results) -> None:
    def build(path: Path) -> None:
        barrier.wait(10)
        path.write_bytes(b"shared" * 100_000)

    results.put(Cache(root).file(KEY, ".bin", build))


def test_two_processes_building_at_once_both_get_a_sound_file(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    workers = [
        context.Process(target=_build_in_process, args=(str(tmp_path), barrier, results))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    cached: list[Cached] = [results.get(timeout=30) for _ in workers]
    for worker in workers:
        worker.join(30)
    assert cached[0] == cached[1] == Cache(tmp_path).file(KEY, ".bin", refuse)
    assert cached[0].path.read_bytes() == b"shared" * 100_000

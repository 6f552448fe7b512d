"""A content-addressed folder for files that take time to make: networks and sample arrays."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.errors import ConfigError

log = logging.getLogger(__name__)

FULL_CHECK_BYTES = 1 << 30
"""Larger files are checked by their size alone when they are read, others by their hash too."""


ABANDONED_S = 24 * 3600


def key_of(*parts: object) -> str:
    """A key over everything that could change a file's content: sha256 of the parts' reprs."""
    return hashlib.sha256("\0".join(map(repr, parts)).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Cached:
    """A verified file in the cache; ``sha256`` is that of its content."""

    path: Path
    sha256: str


class Cache:
    """Files named by what they are made from and what they hold: ``KEY-SIZE-SHA256.suffix``.

    Any number of processes may share one folder: a file appears under its name only when it is
    complete, and is never written again. Should two build the same one, the first by name is read.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).expanduser().absolute()

    def file(
        self, key: str, suffix: str, build: Callable[[Path], None], resumable: bool = False
    ) -> Cached:
        """The file for ``key`` (hex, from ``key_of``), built by ``build(path)`` if need be.

        A file whose content does not match its name is removed with a warning and built anew.
        ``resumable``: what an interrupted build has written stays, and the next one finds it at
        its path; one process at a time does that, others build for themselves.
        Raises ConfigError if the folder cannot be written.
        """
        stem = key[:24]
        for path in sorted(self.root.glob(f"{stem}-*{suffix}")):
            if cached := _verified(path, suffix):
                return cached
        if resumable:
            with self._unfinished(stem, suffix) as kept:
                return self._build(stem, suffix, build, kept)
        return self._build(stem, suffix, build)

    def folder(self, name: str) -> Path:
        """A new, empty folder inside the cache for temporary files; the caller removes it."""
        path = self.root / f".{name}-{uuid.uuid4().hex}"
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise self._unwritable(error) from error
        return path

    @contextlib.contextmanager
    def _unfinished(self, stem: str, suffix: str) -> Iterator[Path | None]:
        """The file that an interrupted build left or will leave, None if another works on it."""
        path = self.root / f".{stem}-unfinished{suffix}"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            file = path.open("ab")
        except OSError as error:
            raise self._unwritable(error) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # It may have been finished, and moved, between opening and locking.
                ours = path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino
            except OSError:
                ours = False
            yield path if ours else None

    def _build(
        self, stem: str, suffix: str, build: Callable[[Path], None], kept: Path | None = None
    ) -> Cached:
        temporary = kept or self.root / f".{stem}-{uuid.uuid4().hex}{suffix}"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._sweep()
            temporary.touch(exist_ok=kept is not None)
            build(temporary)
            digest, size = sha256_of(temporary), temporary.stat().st_size
            path = self.root / f"{stem}-{size}-{digest}{suffix}"
            sync(temporary)
            temporary.replace(path)
            sync(self.root)
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            if kept is None:
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)
        return Cached(path, digest)

    def _sweep(self) -> None:
        """Remove what a killed process left behind, long after it can still be writing it."""
        for left in self.root.glob(".*"):
            with contextlib.suppress(OSError):
                if left.is_file() and time.time() - left.stat().st_mtime > ABANDONED_S:
                    left.unlink()

    def _unwritable(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"The cache folder {self.root} cannot be written ({error.strerror or error}): "
            "set cache_dir= to a folder with room that you may write to."
        )


def _verified(path: Path, suffix: str) -> Cached | None:
    try:
        _, size, digest = path.name.removesuffix(suffix).split("-")
        sound = path.stat().st_size == int(size)
        if sound and int(size) <= FULL_CHECK_BYTES:
            sound = sha256_of(path) == digest
    except (OSError, ValueError):
        sound = False
    if sound:
        return Cached(path, digest)
    log.warning("The cached file %s is damaged; it is made anew.", path)
    try:
        path.unlink(missing_ok=True)
    except OSError:
        log.warning("The damaged file %s could not be removed.", path)
    return None


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

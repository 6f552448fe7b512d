"""What was found out about plans, for the next process: files in the cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

from loadgen.files import atomically


class PlanBook:
    """Names of the best plans by device, cuDNN version and problem, in the file ``path``, and what
    cuDNN compiled of them, in a folder beside it: a file each.

    A file that cannot be written, or read, costs time only.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._names = self._written()

    def get(self, key: str) -> str | None:
        """The plan chosen before, if any."""
        return self._names.get(key)

    def put(self, key: str, name: str) -> None:
        """Remember a choice."""
        with self._lock:
            self._names[key] = name

    def save(self) -> None:
        """Write the names in one piece, with those that other processes have written before."""
        if self._path is None:
            return
        with self._lock, contextlib.suppress(OSError):
            self._names = self._written() | self._names
            text = json.dumps(self._names, indent=0, sort_keys=True)
            with atomically(self._path) as file:
                file.write(text.encode())

    def compiled(self, key: str) -> bytes | None:
        """What was kept under ``key``, if it is whole."""
        if self._path is not None:
            with contextlib.suppress(OSError, zlib.error):
                return zlib.decompress(_beside(self._path, key).read_bytes())
        return None

    def holds(self, key: str) -> bool:
        """Whether something was kept under ``key``, whole or not."""
        return self._path is not None and _beside(self._path, key).is_file()

    def keep(self, key: str, compiled: Callable[[], bytes | None]) -> None:
        """Write what ``compiled`` gives, if anything, under a ``key`` that says all that it depends
        on.
        """
        if self._path is not None and (content := compiled()) is not None:
            with contextlib.suppress(OSError), atomically(_beside(self._path, key)) as file:
                file.write(zlib.compress(content))

    def _written(self) -> dict[str, str]:
        if self._path is not None:
            with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
                return dict(json.loads(self._path.read_text()))
        return {}


def _beside(path: Path, key: str) -> Path:
    return path.with_suffix("") / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.zlib"

"""The list of SHA-256 sums of a result's files, in sha256sum's format."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from engine.cache import sha256_of

SUMS = "sha256.txt"


def put_sums(submitter: Path, folders: Iterable[Path], file: Path) -> None:
    """Write the sums of all files in ``folders``, by their paths from ``submitter``."""
    files = (path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file())
    lines = [f"{sha256_of(path)}  {path.relative_to(submitter).as_posix()}\n" for path in files]
    file.write_text("".join(lines))

"""The folder that a fetched entry becomes, and the list of sums that says it is whole.

``NAME.sha256`` has the format of sha256sum: ``sha256sum -c NAME.sha256`` checks a folder by hand.
The catalogue pins that list's own hash, so it vouches for every file; where it knows none, the list
says only that the files are still those that came.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.cache import sha256_of, sync
from engine.errors import ConfigError
from engine.fetch.catalogue import Entry
from engine.paths import sums_path

_MAX_SUMS_BYTES = 10_000_000


def is_intact(folder: Path, entry: Entry) -> bool:
    """Whether every file of ``entry`` is in ``folder`` and as the catalogue says."""
    path = sums_path(entry.name, folder)
    if not path.is_file() or path.stat().st_size > _MAX_SUMS_BYTES:
        return False
    listing = path.read_bytes()
    if entry.sums_sha256 not in ("", hashlib.sha256(listing).hexdigest()):
        return False
    pairs = (line.split("  ", 1) for line in listing.decode("utf-8").splitlines())
    return all((folder / name).is_file() and sha256_of(folder / name) == sha for sha, name in pairs)


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """An empty folder inside ``folder``, gone afterwards with whatever is left in it."""
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as temporary:
        yield Path(temporary)


def install(staged: Path, names: list[str], folder: Path, entry: Entry) -> None:
    """Check the ``staged`` files and move them into ``folder``, the list of sums last.

    Raises ConfigError when they are not what the catalogue says, or when ``folder`` has other
    files under the same names, which are never overwritten unless an earlier fetch wrote them.
    """
    sums = {name: sha256_of(staged / name) for name in names}
    listing = "".join(f"{sums[name]}  {name}\n" for name in sorted(names)).encode()
    found = hashlib.sha256(listing).hexdigest()
    if entry.sums_sha256 not in ("", found):
        raise ConfigError(
            f"The files in {entry.source.file} are not those of the catalogue: the SHA-256 of "
            f"their list of sums is {found}, not {entry.sums_sha256}. Nothing was kept."
        )
    if not sums_path(entry.name, folder).exists():
        for name in names:
            _refuse_foreign(folder / name, sums[name], entry)
    for name in names:
        (staged / name).replace(folder / name)
    listed = staged / sums_path(entry.name, folder).name
    with listed.open("xb") as file:
        file.write(listing)
        file.flush()
        os.fsync(file.fileno())
    sync(folder)  # the files' names must be on disk before the list that vouches for them
    listed.replace(sums_path(entry.name, folder))
    sync(folder)


def _refuse_foreign(path: Path, sha256: str, entry: Entry) -> None:
    if path.exists() and not (path.is_file() and sha256_of(path) == sha256):
        raise ConfigError(
            f"{path} exists and was not fetched as part of {entry.name}; it is left alone. Move "
            "it away, or choose another folder with --dir."
        )

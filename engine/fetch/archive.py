"""Takes the wanted files out of a zip or tar archive, trusting nothing that the archive says."""

from __future__ import annotations

import gzip
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from engine.errors import ConfigError
from engine.fetch.catalogue import Entry, is_plain, target

_ZIP = (".whl", ".zip")
_TAR = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar")
_PLAIN = (".onnx",)
_CHUNK_BYTES = 1 << 18
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,  # what zipfile raises for an encrypted member, or an unknown compression
)


@dataclass(frozen=True)
class _Item:
    """One member: its name, whether it is a plain file, its size, and how to read it."""

    name: str
    regular: bool
    size_bytes: int
    open: Callable[[], IO[bytes] | None]


def unpack(archive: Path, entry: Entry, folder: Path) -> list[str]:
    """Write the files that ``entry`` wants into ``folder`` and return their names, sorted.

    Raises ConfigError for a member with an unsafe name, a wanted member that is a link, two that
    would become the same file, one that is missing, and an archive that expands to more than
    ``entry.max_unpacked_bytes``.
    """
    labels: dict[str, str | None] = {}
    matched = set()
    with _readable(archive, entry.source.file):
        for item, number, name, label in _wanted(archive, entry):
            if not item.regular:
                raise ConfigError(f"{entry.source.file}: {item.name!r} is not a plain file.")
            if name in labels or not is_plain(name) or name == entry.label_map:
                raise ConfigError(f"{entry.source.file}: {item.name!r} cannot become {name!r}.")
            _copy(item, folder / name, entry)
            labels[name] = label
            matched.add(number)
    for number, member in enumerate(entry.members):
        if number not in matched:
            raise ConfigError(f"{entry.source.file} has no {member.name or member.pattern}.")
    if entry.label_map is not None:
        _write_label_map(folder / entry.label_map, labels)
        labels[entry.label_map] = None
    return sorted(labels)


def _wanted(archive: Path, entry: Entry) -> Iterator[tuple[_Item, int, str, str | None]]:
    """(item, number of the catalogue's member, file name, label) for all that match."""
    expanded = 0
    for item in _items(archive, entry.source.file):
        if not _is_inside(item.name):
            raise ConfigError(f"{entry.source.file} holds the unsafe name {item.name!r}: refused.")
        expanded += item.size_bytes
        if expanded > entry.max_unpacked_bytes:
            raise _too_large(entry)
        for number, member in enumerate(entry.members):
            if found := target(member, item.name):
                yield item, number, *found


def _items(archive: Path, file_name: str) -> Iterator[_Item]:
    if file_name.endswith(_ZIP):
        yield from _zip_items(archive)
    elif file_name.endswith(_TAR):
        yield from _tar_items(archive)
    elif file_name.endswith(_PLAIN):
        yield _Item(file_name, True, archive.stat().st_size, lambda: archive.open("rb"))
    else:
        allowed = ", ".join(_ZIP + _TAR + _PLAIN)
        raise ConfigError(f"{file_name} is no archive known here: it must end in {allowed}.")


def _zip_items(archive: Path) -> Iterator[_Item]:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            # The upper half of the attributes is the Unix mode; 0 in its type bits: not stored.
            regular = not info.is_dir() and (info.external_attr >> 28) in (0, 0o10)

            def opened(info: zipfile.ZipInfo = info) -> IO[bytes]:
                return packed.open(info)

            yield _Item(info.filename, regular, info.file_size, opened)


def _tar_items(archive: Path) -> Iterator[_Item]:
    with tarfile.open(archive, "r:*") as packed:
        for info in packed:

            def opened(info: tarfile.TarInfo = info) -> IO[bytes] | None:
                return packed.extractfile(info)

            yield _Item(info.name, info.isreg(), info.size, opened)


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not (path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name[:2])


def _copy(item: _Item, path: Path, entry: Entry) -> None:
    source = item.open()
    if source is None:
        raise ConfigError(f"{entry.source.file}: {item.name!r} is not a plain file.")
    with source, path.open("xb") as file:
        while chunk := source.read(_CHUNK_BYTES):
            file.write(chunk)
            if file.tell() > entry.max_unpacked_bytes:
                raise _too_large(entry)
        file.flush()
        os.fsync(file.fileno())


def _write_label_map(path: Path, labels: dict[str, str | None]) -> None:
    lines = [f"{name} {label}\n" for name, label in sorted(labels.items()) if label is not None]
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())


def _too_large(entry: Entry) -> ConfigError:
    return ConfigError(
        f"{entry.source.file} expands to more than the {entry.max_unpacked_bytes} bytes that the "
        "catalogue allows: refused."
    )


@contextmanager
def _readable(archive: Path, file_name: str) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise ConfigError(f"{file_name} ({archive}) cannot be unpacked: {error}") from error

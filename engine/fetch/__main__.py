"""``python -m engine.fetch NAME``: the command line."""

from __future__ import annotations

import argparse
import errno
import re
import shlex
import sys
from pathlib import Path
from typing import NoReturn

from engine.cache import sha256_of
from engine.errors import INTERRUPTED, VALID, ConfigError, TailboundError
from engine.fetch import catalogue
from engine.fetch.catalogue import Entry, Source
from engine.fetch.progress import megabytes, progress
from engine.paths import CACHE_VARIABLE, cache_dir, conf_dir, fetched_dir

_NO_SPACE = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_./:+@%-]+")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}. See: python -m engine.fetch --help")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 3 (cannot be done) or 130 (Ctrl-C)."""
    try:
        options = _parse(arguments)
        if options.list:
            _list()
            return VALID
        if options.name is None:
            known = ", ".join(catalogue.names(conf_dir() / "fetch"))
            raise ConfigError(f"Say what to fetch: {known}. See: python -m engine.fetch --list")
        entry = catalogue.find(options.name, conf_dir() / "fetch")
        fetch(entry, options.dir or fetched_dir(entry.name, cache_dir()))
        return VALID
    except TailboundError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on from there", file=sys.stderr)
        return INTERRUPTED


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = _Parser(
        prog="python -m engine.fetch",
        description="Get a published model or data set, checked against a pinned SHA-256.",
        epilog=f"Files go to the user's cache; {CACHE_VARIABLE} chooses another root for it.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="what to fetch, see --list")
    parser.add_argument("--list", action="store_true", help="say what can be fetched, and stop")
    parser.add_argument("--dir", type=_folder, help="folder for the files, made if need be")
    return parser.parse_args(arguments)


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("a folder is needed")
    return Path(text).expanduser().absolute()


def _list() -> None:
    folder = conf_dir() / "fetch"
    for name in catalogue.names(folder):
        entry = catalogue.load(folder / f"{name}.yaml")
        print(f"{name}  ({_size(entry.source)} to download)")
        print(f"    {entry.description}")
        for line in entry.licence:
            print(f"    {line}")


def fetch(entry: Entry, folder: Path) -> None:
    """Bring the files of ``entry`` into ``folder``, unless they are there and intact."""
    from engine.fetch.folder import is_intact

    try:
        if is_intact(folder, entry):
            _part(entry, folder).unlink(missing_ok=True)
            print(f"{entry.name}: already in {folder}, intact.")
        else:
            _get(entry, folder)
            print(f"{entry.name}: now in {folder}")
    except OSError as error:
        raise _storage_error(error, entry, folder) from error
    if commands := next_commands(entry, folder):
        print("Next:", *commands, sep="\n    ")


def _get(entry: Entry, folder: Path) -> None:
    from engine.fetch import index as pypi
    from engine.fetch import npm
    from engine.fetch.archive import unpack
    from engine.fetch.client import Client, public
    from engine.fetch.download import download, sized
    from engine.fetch.folder import install, staging
    from engine.fetch.index import cafile

    source = entry.source
    registry = {"npm": npm, "pypi": pypi}.get(source.kind)
    index = source.url if registry is None else registry.index_url()
    print(f"{entry.name}: {entry.description}")
    print(f"  source   {f'{source.package} {source.version} from '.lstrip()}{public(index)}")
    print(f"  file     {source.file}, {_size(source)}")
    for number, line in enumerate(entry.licence):
        print(f"  {'' if number else 'licence':<8} {line}")
    print(f"  folder   {folder}", flush=True)
    client = Client(cafile(), login_url=index)
    part = _part(entry, folder)
    url = index if registry is None else registry.locate(source, index, client)
    folder.mkdir(parents=True, exist_ok=True)
    source = sized(client, url, source)
    with progress(source.file, source.size_bytes) as report:
        download(client, url, part, source, report)
    if not source.sha256:
        print(f"  SHA-256  {sha256_of(part)}")
        print("           not pinned in the catalogue: compare it with one that you trust")
    with staging(folder) as staged:
        install(staged, unpack(part, entry, staged), folder, entry)
    part.unlink()


def _size(source: Source) -> str:
    return megabytes(source.size_bytes) if source.size_bytes else "size not known here"


def _part(entry: Entry, folder: Path) -> Path:
    """The archive while it is incomplete; its hash is in the name, as versions do not mix."""
    return folder / f".{entry.source.file}.{entry.source.sha256[:8]}.part"


def _storage_error(error: OSError, entry: Entry, folder: Path) -> ConfigError:
    if error.errno in _NO_SPACE:
        need = megabytes(entry.source.size_bytes + entry.max_unpacked_bytes)
        return ConfigError(
            f"The disk of {folder} is full; {need} are needed at most. Make room and run the same "
            f"command again, or choose another folder with --dir or {CACHE_VARIABLE}."
        )
    return ConfigError(
        f"{error.filename or folder} cannot be used ({error.strerror or error}). Choose another "
        f"folder with --dir or {CACHE_VARIABLE}."
    )


def next_commands(entry: Entry, folder: Path) -> list[str]:
    """The entry's commands to go on with, the folder's real paths added to the last."""
    overrides = [
        _override(key, (folder / name).as_posix()) for key, name in entry.next_paths.items()
    ]
    return [*entry.next[:-1], " ".join([*entry.next[-1:], *overrides])] if entry.next else []


def _override(key: str, value: str) -> str:
    if _PLAIN_VALUE.fullmatch(value):
        return f"{key}={value}"
    escaped = value.replace('"', '\\"')
    return shlex.quote(f'{key}="{escaped}"')


if __name__ == "__main__":
    sys.exit(main())

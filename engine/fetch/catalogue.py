"""What can be fetched: one frozen ``Entry`` for each YAML file in conf/fetch."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, cast

from engine.errors import ConfigError
from engine.fields import check, limited

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


@dataclass(frozen=True)
class Source:
    """The one published archive or file: where it is listed, its size in bytes, its SHA-256 (hex).

    Of a file at a ``url`` size and hash may be unknown (0 and ""): nothing vouches for it then.
    """

    kind: str = limited(choices=("pypi", "npm", "url"))
    package: str = ""
    version: str = ""
    url: str = ""
    file: str = limited()
    size_bytes: int = limited(0, at_least=0)
    sha256: str = ""


@dataclass(frozen=True)
class Member:
    """Files wanted from the archive: the exact ``name`` of one, or a ``pattern`` for full names.

    ``to``: file name that it becomes, null for its own. A pattern's group ``label``, if there is
    one, is the sample's label in the entry's ``label_map``.
    """

    name: str | None = None
    pattern: str | None = None
    to: str | None = None


@dataclass(frozen=True)
class Entry:
    """A model or a data set that can be fetched.

    ``max_unpacked_bytes``: the most that the whole archive may expand to.
    ``sums_sha256``: SHA-256 (hex) of the extracted files' own list of sums, ``NAME.sha256``.
    ``next``: commands to go on with; ``next_paths`` (config key -> file in the folder, or ``.``)
    are added to the last of them.
    """

    name: str = limited()
    description: str = limited()
    source: Source = field(default_factory=Source)
    members: list[Member] = field(default_factory=list)
    label_map: str | None = None
    max_unpacked_bytes: int = limited(at_least=1)
    sums_sha256: str = ""
    licence: list[str] = field(default_factory=list)
    next: list[str] = field(default_factory=list)
    next_paths: dict[str, str] = field(default_factory=dict)


def names(folder: Path) -> list[str]:
    """Names of all entries, sorted; reads no file."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def find(name: str, folder: Path) -> Entry:
    """The entry called ``name``; ConfigError with the nearest names when there is none."""
    known = names(folder)
    if name in known:
        return load(folder / f"{name}.yaml")
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    meant = f" Did you mean {near[0]}?" if near else ""
    raise ConfigError(f"Nothing called {name!r} can be fetched.{meant} Known: {', '.join(known)}.")


def load(path: Path) -> Entry:
    """Read and check one entry; ConfigError says which file and key is wrong."""
    from omegaconf import OmegaConf

    try:
        schema = OmegaConf.structured(Entry)
        for node in (schema, schema.source):  # what is frozen is read-only to a merge as well
            OmegaConf.set_readonly(node, False)
        entry = cast(Entry, OmegaConf.to_object(OmegaConf.merge(schema, OmegaConf.load(path))))
    except Exception as error:  # YAML's, OmegaConf's and the disk's have no other base in common
        raise ConfigError(f"{path} cannot be read as a catalogue entry: {error}") from error
    try:
        check(entry, entry.name)
        for wrong in _faults(entry, path):
            raise ConfigError(wrong)
    except ConfigError as error:
        raise ConfigError(f"{path} is not a valid catalogue entry: {error}") from error
    return entry


def _faults(entry: Entry, path: Path) -> Iterator[str]:
    if entry.name != path.stem or not _NAME.fullmatch(entry.name):
        yield f"name={entry.name} must be the file's own name, in a-z, 0-9, '.', '_' and '-'."
    source = entry.source
    for key, digest in (("source.sha256", source.sha256), ("sums_sha256", entry.sums_sha256)):
        unknown = source.kind == "url" and not digest
        if not unknown and not _SHA256.fullmatch(digest):
            yield f"{key} must be 64 lower-case hexadecimal digits."
    if source.kind == "url":
        if not source.url.startswith("https://"):
            yield "source.url must be an https address."
    elif not (source.package and source.version and source.size_bytes):
        yield "source needs package, version and size_bytes."
    if not entry.licence:
        yield "licence must say under which terms the files come."
    if not entry.members:
        yield "members must name at least one file."
    plain = [entry.source.file, *_outputs(entry)]
    for name in plain:
        if not is_plain(name):
            yield f"{name!r} must be a plain file name, without folders."
    for member in entry.members:
        yield from _member_faults(member)


def _member_faults(member: Member) -> Iterator[str]:
    if (member.name is None) == (member.pattern is None):
        yield "each member takes either a name or a pattern."
    if member.pattern is not None:
        if member.to is not None:
            yield "'to' goes with a member's name, not with a pattern."
        try:
            re.compile(member.pattern)
        except re.error as error:
            yield f"pattern {member.pattern!r} is not a regular expression: {error}."


def _outputs(entry: Entry) -> Iterator[str]:
    yield from (member.to for member in entry.members if member.to is not None)
    if entry.label_map is not None:
        yield entry.label_map


def is_plain(name: str) -> bool:
    """Whether ``name`` is one visible file name, on any system, and no way out of a folder."""
    return (
        bool(name)
        and not name.startswith(".")
        and name == PurePath(name).name
        and not (set(name) & set('/\\:*?"<>|') or any(ord(letter) < 32 for letter in name))
    )


def target(member: Member, archived: str) -> tuple[str, str | None] | None:
    """(file name, label or None) that the archived file becomes by ``member``, None if unwanted."""
    if member.name is not None:
        own = member.to or PurePosixPath(archived).name
        return (own, None) if archived == member.name else None
    found = re.fullmatch(cast(str, member.pattern), archived)
    if found is None:
        return None
    groups: dict[str, Any] = found.groupdict()
    return PurePosixPath(archived).name, groups.get("label")

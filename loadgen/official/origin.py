"""Which program a log comes from: its version, its build and its sources."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import lru_cache
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
SOURCES = (".py", ".pyi", ".pyx", ".pxd", ".h", ".so")


@lru_cache(maxsize=1)
def origin() -> dict[str, str | dict[str, str]]:
    """The values of the keys ``loadgen_*``; the sources' SHA-1 by their path in this package.

    The commit is not known to an installed program.
    """
    try:
        version = metadata.version("tailbound")
    except metadata.PackageNotFoundError:
        version = "(not installed)"
    sources = sorted(file for file in PACKAGE.rglob("*") if file.suffix in SOURCES)
    built_at = max(file.stat().st_mtime for file in sources)
    return {
        "version": f"tailbound {version}",
        "build_date_local": datetime.fromtimestamp(built_at).isoformat(),
        "build_date_utc": datetime.fromtimestamp(built_at, UTC).replace(tzinfo=None).isoformat(),
        "git_commit_date": "not recorded",
        "git_log_message": "not recorded",
        "git_status_message": "not recorded",
        "file_sha1": {f"/{file.relative_to(PACKAGE).as_posix()}": _sha1(file) for file in sources},
    }


def _sha1(file: Path) -> str:
    return hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()

"""What lies in a tree, looked at before anything in it is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from engine.published.entry import Finding

MOST_FILES = 200_000
DEEPEST = 24


def unsafe(root: Path) -> Iterator[Finding]:
    """Links, and files that are none; a tree too large to be a tree of results."""
    seen = 0
    waiting = [(root, 0)]
    while waiting:
        folder, depth = waiting.pop()
        where = str(folder.relative_to(root))
        if depth > DEEPEST:
            yield Finding(where, "size", f"lies more than {DEEPEST} folders deep")
            return
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            yield Finding(where, "file", f"cannot be read: {error.strerror or error}")
            continue
        seen += len(entries)
        if seen > MOST_FILES:
            yield Finding(where, "size", f"is beyond the first {MOST_FILES:,} files of the tree")
            return
        for entry in entries:
            path = Path(entry.path)
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                yield Finding(
                    str(path.relative_to(root)), "link", "is a link, which is not followed"
                )
            elif stat.S_ISDIR(mode):
                waiting.append((path, depth + 1))
            elif not stat.S_ISREG(mode):
                yield Finding(str(path.relative_to(root)), "link", "is neither a file nor a folder")

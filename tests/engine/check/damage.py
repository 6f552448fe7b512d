"""What tests do to a good tree, and what is then said of it."""

import json

from engine.check.findings import sentences
from engine.check.tree import check_tree

OFFLINE = "Us/results/box/resnet50/Offline"
RUN = f"{OFFLINE}/performance/run_1"
DETAIL = "mlperf_log_detail.txt"


def said(root, edition=""):
    return list(sentences(check_tree(root, edition).findings))


def without_sums(folder):
    """Forget what the files were, as somebody who edits them would see to."""
    for file in folder.rglob("sha256.txt"):
        file.unlink()


def edit(file, **values):
    """Change facts of a detail log, leaving all else as it is."""
    lines = file.read_text().splitlines(keepends=True)
    for at, line in enumerate(lines):
        entry = json.loads(line.removeprefix(":::MLLOG"))
        if entry["key"] in values:
            entry["value"] = values.pop(entry["key"])
            lines[at] = f":::MLLOG {json.dumps(entry)}\n"
    assert not values
    file.write_text("".join(lines))

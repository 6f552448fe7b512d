"""The accuracy part in a tree: the log, cut where it is long, and accuracy.txt."""

from __future__ import annotations

import shutil
from pathlib import Path

from engine.cache import sha256_of
from engine.record import Json
from engine.submission.layout import ACCURACY, DETAIL, LARGEST_ACCURACY_LOG, QUALITY, SUMMARY

# What is left of a long log, from each of its ends.
SHOWN_BYTES = 4096
CUT = b"\n\n...\n\n"


def put_accuracy(run: Path, folder: Path, accuracy: Json) -> None:
    """Copy the accuracy run's logs from ``run`` into ``folder`` and say its quality there."""
    folder.mkdir(parents=True)
    for name in (DETAIL, SUMMARY):
        shutil.copyfile(run / name, folder / name)
    shorten(run / ACCURACY, folder / ACCURACY)
    line = quality_line(accuracy["quality"])
    (folder / QUALITY).write_text(f"{line}\nhash={sha256_of(run / ACCURACY)}\n")


def quality_line(quality: Json) -> str:
    """The quality as the suite's scripts write it."""
    value, count, unit = quality["value"], quality["count"], quality["unit"]
    match quality["metric"]:
        case metric if metric.startswith("top1"):
            good = round(value / 100 * count)
            return f"accuracy={value:.3f}%, good={good}, total={count}"
        case metric if metric.startswith("bleu"):
            return f"BLEU: {value:.3f}"
    return f"mAP={value:.3f}{unit}"


def shorten(source: Path, target: Path) -> None:
    """Copy a log whole, or its two ends where it is longer than the suite takes."""
    size = source.stat().st_size
    if size <= LARGEST_ACCURACY_LOG:
        shutil.copyfile(source, target)
        return
    with source.open("rb") as log:
        begin = log.read(SHOWN_BYTES)
        log.seek(size - SHOWN_BYTES)
        target.write_bytes(begin + CUT + log.read(SHOWN_BYTES))

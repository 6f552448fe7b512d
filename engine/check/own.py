"""The record that this program leaves beside a result: sums of its files, times of every query.

Who edits a log can edit the sums too; the times then disagree with the log.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from engine.cache import sha256_of
from engine.published.entry import Entry
from engine.published.logs import Facts, Unreadable, text_of
from engine.published.recompute import number
from engine.record import LOG_FILE
from engine.submission.layout import Place
from engine.submission.sums import SUMS
from loadgen._tape import STATUS

Said = Iterator[tuple[Path, str, str]]

NAME = "tailbound"
MOST_BYTES = 4 * 2**30
PERCENTILES = (50, 90, 95, 97, 99, 99.9)


def own_findings(place: Place, entry: Entry, facts: Facts) -> Said:
    """Path, kind and sentence of each disagreement with the record at ``place``, if it has one."""
    if (place.record / SUMS).exists():
        yield from _sums(place)
    path = place.record / LOG_FILE
    if path.is_file():
        try:
            times = _Times(path)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, MemoryError) as problem:
            yield path, "file", f"cannot be read: {problem}"
            return
        for message in _disagreements(times, entry, facts):
            yield path, "disagreement", message
    elif str(facts.get("loadgen_version")).startswith(NAME):
        yield path, "file", f"is missing: {NAME} leaves it with each result"


def _sums(place: Place) -> Said:
    """Each listed file must be there as listed, and each file of the result must be listed."""
    path = place.record / SUMS
    try:
        lines = text_of(path).splitlines()
    except Unreadable as problem:
        yield path, "file", str(problem)
        return
    listed = set()
    for line in lines:
        known, _, name = line.partition("  ")
        file = place.submitter / name
        if ".." in Path(name).parts or Path(name).is_absolute() or not name:
            yield path, "edited", f"lists {name}, which is outside"
            continue
        listed.add(file)
        if not file.is_file():
            yield file, "edited", f"is missing, but {SUMS} lists it"
        elif sha256_of(file) != known:
            yield file, "edited", f"is not the file that {SUMS} lists"
    there = (file for folder in place.parts[:-1] for file in sorted(folder.rglob("*")))
    for file in there:
        if file.is_file() and file not in listed:
            yield file, "edited", f"was added: {SUMS} does not list it"


class _Times:
    """Times of a run's queries and samples in ns, from run_log.npz."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            sizes = [info.file_size for info in arrays.zip.infolist()]
            if sum(sizes) > MOST_BYTES:
                raise ValueError(f"unpacks to {sum(sizes):,} bytes")
            self.scheduled_ns = _integers(arrays["scheduled_ns"])
            self.first_sample = _integers(arrays["first_sample"])
            self.completed_ns = _integers(arrays["completed_ns"])
            self.unanswered = int(np.count_nonzero(_integers(arrays["status"]) != STATUS["done"]))
        samples, first = len(self.completed_ns), self.first_sample
        ordered = len(first) == len(self.scheduled_ns) > 0 and first[0] == 0
        if not ordered or (np.diff(first) <= 0).any() or first[-1] >= samples:
            raise ValueError("its queries and samples do not fit together")

    def latency_ns(self, of_queries: bool) -> NDArray[np.int64]:
        """int64: of whole queries, or of samples; ascending."""
        counts = np.diff(self.first_sample, append=len(self.completed_ns))
        ended, due = self.completed_ns, np.repeat(self.scheduled_ns, counts)
        if of_queries:
            ended, due = np.maximum.reduceat(ended, self.first_sample), self.scheduled_ns
        return np.sort(ended - due)


def _integers(array: NDArray[np.generic]) -> NDArray[np.int64]:
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError("an array of it is none of integers")
    return array.astype(np.int64)


def _disagreements(times: _Times, entry: Entry, facts: Facts) -> Iterator[str]:
    queries = number(facts, "result_query_count")
    if queries is not None and queries != len(times.scheduled_ns):
        yield f"has {len(times.scheduled_ns):,} queries, the detail log {queries:,.0f}"
    if times.unanswered:
        yield f"has {times.unanswered:,} samples without an answer"
    several = entry.scenario == "multi_stream"
    latency_ns = times.latency_ns(of_queries=False)
    expected = _expected(latency_ns, "", "")
    if several:
        expected |= _expected(times.latency_ns(of_queries=True), "_query", "_per_query")
    for name, value in expected.items():
        if (stated := number(facts, name)) is not None and abs(stated - value) > 1:
            yield f"gives {name} as {value:,.0f}, the detail log says {stated:,.0f}"
    if entry.scenario == "offline" and (stated := number(facts, "result_samples_per_second")):
        again = len(latency_ns) / (latency_ns[-1] / 1e9)
        if abs(stated - again) > 1e-6 * again:
            yield f"gives {again:,.6g} samples/s, the detail log says {stated:,.6g}"


def _expected(ascending: NDArray[np.int64], whole: str, per: str) -> dict[str, int]:
    count = len(ascending)
    found = {
        f"result_min{whole}_latency_ns": int(ascending[0]),
        f"result_max{whole}_latency_ns": int(ascending[-1]),
    }
    for percent in PERCENTILES:
        place = min(count - 1, int(count * (percent / 100)))
        found[f"result_{percent:.2f}_percentile{per}_latency_ns"] = int(ascending[place])
    return found

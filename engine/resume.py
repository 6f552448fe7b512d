"""The probes of a search on disk, so that one that was interrupted goes on where it was."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import math
from pathlib import Path
from typing import Any

import engine
from engine.build import Benchmark
from engine.cache import key_of
from engine.system import describe
from loadgen.files import atomically
from multirun.search import Load, Outcome, Probe

log = logging.getLogger(__name__)

# The groups of the config that decide what a probe measures.
DECIDING = ("model", "dataset", "scenario", "sut", "precision", "rules", "search")
ROUNDING = 1e-6


def kept_probes(benchmark: Benchmark) -> Kept:
    """Where this benchmark's search keeps its probes: anything that could change them is in it."""
    config, artefact = benchmark.config, benchmark.artefact
    if not config.search.resume:
        return Kept(None)
    system = {name: value for name, value in describe().items() if name != "load_1min"}
    key = key_of(
        engine.__version__,
        [repr(getattr(config, group)) for group in DECIDING],
        artefact.sha256 if artefact else None,
        benchmark.library.fingerprint,
        sorted(system.items(), key=str),
    )
    return Kept(benchmark.cache.root / "searches" / f"{key[:24]}.json")


class Kept:
    """The probes made so far, and the ``facts`` that the search started from.

    ``path``: a file named by the hash of all that could change them; None keeps nothing. It is
    removed by ``done``, so that only an interrupted search is continued.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.facts: dict[str, Any] = {}
        self.probes: list[Probe] = []
        self._old: list[Probe] = []
        if path is not None and path.is_file():
            self._read(path)

    @property
    def reusable(self) -> int:
        """How many probes of an interrupted search there are to reuse."""
        return len(self._old)

    def next(self, load: Load) -> Probe | None:
        """The next probe of the interrupted search, if it was made at this load."""
        if not self._old:
            return None
        probe = self._old.pop(0)
        # A run that confirmed is made again: its log went with the search that was interrupted.
        confirmed = probe.kind == "confirm" and probe.outcome is Outcome.PASS
        if confirmed or not _same(probe, load):
            self._old.clear()
            return None
        self.probes.append(dataclasses.replace(probe, reused=True))
        return self.probes[-1]

    def begin(self, facts: dict[str, Any]) -> None:
        """Remember what the search starts from."""
        self.facts = facts
        self._write()

    def add(self, probe: Probe) -> None:
        """Remember a probe that was just made."""
        self.probes.append(probe)
        self._write()

    def done(self) -> None:
        """The search has ended: there is nothing to continue."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        if self.path is None:
            return
        probes = [dataclasses.asdict(probe) for probe in [*self.probes, *self._old]]
        try:
            with atomically(self.path) as file:
                file.write(json.dumps({"facts": self.facts, "probes": probes}).encode())
        except OSError as error:
            log.warning("%s cannot be written (%s): the search cannot be resumed", self.path, error)
            self.path = None

    def _read(self, path: Path) -> None:
        try:
            data = json.loads(path.read_text())
            probes = [Probe(**{**p, "outcome": Outcome(p["outcome"])}) for p in data["probes"]]
            self.facts, self._old = dict(data["facts"]), probes
        except (OSError, ValueError, KeyError, TypeError):
            log.warning("%s is damaged: the search starts anew", path)


def _same(probe: Probe, load: Load) -> bool:
    return probe.kind == load.kind and math.isclose(probe.rate_qps, load.rate_qps, rel_tol=ROUNDING)

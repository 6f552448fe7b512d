"""Where things lie in the tree of a round, from v5.0 on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.config import Config
from engine.published.entry import MODELS
from loadgen import Scenario
from loadgen.official.run import SCENARIO_NAMES

# Rounds for which trees are written, by their rules: whether measurements and audits lie beside
# the runs, as from v6.0 on, or in folders of their own.
ROUNDS = {"v5_0": False, "v5_1": False, "v6_0": True, "v6_1": True}
DETAIL, SUMMARY = "mlperf_log_detail.txt", "mlperf_log_summary.txt"
ACCURACY, QUALITY = "mlperf_log_accuracy.json", "accuracy.txt"
# The suite's names of the audits, by ours.
AUDITS = {"same_answers": "TEST01", "caching": "TEST04"}
# The suite's folders, by our model names; the last name that we read is the one in use.
FOLDERS = {ours: suite for suite, ours in MODELS.items()}
LARGEST_ACCURACY_LOG = 10 * 1024


@dataclass(frozen=True)
class Place:
    """One result's place: ``submitter`` is the folder DIVISION/SUBMITTER.

    ``gathered``: whether measurements and audits lie beside the runs.
    """

    submitter: Path
    system: str
    model: str
    scenario: str
    gathered: bool

    @property
    def description(self) -> Path:
        """The system description."""
        return self.submitter / "systems" / f"{self.system}.json"

    @property
    def result(self) -> Path:
        """The folder of the runs."""
        return self._below("results")

    @property
    def record(self) -> Path:
        """The folder of this program's own record of it."""
        return self._below("documentation")

    @property
    def calibration(self) -> Path:
        """How the networks were calibrated."""
        return self.submitter / "documentation" / "calibration.md"

    @property
    def documents(self) -> Path:
        """The folder of the measurements document, user.conf and README.md."""
        return self.result if self.gathered else self._below("measurements")

    @property
    def measurements(self) -> Path:
        """The measurements document."""
        if self.gathered:
            return self.result / "measurements.json"
        exact = self.documents / f"{self.system}_{self.scenario}.json"
        short = self.documents / f"{self.system}.json"
        return short if short.is_file() and not exact.is_file() else exact

    @property
    def audits(self) -> Path:
        """The folder of the audits."""
        return self.result if self.gathered else self._below("compliance")

    @property
    def sources(self) -> Path:
        """The folder of the source."""
        return self.submitter / ("src" if self.gathered else "code")

    @property
    def parts(self) -> tuple[Path, ...]:
        """Every folder that belongs to the result alone."""
        apart = () if self.gathered else (self.documents, self.audits)
        return (self.result, *apart, self.record)

    def _below(self, kind: str) -> Path:
        return self.submitter / kind / self.system / self.model / self.scenario


def found_place(result: Path) -> Place:
    """The place of the result in the folder ``result`` of a tree that is there."""
    model, system = result.parent, result.parent.parent
    submitter = system.parent.parent
    gathered = not (submitter / "measurements").is_dir()
    return Place(submitter, system.name, model.name, result.name, gathered)


def place_of(config: Config) -> Place:
    """Where the result of ``config`` belongs."""
    own, model = config.submission, config.model.name
    return Place(
        Path(own.path).expanduser() / own.division / str(own.submitter),
        str(own.system_name),
        FOLDERS.get(model, model.replace("_", "-")),
        SCENARIO_NAMES[Scenario(config.scenario.name)],
        ROUNDS[config.rules.name],
    )

"""One published result: a system's runs of a model in a scenario, and what was found in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine.published.logs import Log

# The suite's folder names, by our model names. Others are kept as they are.
MODELS = {
    "resnet": "resnet50",
    "resnet50": "resnet50",
    "mobilenet": "mobilenet",
    "ssd-small": "ssd_mobilenet",
    "ssd-mobilenet": "ssd_mobilenet",
    "ssd-large": "ssd_resnet34",
    "ssd-resnet34": "ssd_resnet34",
    "gnmt": "gnmt",
    "3d-unet-99": "unet3d",
    "bert-99": "bert",
    "dlrm-99": "dlrm",
}
SCENARIOS = {
    "singlestream": "single_stream",
    "multistream": "multi_stream",
    "server": "server",
    "offline": "offline",
}


@dataclass(frozen=True)
class Finding:
    """Something to look at. ``kind``: file, disagreement, rules or error."""

    path: str
    kind: str
    message: str


@dataclass(frozen=True)
class Run:
    """One performance run: its folder, and what its two logs say together."""

    path: str
    log: Log


@dataclass(frozen=True)
class Entry:
    """A row of the results: ``value`` is that of the run that counts, recomputed from its log.

    ``quality``: what accuracy.txt says, in percent (translation: BLEU), None without it.
    ``verdict``: VALID or INVALID as recomputed, of the worst run.
    """

    division: str
    submitter: str
    system: str
    model: str
    scenario: str
    round: str
    metric: str
    value: float
    unit: str
    verdict: str
    runs: int
    quality: float | None
    path: str
    description: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher value is a faster system."""
        return self.unit != "ms"

"""``mode=check path=DIR``: the findings as lines, and the exit code."""

from __future__ import annotations

from pathlib import Path

from engine.check.findings import sentences
from engine.check.tree import check_tree
from engine.config import Config
from engine.errors import INVALID, VALID, ConfigError


def check(config: Config) -> int:
    """Print what is wrong with the tree; VALID if nothing is, else INVALID.

    Raises ConfigError where there is no tree. Rules that are an edition are those of the round.
    """
    if config.path is None:
        raise ConfigError("mode=check needs the tree that it is to look through: set path=DIR.")
    root = Path(config.path).expanduser().absolute()
    if not root.is_dir():
        raise ConfigError(f"path={config.path} is no folder.")
    checked = check_tree(root, config.rules.name if config.rules.conformant else "")
    if not checked.results and not checked.findings:
        raise ConfigError(
            f"path={config.path} holds no results: it must be the folder with closed/ or open/ in "
            "it, as in open/SUBMITTER/results/SYSTEM/MODEL/SCENARIO."
        )
    lines = list(sentences(checked.findings))
    for line in lines:
        print(line)
    print(f"{checked.results:,} results, {len(lines):,} findings: {config.path}")
    return INVALID if lines else VALID

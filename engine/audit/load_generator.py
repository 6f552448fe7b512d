"""Whether the load generator is the one that was built: its files against their hashes."""

from __future__ import annotations

import base64
import hashlib
import sys
from importlib import metadata
from pathlib import Path

from engine.audit.finding import Finding, Outcome

AUDIT = "load_generator"
PACKAGES = ("loadgen", "engine", "multirun", "evaluators")


def load_generator(installed: metadata.Distribution | None = None) -> Finding:
    """Hash the files of an installation and compare with what its build recorded (RECORD).

    Not applicable to a working tree, for whose files a build records nothing.
    """
    try:
        found = installed or metadata.distribution("tailbound")
    except metadata.PackageNotFoundError:
        return Finding(AUDIT, Outcome.NOT_APPLICABLE, "This program is not installed.")
    recorded = {
        str(file): file.hash.value
        for file in found.files or []
        if file.hash is not None and file.hash.mode == "sha256" and file.parts[0] in PACKAGES
    }
    if not any(name.startswith("loadgen/") for name in recorded):
        sentence = (
            "This program runs from a working tree, for which no build recorded hashes: install "
            "it with pip install . (not -e) to have it checked."
        )
        return Finding(AUDIT, Outcome.NOT_APPLICABLE, sentence)
    root = Path(str(found.locate_file("")))
    changed = sorted(name for name, value in recorded.items() if _sha256(root / name) != value)
    changed += sorted(_added(root, recorded))
    foreign = sorted(_elsewhere(root))
    whole = hashlib.sha256("\n".join(sorted(recorded.values())).encode()).hexdigest()
    figures: dict[str, float | int | str] = {"files": len(recorded), "record_sha256": whole}
    if changed:
        names = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if changed[5:] else "")
        sentence = f"Not what was built and installed: {names}. Install the program again."
        return Finding(AUDIT, Outcome.FAIL, sentence, figures)
    if foreign:
        sentence = (
            f"What runs is not what was installed: {foreign[0]} was loaded, not the file of "
            f"{root}. Leave its folder, and out of PYTHONPATH."
        )
        return Finding(AUDIT, Outcome.FAIL, sentence, figures)
    sentence = f"All {len(recorded)} files are those that were built (sha256 of all {whole[:12]})."
    return Finding(AUDIT, Outcome.PASS, sentence, figures)


def _sha256(file: Path) -> str | None:
    """The file's hash as RECORD writes it; None if there is no such file."""
    try:
        digest = hashlib.sha256(file.read_bytes()).digest()
    except OSError:
        return None
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _added(root: Path, recorded: dict[str, str]) -> set[str]:
    """Modules of the load generator that the build did not make."""
    there = (file for kind in ("*.py", "*.so", "*.pyd") for file in (root / "loadgen").rglob(kind))
    return {file.relative_to(root).as_posix() for file in there} - set(recorded)


def _elsewhere(root: Path) -> set[str]:
    """Files of loaded modules of this program that do not lie in the installation."""
    loaded = (
        Path(file).resolve()
        for name, module in tuple(sys.modules.items())
        if name.partition(".")[0] in PACKAGES and (file := getattr(module, "__file__", None))
    )
    return {str(file) for file in loaded if not file.is_relative_to(root.resolve())}

"""What Hydra refuses, in one line: what is wrong, in which file, and what to do."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from engine.arguments import own_folder
from engine.validation import BROUGHT, GROUPS, left_out

# A group that no file brings, as Hydra and OmegaConf put it.
ABSENT = re.compile(
    r"Could not override '(\w+)'. No match|Key '(\w+)' is not in struct|key '(\w+)\.\w+' not found"
)
# A list where a group should be.
LISTED = re.compile(r"Index '\w+' \(str\) is not an int")


def file_being_read(error: Exception) -> Path | None:
    """The file of the configuration that Hydra was reading; most errors do not name it."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == "load_config" and "full_path" in frame.f_locals:
            return Path(frame.f_locals["full_path"])
    return None


def unreadable(file: Path, error: Exception) -> str:
    """What is wrong with a file that could not be read: no YAML, no mapping, or no rights."""
    mark = getattr(error, "problem_mark", None)
    line = f", line {mark.line + 1}" if mark else ""
    problem = getattr(error, "problem", None) or getattr(error, "strerror", None) or error
    return f"{file}{line}: {problem}. A file of the configuration is YAML of lines KEY: VALUE."


def plainly(error: Exception, arguments: list[str]) -> str:
    """What Hydra has to say of these arguments."""
    said = str(error) or str(error.__cause__)
    if several := re.match(r"Ambiguous value for argument '(.+?)'", said):
        return f"{several[1]}: to run each of them, add -m; for a list, write KEY=[A,B]."
    options, wanted = getattr(error, "options", None), getattr(error, "missing_cfg_file", None)
    if options and wanted:
        group, _, name = str(wanted).rpartition("/")
        return f"{group}={name} is not a choice: it must be one of {', '.join(options)}."
    absent = ABSENT.search(f"{said} {error.__cause__}")
    group = next(filter(None, absent.groups()), "") if absent else ""
    if LISTED.search(said) or group in GROUPS:
        for problem in _unfinished(arguments):
            return problem
    if group in BROUGHT:
        return left_out(group)
    lines = [line.strip() for line in said.splitlines()]
    return " ".join(line for line in lines if line and not line.startswith(("full_key", "obj")))


def _unfinished(arguments: list[str]) -> Iterator[str]:
    """What is missing in the user's own files among the choices."""
    folder = own_folder(arguments)
    for group, equals, names in (argument.partition("=") for argument in arguments):
        for name in names.split(",") if folder and equals and group in GROUPS else ():
            file = Path(folder or "") / group / f"{name}.yaml"
            node = OmegaConf.load(file) if file.is_file() else OmegaConf.create({"name": name})
            if not isinstance(node, DictConfig):
                yield f"{file} holds a list: it must hold lines KEY: VALUE."
            elif not {"name", "defaults"} & set(node):
                yield (
                    f"{group}={name} has no name: add the line `name: NAME` to {file}, or begin it "
                    f"with `defaults: [OTHER, _self_]`, OTHER being a {group} to take it from."
                )

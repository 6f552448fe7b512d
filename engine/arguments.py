"""What was typed, as Hydra wants it, and what is wrong with it."""

from __future__ import annotations

import re
from pathlib import Path

from engine.paths import OWN_CONF

# Hydra's flags but for the one that unpickles a file; those that take a value, with those allowed.
ALONE = (
    *("--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r"),
    *("--multirun", "-m", "--shell-completion", "-sc"),
)
CONFIG_DIR = ("--config-dir", "-cd")
CFG = ("job", "hydra", "all")
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
VALUED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("--cfg", "-c"), CFG),
    **dict.fromkeys(("--info", "-i"), INFO),
    **dict.fromkeys((*CONFIG_DIR, "--config-path", "-cp", "--config-name", "-cn"), ()),
    **dict.fromkeys(("--package", "-p"), ()),
}


def hydra_arguments(arguments: list[str]) -> list[str]:
    """``arguments`` as Hydra wants them.

    Flags may stand anywhere, and ``sut=null`` names the null system, where Hydra would read a
    missing value. Flags come out first, those that take a value as FLAG=VALUE; what is wrong with
    them stays for ``misused``.
    """
    flags: list[str] = []
    overrides: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        may_stand_alone = argument in ("--info", "-i")
        if argument in VALUED and rest and (rest[0] in INFO or not may_stand_alone):
            flags.append(f"{argument}={rest.pop(0)}")
        elif may_stand_alone:
            flags.append(f"{argument}=all")
        else:
            (flags if argument.startswith("-") else overrides).append(argument)
    if OWN_CONF.is_dir() and own_folder(flags) is None:
        flags.append(f"--config-dir={OWN_CONF}")
    null = re.compile(r"(?<=[=,])null(?=,|$)")
    return flags + [
        null.sub("'null'", override) if override.startswith("sut=") else override
        for override in overrides
    ]


def own_folder(arguments: list[str]) -> Path | None:
    """The user's folder of groups, None without one; ``arguments`` are Hydra's."""
    folders = [
        Path(value)
        for flag, equals, value in (argument.partition("=") for argument in arguments)
        if equals and flag in CONFIG_DIR
    ]
    return folders[-1] if folders else None


def misused(arguments: list[str]) -> str | None:
    """What is wrong with the first flag that Hydra would refuse, in one line."""
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if not flag.startswith("-"):
            continue
        if flag in VALUED:
            if not value:
                return f"{flag} needs a value: write {flag} VALUE."
            if (allowed := VALUED[flag]) and value not in allowed:
                return f"{flag} {value} is not allowed: it must be one of {', '.join(allowed)}."
        elif flag not in ALONE or equals:
            known = ", ".join(name for name in (*ALONE, *VALUED) if name.startswith("--"))
            return f"{argument} is not a flag (keys are set with KEY=VALUE). The flags: {known}."
    return None


def misnamed(arguments: list[str]) -> str | None:
    """What is wrong with the first override that names no group or key of ours, in one line.

    Hydra would refuse it too, but without the names that are allowed.
    """
    from engine.validation import GROUPS, unknown_key, unknown_name

    for argument in arguments:
        name, equals, value = argument.partition("=")
        group, dot, key = name.partition(".")
        if group and equals and (problem := unknown_name(group)):
            return problem
        chosen = name.lstrip("~")
        if chosen in GROUPS and (name != chosen or value == "null"):
            return f"{argument}: the benchmark needs a {chosen}; choose one with {chosen}=NAME."
        if equals and dot and group in GROUPS and (problem := unknown_key(group, key)):
            return problem
    return None
